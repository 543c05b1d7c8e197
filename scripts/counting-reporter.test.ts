/** The closing line tells the truth about a real run with a test that passes, one that fails and one that is skipped. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../test/packed.ts';
import { closingLine } from './closing-line.mjs';

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const reporter = fileURLToPath(new URL('./counting-reporter.mjs', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-reporter-'));
  await writeFile(join(folder, 'passes.test.js'), `test('passes', () => {});`);
  await writeFile(join(folder, 'fails.test.js'), `test('fails', () => { throw new Error('no'); });`);
  await writeFile(join(folder, 'skips.test.js'), `describe('far', () => { test('skips', ({ skip }) => skip('no server')); });`);
  const lacks = `test('lacks', ({ skip, task }) => { task.meta.isDispensable = true; skip('no Java 17'); });`;
  await writeFile(join(folder, 'lacks.test.js'), lacks);
  await writeFile(join(folder, 'broken.test.js'), `throw new Error('does not load');`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const runTests = (names: readonly string[], env: Record<string, string>) =>
  run(process.execPath, [vitest, 'run', '--root', folder, '--globals', '--reporter', reporter, ...names], folder, {
    CI: '',
    ...env,
  });
const lastLine = (text: string): string | undefined => text.trimEnd().split('\n').at(-1);

it('counts what passed', async () => {
  const { status, stdout } = await runTests(['passes'], {});
  expect([status, lastLine(stdout)]).toEqual([0, '1 passed, 0 failed']);
});

it('counts what failed, and a file that does not load as one', async () => {
  const { status, stdout } = await runTests(['passes', 'fails', 'broken'], {});
  expect([status, lastLine(stdout)]).toEqual([1, '1 passed, 2 failed']);
});

it('prints why a test did not run', async () => {
  const { status, stdout, stderr } = await runTests(['passes', 'skips'], {});
  expect([status, lastLine(stdout)]).toEqual([0, '1 passed, 0 failed, 1 skipped']);
  expect(stderr).toContain('1 NOT RUN');
  expect(stderr).toContain('skips.test.js > far > skips\n     no server');
});

it('counts a skip as failed in CI', async () => {
  const { status, stdout } = await runTests(['passes', 'skips'], { CI: 'true' });
  expect([status, lastLine(stdout)]).toEqual([1, '1 passed, 1 failed']);
});

it('counts a skip as skipped even in CI where the test says that CI can do without it', async () => {
  const { status, stdout, stderr } = await runTests(['passes', 'lacks'], { CI: 'true' });
  expect([status, lastLine(stdout)]).toEqual([0, '1 passed, 0 failed, 1 skipped']);
  expect(stderr).toContain('1 NOT RUN, of which CI counts 0 as failed');
  expect(stderr).toContain('lacks.test.js > lacks\n     no Java 17');
});

it('leaves the counts in a file for whoever adds more to them', async () => {
  const file = join(folder, 'counts.json');
  const { stdout } = await runTests(['passes'], { SHOAL_TEST_COUNTS: file });
  expect(stdout).not.toContain('passed');
  expect(closingLine(JSON.parse(await readFile(file, 'utf8')))).toBe('1 passed, 0 failed');
});
