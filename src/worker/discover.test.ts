import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { discoverTasks } from './discover.ts';

const folder = mkdtempSync(join(tmpdir(), 'shoal-discover-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a module that throws is named with the place in it, without the frames of its loader', async () => {
  const file = join(folder, 'broken.mjs');
  writeFileSync(file, "\n\nthrow new Error('not today');\n");
  const error = await discoverTasks([pathToFileURL(file).href]).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'SH5012', message: `${file} could not be loaded: not today` });
  const { why } = error as { why: string };
  expect(why.split('\n')[0]).toBe(`at ${file}:3:7`);
  expect(why).not.toContain('node:internal');
});

test.each([
  ['waits', 'await new Promise(() => setInterval(() => undefined, 1_000));'],
  ['computes', 'for (;;);'],
])('a module whose top level %s for ever is said not to load, once it had its time', async (_, text) => {
  const file = join(folder, 'endless.mjs');
  writeFileSync(file, text);
  await expect(discoverTasks([pathToFileURL(file).href], 200)).rejects.toMatchObject({
    code: 'SH5012',
    message: `${file} could not be loaded within 0.2 s`,
    hint: 'put what a program does into main(async () => { … })',
  });
});
