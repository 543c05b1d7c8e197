// @ts-check
/** Every static check there is, the same here and in CI. Prints one line a check, and the output of those that fail. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (/** @type {string} */ path) => join(root, 'node_modules', path);

/** @type {readonly { name: string, command: readonly string[] }[]} */
const checks = [
  { name: 'format and syntax (biome)', command: [bin('@biomejs/biome/bin/biome'), 'check', '--error-on-warnings'] },
  { name: 'promises and unions (oxlint)', command: [bin('oxlint/bin/oxlint'), '-c', 'oxlint.jsonc', '--type-aware', '--deny-warnings'] },
  { name: 'types (tsc)', command: [bin('typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit'] },
  { name: 'lockfile', command: [join(root, 'scripts/lockfile.mjs')] },
  { name: 'house rules', command: [join(root, 'scripts/check-house.mjs')] },
];

/** All at a time: the longest of them uses one core. @returns {Promise<{ passed: number, failed: number }>} */
export async function check() {
  const counts = { passed: 0, failed: 0 };
  const running = checks.map(({ name, command }) => ({ name, ended: run(command) }));
  for (const { name, ended } of running) {
    const { passed, output } = await ended;
    console.log(`${passed ? '  ok  ' : 'FAILED'}  ${name}`);
    if (!passed) console.log(output);
    counts[passed ? 'passed' : 'failed']++;
  }
  return counts;
}

/**
 * @param {readonly string[]} command
 * @returns {Promise<{ passed: boolean, output: string }>}
 */
function run(command) {
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: root, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resolve({ passed: error === null, output: `${stdout}${stderr}${stdout || stderr ? '' : error}` }),
    );
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = (await check()).failed === 0 ? 0 : 1;
}
