import { expect, test } from 'vitest';
import { heldHash, heldHashOf } from './held-hash.ts';

test('the order of what is held does not matter, every number of it does', () => {
  const a = { term: 1, serial: 7, remaining: 256 };
  const b = { term: 2, serial: 8, remaining: 1 };
  expect(heldHash([a, b])).toBe(heldHash([b, a]));
  expect(heldHash([])).toBe(0);
  for (const other of [
    { ...a, term: 2 },
    { ...a, serial: 8 },
    { ...a, remaining: 255 },
  ]) {
    expect(heldHash([other, b])).not.toBe(heldHash([a, b]));
  }
});

test('it is a sum: either side may keep it up to date by adding and subtracting', () => {
  const held = [1, 2, 3].map((serial) => ({ term: 4, serial, remaining: serial * 10 }));
  const all = heldHash(held);
  expect((all - heldHashOf(4, 2, 20)) >>> 0).toBe(heldHash([held[0]!, held[2]!]));
});

test('neighbouring serials and counts do not cancel out', () => {
  const seen = new Set<number>();
  for (let serial = 1; serial <= 64; serial++)
    for (let remaining = 1; remaining <= 64; remaining++) seen.add(heldHashOf(1, serial, remaining));
  expect(seen.size).toBe(64 * 64);
});
