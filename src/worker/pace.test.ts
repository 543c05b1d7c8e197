import { expect, test } from 'vitest';
import { Pace, Paces, workTasksMax } from './pace.ts';

function measured(taskMs: number, lanes = 1): Pace {
  const pace = new Pace(lanes);
  pace.learn([taskMs * 1000]);
  return pace;
}

/** After enough works that the doubling is over. */
function settled(taskMs: number, lanes = 1): Pace {
  const pace = measured(taskMs, lanes);
  for (let i = 0; i < 13; i++) pace.next(1e6, 2);
  return pace;
}

test('one task until something is known, then twice as many with each work', () => {
  const pace = new Pace(1);
  expect([pace.next(1000, 2), pace.next(1000, 2)]).toEqual([1, 1]);
  expect(pace.estimateMs(1)).toBe(Number.POSITIVE_INFINITY);
  pace.learn([1, 1, 1]);
  expect([1, 2, 3, 4].map(() => pace.next(1000, 2))).toEqual([2, 4, 8, 16]);
});

test('works of 48 ms; tiny tasks by thousands, long ones one by one', () => {
  expect(settled(0).next(1e6, 2)).toBe(workTasksMax);
  expect(settled(0.1).next(1e6, 2)).toBe(480);
  expect(settled(1).next(1e6, 2)).toBe(48);
  expect(settled(5).next(1e6, 2)).toBe(1);
  expect(settled(50).next(1e6, 2)).toBe(1);
});

test('the last ones are shared out, but not into crumbs', () => {
  expect(settled(1).next(6, 2)).toBe(3);
  expect(settled(0.001).next(400, 2)).toBe(200);
  expect(settled(0.001).next(10, 2)).toBe(200);
});

test('with lanes a work keeps all of them busy', () => {
  expect(new Pace(100).next(1000, 2)).toBe(100);
  expect(settled(50, 100).next(10_000, 2)).toBe(100);
  expect(settled(20, 100).next(10_000, 2)).toBe(200);
  expect(settled(50, 100).estimateMs(100)).toBe(50);
});

test('a cold start is forgotten', () => {
  const pace = measured(10);
  for (let i = 0; i < 20; i++) pace.learn([10]);
  expect(pace.taskMs).toBeLessThan(0.05);
});

test('paces belong to a stage, and the oldest go', () => {
  const paces = new Paces();
  const first = paces.of('j', 0, 1);
  expect(paces.of('j', 0, 1)).toBe(first);
  expect(paces.of('j', 1, 1)).not.toBe(first);
  for (let i = 0; i < 300; i++) paces.of(`other${i}`, 0, 1);
  expect(paces.of('j', 0, 1)).not.toBe(first);
});
