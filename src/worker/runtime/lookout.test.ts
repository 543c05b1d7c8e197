import { expect, it } from 'vitest';
import { Lookout } from './lookout.ts';

it('looks again and again for its time, and stops at the first that it takes', () => {
  const lookout = new Lookout(Number.POSITIVE_INFINITY);
  let looks = 0;
  expect(lookout.look(() => ++looks === 5)).toBe(true);
  expect(looks).toBe(5);
});

it('lets more and more chances pass while nothing comes in time, but never all', () => {
  const lookout = new Lookout(0);
  const chances = 1000;
  const lookedAt: number[] = [];
  for (let i = 0; i < chances; i++) {
    lookout.look(() => {
      lookedAt.push(i);
      return false;
    });
  }
  const passed = lookedAt.slice(1).map((at, i) => at - lookedAt[i]! - 1);
  expect(passed.slice(0, 10)).toEqual([0, 0, 0, 2, 4, 8, 16, 32, 64, 64]);
  expect(chances - lookedAt.at(-1)!).toBeLessThanOrEqual(65);
});

it('looks each time again once something came', () => {
  const lookout = new Lookout(0);
  let looks = 0;
  for (let i = 0; i < 6; i++) lookout.look(() => ++looks < 0);
  while (!lookout.look(() => ++looks > 0));
  const before = looks;
  for (let i = 0; i < 4; i++) lookout.look(() => ++looks < 0);
  expect(looks - before).toBe(4);
});
