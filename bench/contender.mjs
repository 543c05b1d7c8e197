// @ts-check
/**
 * One contender in a process of its own: opens it, measures one thing, prints what it saw as one line of JSON.
 *
 *   node bench/contender.mjs '{"contender": "shoal", "mode": "map", "work": "noop", "count": 1000000, "input": 1}'
 */
import { performance } from 'node:perf_hooks';
import { lanes } from './lanes.mjs';
import { works } from './works.mjs';

/**
 * @typedef {Record<string, string | number>} Settings
 * @typedef {object} Contender
 * @property {(inputs: number[]) => Promise<unknown[]>} map all results, in the order of the inputs
 * @property {(input: number) => Promise<unknown>} run
 * @property {() => Promise<void>} close
 * @typedef {(options: { work: string, threads: number, settings: Settings }) => Promise<Contender>} Open
 * @typedef {object} Trial
 * @property {string} contender
 * @property {'map' | 'run'} mode
 * @property {string} work
 * @property {number} count
 * @property {number} [input] the same for every task; absent: its index
 * @property {number} [threads]
 * @property {number} [inFlight] calls at a time of mode `run`; absent: each is measured by itself
 * @property {Settings} [settings]
 */

/** @type {Trial} */
const trial = JSON.parse(process.argv[2] ?? '{}');
const { count, threads = 2, work, settings = {} } = trial;
/** @type {{ open: Open }} */
const { open } = await import(`./contenders/${trial.contender}.mjs`);
const contender = await open({ work, threads, settings });

/** @type {object} */
const seen = await (trial.mode === 'map' ? measureMap() : trial.inFlight ? measureLanes(trial.inFlight) : measureRuns());
await contender.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);

async function measureMap() {
  const inputs = Array.from({ length: count }, (_, index) => trial.input ?? index);
  // Above what is there anyway: an open pool, all inputs, and as many results.
  const heldBytes = process.memoryUsage.rss() + 8 * count;
  // Threads that have started, code that is compiled: what it takes to get there is the business of the bench `start`.
  await contender.map(inputs.slice(0, Math.ceil(count / 10)));
  const started = performance.now();
  const results = await contender.map(inputs);
  const seconds = (performance.now() - started) / 1000;
  const last = inputs.at(-1);
  if (results.length !== count || (last !== undefined && results.at(-1) !== works[work]?.(last))) throw new Error('wrong results');
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  return { seconds, rate: count / seconds, peakBytes, bytesPerTask: Math.max(0, peakBytes - heldBytes) / count };
}

/** @param {number} inFlight */
async function measureLanes(inFlight) {
  const inputs = Array.from({ length: count }, (_, index) => trial.input ?? index);
  await lanes(inputs.slice(0, Math.ceil(count / 5)), inFlight, contender.run);
  const started = performance.now();
  await lanes(inputs, inFlight, contender.run);
  return { rate: count / ((performance.now() - started) / 1000) };
}

async function measureRuns() {
  for (let warm = 0; warm < count / 5; warm++) await contender.run(trial.input ?? warm);
  const times = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await contender.run(trial.input ?? index);
    times[index] = performance.now() - started;
  }
  times.sort();
  return { p50Ms: times[Math.floor(count * 0.5)], p99Ms: times[Math.floor(count * 0.99)] };
}
