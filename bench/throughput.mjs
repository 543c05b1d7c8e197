// @ts-check
/** Many tasks: how many a second, against pools and against bare threads. */
import { interleave, medianOf, ratioOf, runTrial } from './rounds.mjs';
import { roundsPerMs } from './works.mjs';

/**
 * @typedef {import('./contender.mjs').Settings} Settings
 * @typedef {import('./contender.mjs').Trial} Trial
 * @typedef {import('./bench.mjs').Outcome} Outcome
 */

/** What a pool's own documentation offers for many small tasks; the best of them is the one that competes. */
const poolSettings = {
  piscina: [1, 16, 256].flatMap((concurrency) => ['sync', 'async', 'disabled'].map((atomics) => ({ concurrency, atomics }))),
  // 0: no task queue, the pool posts at once.
  poolifier: [0, 1, 64].flatMap((concurrency) => [16, 512, 8192].map((inFlight) => ({ concurrency, inFlight }))),
};

/** @returns {Promise<Outcome>} */
export async function noop({ rounds = 5, count = 1_000_000 } = {}) {
  const piscina = await bestSettings('piscina', poolSettings.piscina);
  const poolifier = await bestSettings('poolifier', poolSettings.poolifier);
  /** @param {string} contender @param {Settings} settings */
  const trial = (contender, settings) => () => runTrial({ contender, mode: 'map', work: 'noop', count, settings });
  const seen = await interleave(
    {
      shoal: trial('shoal', {}),
      piscina: trial('piscina', piscina),
      poolifier: trial('poolifier', poolifier),
      bare: trial('bare', { batch: 1000 }),
    },
    rounds,
  );
  const better = medianOf(seen.piscina, 'rate') > medianOf(seen.poolifier, 'rate') ? 'piscina' : 'poolifier';
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      'tasks/s': Math.round(medianOf(all, 'rate')),
      'peak MiB': Math.round(medianOf(all, 'peakBytes') / 2 ** 20),
      'bytes/task': Math.round(medianOf(all, 'bytesPerTask')),
      'shoal ÷ it': Number(ratioOf(seen.shoal, all, 'rate').toFixed(2)),
    })),
    claims: [
      { claim: `times the rate of the better pool (${better})`, value: ratioOf(seen.shoal, seen[better], 'rate'), atLeast: 10 },
      { claim: 'bytes a task above inputs and results', value: medianOf(seen.shoal, 'bytesPerTask'), atMost: 300 },
    ],
    notes: { count, piscina, poolifier },
  };
}

/** @returns {Promise<Outcome>} */
export function cpu50({ rounds = 3, count = 200 } = {}) {
  return cpu({ rounds, count, ms: 50, batch: 1, atLeast: 0.98 });
}

/** @returns {Promise<Outcome>} */
export function cpu1({ rounds = 3, count = 20_000 } = {}) {
  return cpu({ rounds, count, ms: 1, batch: 20, atLeast: 0.95 });
}

/**
 * @param {{ rounds: number, count: number, ms: number, batch: number, atLeast: number }} options
 * @returns {Promise<Outcome>}
 */
async function cpu({ rounds, count, ms, batch, atLeast }) {
  const input = roundsPerMs() * ms;
  /** @param {string} contender @param {Settings} settings */
  const trial = (contender, settings) => () => runTrial({ contender, mode: 'map', work: 'spin', count, input, settings });
  const contenders = { shoal: trial('shoal', {}), piscina: trial('piscina', {}), bare: trial('bare', { batch }) };
  const seen = await interleave(contenders, rounds);
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      seconds: Number(medianOf(all, 'seconds').toFixed(3)),
      'tasks/s': Math.round(medianOf(all, 'rate')),
      'of bare threads': `${(100 * ratioOf(all, seen.bare, 'rate')).toFixed(1)} %`,
    })),
    claims: [{ claim: 'of the rate of two bare threads', value: ratioOf(seen.shoal, seen.bare, 'rate'), atLeast }],
    notes: { count, ms, roundsPerTask: input, batch },
  };
}

/**
 * @param {string} contender
 * @param {readonly Settings[]} choices
 * @returns {Promise<Settings>}
 */
async function bestSettings(contender, choices) {
  let best = { rate: 0, settings: /** @type {Settings} */ ({}) };
  for (const settings of choices) {
    const trial = runTrial({ contender, mode: 'map', work: 'noop', count: 50_000, settings });
    // A pool may not take every setting: poolifier loses calls where many wait in its task queue.
    const { rate = 0 } = await trial.catch(() => ({ rate: 0 }));
    process.stderr.write(`${contender} ${JSON.stringify(settings)}: ${rate === 0 ? 'failed' : `${Math.round(rate)} tasks/s`}\n`);
    if (rate > best.rate) best = { rate, settings };
  }
  return best.settings;
}
