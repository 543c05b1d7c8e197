// @ts-check
/**
 * Builds dist/ with tsc, one module per source file, so that subpath exports and stack traces keep their names.
 *
 * The new tree is emitted beside the old one and swapped in by rename: whatever runs from dist/ meanwhile (a test's
 * threads, a demo) sees the old build or the new one, never half of each, and files whose source is gone do not linger.
 *
 * `--unchecked` emits the same without looking whether types fit; the test set-up uses it, because types are a check of their
 * own. Without it a build that does not type-check leaves dist/ as it was and fails.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const stamp = join(dist, '.built');

/**
 * @param {{ isUnchecked?: boolean }} [options]
 * @returns {boolean} is it what the sources say?
 */
export function build(options = {}) {
  // At the same depth as dist/, so that the relative paths in source maps hold after the rename.
  const fresh = join(root, `.dist-${process.pid}`);
  const stale = `${fresh}-old`;
  const started = new Date();
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const unchecked = options.isUnchecked ? ['--noCheck'] : [];
    const compiled = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh, ...unchecked], {
      cwd: root,
      stdio: ['ignore', 2, 2],
    });
    if (compiled.status !== 0) return false;
    const bin = join(fresh, 'cli/bin.js');
    if (existsSync(bin)) chmodSync(bin, 0o755);
    // Dated at the start: a source that was edited during the build counts as newer.
    writeFileSync(join(fresh, '.built'), '');
    utimesSync(join(fresh, '.built'), started, started);
    if (existsSync(dist)) renameSync(dist, stale);
    renameSync(fresh, dist);
    linkBin();
    return true;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
    rmSync(stale, { recursive: true, force: true });
  }
}

/** Is every source file older than the last build? A removed source counts through its folder's time. */
export function isFresh() {
  if (!existsSync(stamp)) return false;
  const builtMs = statSync(stamp).mtimeMs;
  return !newerThan(join(root, 'src'), builtMs) && statSync(join(root, 'tsconfig.build.json')).mtimeMs < builtMs;
}

/**
 * @param {string} folder
 * @param {number} wallMs
 * @returns {boolean}
 */
function newerThan(folder, wallMs) {
  if (statSync(folder).mtimeMs > wallMs) return true;
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return newerThan(path, wallMs);
    return !/\.(test|suite|double)\.ts$/.test(entry.name) && statSync(path).mtimeMs > wallMs;
  });
}

/** `npx shoal` in the checkout: npm links the bins of dependencies, not those of the package itself. */
function linkBin() {
  const bins = join(root, 'node_modules/.bin');
  mkdirSync(bins, { recursive: true });
  const link = join(bins, 'shoal');
  rmSync(link, { force: true });
  symlinkSync('../../dist/cli/bin.js', link);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = build({ isUnchecked: process.argv.includes('--unchecked') }) ? 0 : 1;
}
