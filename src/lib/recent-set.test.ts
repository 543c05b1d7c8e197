import { expect, it } from 'vitest';
import { RecentSet } from './recent-set.ts';

it('keeps the values that were added last, and says which one goes', () => {
  const set = new RecentSet<number>(3);
  expect([1, 2, 3, 4, 4, 5].map((value) => set.add(value))).toEqual([undefined, undefined, undefined, 1, undefined, 2]);
  expect([1, 2, 3, 4, 5].filter((value) => set.has(value))).toEqual([3, 4, 5]);
  for (let value = 6; value < 100; value++) expect(set.add(value)).toBe(value - 3);
  set.clear();
  expect([98, 99].filter((value) => set.has(value))).toEqual([]);
  expect([1, 2, 3, 4].map((value) => set.add(value))).toEqual([undefined, undefined, undefined, 1]);
});

it('forgets what is deleted; added again it is there', () => {
  const set = new RecentSet<string>(2);
  set.add('a');
  set.delete('a');
  expect(set.has('a')).toBe(false);
  set.add('a');
  expect(set.has('a')).toBe(true);
  set.add('b');
  set.add('c');
  expect(['b', 'c'].every((value) => set.has(value))).toBe(true);
});
