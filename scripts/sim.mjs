// @ts-check
/** Bundles the simulator with the sources that it tests, and runs it: `npm run sim -- --seed 7`. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'shoal-sim-'));
try {
  // As deep in it as the sources are in the repository, whose package.json says which version this is.
  const outfile = join(folder, 'bundle/simulation/sim.mjs');
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  await build({
    entryPoints: [join(root, 'simulation/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'error',
  });
  const ran = spawnSync(process.execPath, ['--enable-source-maps', outfile, ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exitCode = ran.status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
