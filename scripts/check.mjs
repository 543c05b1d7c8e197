// @ts-check
/** Every static check there is, the same here and in CI. Prints one line a check, and the output of those that fail. */
import { spawnSync } from 'node:child_process';
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

/** @returns {{ passed: number, failed: number }} */
export function check() {
  const counts = { passed: 0, failed: 0 };
  for (const { name, command } of checks) {
    const ran = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
    const passed = ran.status === 0;
    console.log(`${passed ? '  ok  ' : 'FAILED'}  ${name}`);
    if (!passed) console.log(`${ran.stdout ?? ''}${ran.stderr ?? ''}${ran.error ?? ''}`);
    counts[passed ? 'passed' : 'failed']++;
  }
  return counts;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = check().failed === 0 ? 0 : 1;
}
