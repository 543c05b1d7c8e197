// @ts-check
/**
 * The other Node that we promise. Run as a program it runs its arguments under Node 24:
 *
 *   node scripts/node24.mjs scripts/test.mjs
 *
 * The npm package `node` picks its binary in an install script, which npm 12 blocks; the packages that carry the
 * binaries need none, so the right one is installed by name. Kept under node_modules/, which `npm ci` empties.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const major = 24;
const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Its executable. Rejects with the reason where it can't be had.
 * @returns {Promise<string>}
 */
export async function node24() {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const prefix = join(root, 'node_modules/.cache/node24');
  const executable = join(prefix, 'node_modules', name, process.platform === 'win32' ? 'bin/node.exe' : 'bin/node');
  if (!existsSync(executable)) {
    mkdirSync(prefix, { recursive: true });
    const options = ['--prefix', prefix, '--no-save', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...options, `${name}@${major}`], { cwd: prefix, shell: process.platform === 'win32' });
  }
  const { stdout } = await promisify(execFile)(executable, ['--version']);
  if (!stdout.startsWith(`v${major}.`)) throw new Error(`${executable} is ${stdout.trim()}, not Node ${major}`);
  return executable;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const executable = await node24();
  // First in PATH too: tests and npm scripts start `node` by name.
  const env = { ...process.env, PATH: `${dirname(executable)}${delimiter}${process.env.PATH ?? ''}` };
  process.exitCode = spawnSync(executable, process.argv.slice(2), { stdio: 'inherit', env }).status ?? 1;
}
