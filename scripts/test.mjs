// @ts-check
/**
 * `npm test`: the static checks, the build, then every test, packaging included; goes on after a failure, so that one
 * run tells all. Each check and the build count as one test, and in CI each real server that it needs and a look at what
 * was left behind. The last line is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { check } from './check.mjs';
import { closingLine } from './closing-line.mjs';
import { newTracesIn, tracesIn } from './leftovers.mjs';
import { dispensable } from './servers/servers.mjs';
import { installServices } from './services.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const counts = { skipped: 0, ...(await check()) };

const built = build({ isUnchecked: true });
console.log(`${built ? '  ok  ' : 'FAILED'}  build\n`);
counts[built ? 'passed' : 'failed']++;

if (process.env.CI) {
  for (const { name, why } of await installServices()) {
    const isFailure = why !== undefined && !dispensable.has(name);
    console.log(`${isFailure ? 'FAILED' : why ? 'absent' : '  ok  '}  ${name}${why ? `: ${why}` : ''}`);
    if (!why || isFailure) counts[isFailure ? 'failed' : 'passed']++;
  }
}

const before = process.env.CI ? tracesIn(root) : [];
const ran = runVitest();
counts.passed += ran.passed;
counts.failed += ran.failed;
counts.skipped += ran.skipped;
if (process.env.CI) {
  const left = await newTracesIn(root, before);
  console.log(`${left.length === 0 ? '  ok  ' : 'FAILED'}  the tests left nothing behind`);
  for (const trace of left) console.log(`        ${trace}`);
  counts[left.length === 0 ? 'passed' : 'failed']++;
}

console.log(`\n${closingLine(counts)}`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** @returns {{ passed: number, failed: number, skipped: number }} */
function runVitest() {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-test-'));
  const file = join(folder, 'counts.json');
  try {
    const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...process.argv.slice(2)], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, SHOAL_TEST_COUNTS: file },
    });
    const result = JSON.parse(readFileSync(file, 'utf8'));
    // Failed, but no test did: a broken set-up, or nothing found to run.
    if (status !== 0 && result.failed === 0) result.failed = 1;
    return result;
  } catch (error) {
    console.error(error);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
