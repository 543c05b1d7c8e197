// @ts-check
/**
 * Bundles the simulator with the sources that it tests, and runs it: `npm run sim -- --seed 7`.
 * `--mutants [id,id]`: bundles it once more for each planted mutant, with that one rule switched off, and expects it to fail.
 * `--plant ID …`: runs the simulator with that rule switched off.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { isOfFiles, mutants } from '../simulation/mutants.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @param {string} folder
 * @param {import('../simulation/mutants.mjs').Mutant} [mutant]
 */
async function bundle(folder, mutant) {
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
    plugins: mutant ? [plant(mutant)] : [],
  });
  return outfile;
}

/**
 * @param {import('../simulation/mutants.mjs').Mutant} mutant
 * @returns {import('esbuild').Plugin}
 */
function plant({ id, file, find, replace }) {
  return {
    name: id,
    setup(plugin) {
      const path = join(root, file);
      plugin.onLoad({ filter: /\.ts$/ }, ({ path: asked }) => {
        if (asked !== path) return undefined;
        const parts = readFileSync(path, 'utf8').split(find);
        if (parts.length !== 2) throw new Error(`mutant ${id}: its text occurs ${parts.length - 1} times in ${file}`);
        return { contents: parts.join(replace), loader: 'ts' };
      });
    },
  };
}

/** @param {string | undefined} only */
async function killMutants(only) {
  const chosen = mutants.filter(({ id }) => !only || only.split(',').includes(id));
  const alive = [];
  for (const mutant of chosen) {
    const { id, budget } = mutant;
    const ran = await inFolder(async (folder) =>
      spawnSync(
        process.execPath,
        [await bundle(folder, mutant), '--from', '1', '--count', `${budget}`, '--once', ...(isOfFiles(mutant) ? ['--files'] : [])],
        { encoding: 'utf8' },
      ),
    );
    const caught = /^seed (\d+) violates (\S+)/m.exec(ran.stdout);
    const after = /^(\d+) schedules/m.exec(ran.stdout)?.[1];
    if (!caught) alive.push(id);
    console.log(
      `${caught ? '  dead  ' : ' ALIVE  '}${id.padEnd(26)}${caught ? `${caught[2]} after ${after} of ${budget} schedules` : ran.stderr.slice(0, 500)}`,
    );
  }
  console.log(`${chosen.length - alive.length} of ${chosen.length} mutants were caught`);
  return alive.length === 0 ? 0 : 1;
}

/**
 * @template T
 * @param {(folder: string) => Promise<T>} act
 */
async function inFolder(act) {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-sim-'));
  try {
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a failure has to be looked at with. */
function commit() {
  const git = (/** @type {string[]} */ ...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
  return `${git('rev-parse', '--short=12', 'HEAD') || 'unknown'}${git('status', '--porcelain') === '' ? '' : ' with changes'}`;
}

/** @param {string} id */
function mutantOf(id) {
  const mutant = mutants.find((each) => each.id === id);
  if (!mutant) throw new Error(`there is no mutant ${id}`);
  return mutant;
}

const args = process.argv.slice(2);
const planted = args[0] === '--plant' ? mutantOf(args.splice(0, 2)[1] ?? '') : undefined;
process.exitCode =
  args[0] === '--mutants'
    ? await killMutants(args[1])
    : await inFolder(async (folder) => {
        const outfile = await bundle(folder, planted);
        const run = ['--enable-source-maps', outfile, '--commit', commit(), ...args];
        return spawnSync(process.execPath, run, { stdio: 'inherit' }).status ?? 1;
      });
