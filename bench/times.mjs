// @ts-check
/** Single things: one tiny task, the first result of a program, a journal, a job that is there already. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { interleave, medianOf, ratioOf, runNode, runTrial } from './rounds.mjs';

/** @typedef {import('./bench.mjs').Outcome} Outcome */

const cli = fileURLToPath(new URL('../dist/cli/bin.js', import.meta.url));
/** @param {string} name */
const program = (name) => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

/** @returns {Promise<Outcome>} */
export async function latency({ rounds = 5, count = 20_000 } = {}) {
  /** @param {string} contender */
  const trial = (contender) => () => runTrial({ contender, mode: 'run', work: 'noop', count });
  const seen = await interleave({ shoal: trial('shoal'), piscina: trial('piscina'), bare: trial('bare') }, rounds);
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      'p50 ms': Number(medianOf(all, 'p50Ms').toFixed(4)),
      'p99 ms': Number(medianOf(all, 'p99Ms').toFixed(4)),
      'p50 ÷ piscina': Number(ratioOf(all, seen.piscina, 'p50Ms').toFixed(2)),
    })),
    claims: [{ claim: 'times the p50 of piscina.run()', value: ratioOf(seen.shoal, seen.piscina, 'p50Ms'), atMost: 2 }],
    notes: { count },
  };
}

/** @returns {Promise<Outcome>} */
export async function runs({ rounds = 3, count = 40_000 } = {}) {
  /** @param {string} contender @param {number} inFlight */
  const trial = (contender, inFlight) => () => runTrial({ contender, mode: 'run', work: 'noop', count, inFlight });
  const contenders = Object.fromEntries(
    [10, 1_000, 10_000].flatMap((inFlight) => ['shoal', 'piscina'].map((name) => [`${name} ${inFlight}`, trial(name, inFlight)])),
  );
  const seen = await interleave(contenders, rounds);
  return {
    rows: Object.entries(seen).map(([name, all]) => ({ 'contender, calls at a time': name, 'runs/s': Math.round(medianOf(all, 'rate')) })),
    claims: [
      {
        claim: 'of the rate of ten run() at a time that ten thousand have',
        value: ratioOf(seen['shoal 10000'] ?? [], seen['shoal 10'] ?? [], 'rate'),
        atLeast: 0.5,
      },
    ],
    notes: { count },
  };
}

/** @returns {Promise<Outcome>} */
export async function start({ rounds = 7 } = {}) {
  /** @param {string[]} args */
  const firstByte = (args) => async () => {
    const started = performance.now();
    let seconds = Number.NaN;
    await runNode(args, () => {
      if (Number.isNaN(seconds)) seconds = (performance.now() - started) / 1000;
    });
    return { seconds };
  };
  const contenders = {
    'node hello.mjs': firstByte([program('hello.mjs')]),
    'shoal run hello.ts': firstByte([cli, 'run', '--quiet', program('hello.ts')]),
    'bare thread': firstByte([program('hello-bare.mjs')]),
    'node -e': firstByte(['-e', 'console.log(1)']),
  };
  const seen = await interleave(contenders, rounds);
  return {
    rows: Object.entries(seen).map(([name, all]) => ({ program: name, 'first byte after s': Number(medianOf(all, 'seconds').toFixed(3)) })),
    claims: [
      { claim: 'seconds to the first result, node hello.mjs', value: medianOf(seen['node hello.mjs'], 'seconds'), atMost: 0.4 },
      { claim: 'seconds to the first result, shoal run hello.ts', value: medianOf(seen['shoal run hello.ts'], 'seconds'), atMost: 0.4 },
    ],
    notes: {},
  };
}

/** @returns {Promise<Outcome>} */
export async function journal({ rounds = 3, count = 1_000_000 } = {}) {
  /** @param {string[]} flags */
  const mapProgram = async (...flags) => {
    const { output, errors } = await runNode([cli, 'run', '--json', ...flags, program('million.ts'), String(count)]);
    const recovered = Number(/"recovered":(\d+)/.exec(errors)?.[1] ?? 0);
    return /** @type {Record<string, number>} */ ({ ...JSON.parse(output), computed: count - recovered });
  };
  /** @type {Record<string, number>[]} */
  const resumed = [];
  const contenders = {
    memory: () => mapProgram(),
    file: () =>
      inFolder(async (folder) => {
        const first = await mapProgram('--journal', `file:${folder}`);
        resumed.push(await mapProgram('--journal', `file:${folder}`));
        return first;
      }),
  };
  const { memory, file } = await interleave(contenders, rounds);
  return {
    rows: Object.entries({ memory, file, 'file, again': resumed }).map(([name, all]) => ({
      journal: name,
      seconds: Number(medianOf(all, 'seconds').toFixed(3)),
      'tasks/s': Math.round(medianOf(all, 'rate')),
      'tasks computed': Math.round(medianOf(all, 'computed')),
    })),
    claims: [
      { claim: 'of the rate without a journal', value: ratioOf(file, memory, 'rate'), atLeast: 0.75 },
      { claim: `seconds to resume ${count} finished tasks`, value: medianOf(resumed, 'seconds'), atMost: 3 },
    ],
    notes: { count },
  };
}

/**
 * @template T
 * @param {(folder: string) => Promise<T>} use
 */
async function inFolder(use) {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
