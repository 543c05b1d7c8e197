import { expect, it } from 'vitest';
import { ClosedStreams, HASH_BYTES, streamHash } from './closed.ts';

it('knows every stream that was closed, and no other', () => {
  const closed = new ClosedStreams();
  const names = Array.from({ length: 20_000 }, (_, index) => `job-${index}`);
  for (const name of names) closed.add(streamHash(name));
  for (const name of names) closed.add(streamHash(name));
  expect(closed.size).toBe(20_000);
  expect(names.every((name) => closed.has(name))).toBe(true);
  expect(names.some((name) => closed.has(`${name}.blobs`))).toBe(false);
});

it('is empty at first', () => {
  expect(new ClosedStreams().has('a')).toBe(false);
});

it('takes hashes from the middle of others', () => {
  const closed = new ClosedStreams();
  const hashes = Buffer.concat(['a', 'b', 'c'].map(streamHash));
  closed.add(hashes, HASH_BYTES);
  expect(['a', 'b', 'c'].map((name) => closed.has(name))).toEqual([false, true, false]);
});
