import { expect, it } from 'vitest';
import { Given } from './given.ts';
import { randomFrom } from './random.ts';

function delivery(indices: readonly number[], statuses: readonly number[], attempts: readonly number[]) {
  const columns = { statuses: Uint32Array.from(statuses), attempts: Uint32Array.from(attempts) };
  return { indices: Uint32Array.from(indices), ...columns };
}

it('one in order has one range, however much it was given', () => {
  const given = new Given();
  for (let from = 0; from < 1_000; from += 10) given.add(delivery([from, 10], new Array(10).fill(0), new Array(10).fill(1)));
  expect(given.columns()).toEqual({ had: Uint32Array.of(0, 1_000) });
  expect(given.end).toBe(1_000);
});

it('has what it was given as it was then: of a failure no more once it was tried again', () => {
  const given = new Given();
  expect(given.isEmpty).toBe(true);
  given.add(delivery([3, 2], [0, 1], [1, 4]));
  const told = Given.of(given.columns());
  expect([2, 3, 4, 5].map((index) => told.has(index, 4))).toEqual([false, true, true, false]);
  expect(told.has(4, 5)).toBe(false);
  given.add(delivery([4, 1], [0], [5]));
  expect(given.columns()).toEqual({ had: Uint32Array.of(3, 2) });
});

it('agrees with a set, in whatever order tasks come (seeds 1 to 50)', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = randomFrom(seed);
    const below = (count: number): number => Math.floor(count * random());
    const given = new Given();
    const set = new Set<number>();
    for (let i = 0; i < 60; i++) {
      const from = below(200);
      const count = below(12);
      given.add(delivery([from, count], new Array(count).fill(0), new Array(count).fill(1)));
      for (let index = from; index < from + count; index++) set.add(index);
    }
    const { had } = given.columns();
    for (const which of [given, Given.of({ had })]) {
      for (let index = 0; index < 220; index++) expect(which.has(index, 1), `seed ${seed}, ${index}`).toBe(set.has(index));
    }
    for (let r = 2; r < had.length; r += 2) expect(had[r]).toBeGreaterThan(had[r - 2]! + had[r - 1]!);
  }
});
