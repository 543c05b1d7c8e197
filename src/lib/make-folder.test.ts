import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeFolder } from './make-folder.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-folder-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('makes what is missing, for this user alone, and says where that begins', () => {
  expect(makeFolder(join(folder, 'a', 'b', 'c'))).toBe(join(folder, 'a'));
  expect(statSync(join(folder, 'a', 'b', 'c')).mode & 0o777).toBe(0o700);
  expect(makeFolder(join(folder, 'a', 'b', 'c'))).toBeUndefined();
  expect(makeFolder(join(folder, 'a', 'd'))).toBe(join(folder, 'a', 'd'));
});

test.each(['file', 'file/below'])('%s: where a file stands in the way, says so', (path) => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => makeFolder(join(folder, path))).toThrow(expect.objectContaining({ code: expect.stringMatching(/^EEXIST|ENOTDIR$/) }));
});

test.each(['/proc/shoal', '/proc/shoal/below'])('%s: ends where nothing can be made', (path) => {
  expect(() => makeFolder(path)).toThrow(expect.objectContaining({ code: expect.any(String) }));
});
