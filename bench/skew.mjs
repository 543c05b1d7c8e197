// @ts-check
/** Maps whose tasks take very different times, over two workers with one thread each: what is lost because some wait behind a long one. */
import { BenchCluster } from './clusters.mjs';
import { interleave, median, medianOf } from './rounds.mjs';
import { tasks } from './tasks.mjs';

const workers = 2;
const longMs = 3_000;
const longShare = 0.1;

/** @returns {Promise<import('./bench.mjs').Outcome>} */
export async function skew({ rounds = 3, count = 150 } = {}) {
  const { wait } = tasks;
  if (!wait) throw new Error('no task');
  /** The same inputs for all that compete in a round. @type {Record<string, number>} */
  const round = {};
  /** @param {string} name @param {NodeJS.ProcessEnv} env */
  const trial = (name, env) => async () => {
    round[name] = (round[name] ?? 0) + 1;
    const inputs = durations(count, round[name]);
    const own = await BenchCluster.start({ journal: 'file', workers, tasks: new URL('./tasks.mjs', import.meta.url), env });
    const client = await own.connect();
    const started = performance.now();
    const results = await wait.on(client).map(inputs).toArray();
    const seconds = (performance.now() - started) / 1000;
    if (results.length !== count) throw new Error('wrong results');
    await client.close();
    await own.close();
    return { seconds, best: seconds / bestSeconds(inputs) };
  };
  const seen = await interleave({ shoal: trial('on', {}), 'shoal, --stealing off': trial('off', { SHOAL_STEALING: 'off' }) }, rounds);
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      seconds: Number(medianOf(all, 'seconds').toFixed(1)),
      '÷ at best': Number(medianOf(all, 'best').toFixed(2)),
      worst: Number(Math.max(...all.map(({ best = 0 }) => best)).toFixed(2)),
    })),
    claims: [
      {
        claim: 'times as long as if each free thread took the next task at once',
        value: median((seen.shoal ?? []).map(({ best = 0 }) => best)),
        atMost: 1.1,
      },
    ],
    notes: { count, workers, longMs, longShare },
  };
}

/** Most take 2 ms; by a fixed generator (the one of the C standard's example). @param {number} count @param {number} seed */
function durations(count, seed) {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31 < longShare ? longMs : 2;
  });
}

/** As long as it takes if whoever is free takes the next one, and nothing else costs time. @param {readonly number[]} inputs */
function bestSeconds(inputs) {
  const free = new Array(workers).fill(0);
  for (const ms of inputs) {
    const next = free.indexOf(Math.min(...free));
    free[next] += ms;
  }
  return Math.max(...free) / 1000;
}
