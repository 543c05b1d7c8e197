/** DESIGN H19: a writer sees each newer segment, also where it does not read the names every time. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { nodeDisk } from './disk.ts';
import { Fence } from './fence.ts';
import { segmentFileName } from './format.ts';
import { trial } from './trial.suite.ts';

const { directory } = trial();

it('H19: reads the names when something has changed, or when the disk can’t tell, and sees who came', () => {
  const names = [segmentFileName(1)];
  let mark: number | undefined = 7;
  let looks = 0;
  const list = (): string[] => {
    looks++;
    return [...names];
  };
  const fence = new Fence({ ...nodeDisk, list, marksOf: () => () => mark }, '');
  for (let i = 0; i < 3; i++) expect(fence.isSuperseded(1)).toBe(false);
  expect(looks).toBe(1);
  mark = undefined;
  for (let i = 0; i < 3; i++) expect(fence.isSuperseded(1)).toBe(false);
  expect(looks).toBe(4);
  mark = 7;
  expect(fence.isSuperseded(1)).toBe(false);
  names.push(segmentFileName(2));
  mark = 8;
  for (let i = 0; i < 3; i++) expect(fence.isSuperseded(1)).toBe(true);
  expect(fence.isSuperseded(2)).toBe(false);
});

it('a directory’s mark is another one after each change, and there is none before its time has gone on', async (context) => {
  if (process.platform !== 'linux') context.skip('other systems’ directories are not asked for marks');
  const path = await directory();
  const markNow = nodeDisk.marksOf(path);
  await writeFile(join(path, 'a'), '');
  expect(markNow()).toBeUndefined();
  const later = Date.now() + 60_000;
  const clock = vi.spyOn(Date, 'now').mockReturnValue(later);
  try {
    for (let i = 0; i < 20; i++) {
      const before = markNow();
      expect(before).toEqual(expect.any(Number));
      expect(markNow()).toBe(before);
      // Until the file system's clock has ticked, as it has by far once a mark is given.
      await vi.waitFor(async () => {
        await writeFile(join(path, 'b'), '');
        await rm(join(path, 'b'));
        expect(markNow()).not.toBe(before);
      }, 60_000);
    }
  } finally {
    clock.mockRestore();
  }
});
