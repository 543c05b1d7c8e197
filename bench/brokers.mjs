// @ts-check
/**
 * The same cluster over each message system that is installed, beside its own port (`ws:`), and BullMQ on the same Redis
 * server. One server of each serves all rounds; each cluster has a name of its own there.
 */
import { servers } from '../scripts/servers/servers.mjs';
import { BenchCluster, end } from './clusters.mjs';
import { interleave, medianOf, ratioOf, runTrial } from './rounds.mjs';
import { tasks } from './tasks.mjs';

/** @typedef {import('./bench.mjs').Outcome} Outcome */

/** Those that carry messages, of all servers that can be started. */
const carriers = /** @type {const} */ (['redis', 'nats', 'rabbitmq', 'kafka']);
/** BullMQ would need half a minute for as many. */
const bullmqShare = 5;
const leaseSeconds = 5;
const taskSeconds = 1;

/** @returns {Promise<Outcome>} */
export async function brokers({ rounds = 3, count = 100_000 } = {}) {
  const running = await startAll();
  /** @param {string} broker */
  const rate = (broker) => () =>
    runTrial({ contender: 'cluster', mode: 'map', work: 'noop', count, settings: { journal: 'memory', broker } });
  /** @type {Record<string, () => Promise<Record<string, number>>>} */
  const contenders = { 'ws:': rate('ws:') };
  for (const { name, server } of running) contenders[`${name}:`] = rate(server.url);
  const redis = running.find(({ name }) => name === 'redis');
  if (redis) {
    const settings = { redisPort: redis.server.port };
    contenders['bullmq on redis'] = () =>
      runTrial({ contender: 'bullmq', mode: 'map', work: 'noop', count: count / bullmqShare, settings });
  }
  try {
    const seen = await interleave(contenders, rounds);
    const lost = await interleave(Object.fromEntries(running.map(({ name, server }) => [`${name}:`, () => workerLost(server.url)])), 1);
    return outcomeOf(seen, lost, count);
  } finally {
    for (const { server } of running) await server.stop();
  }
}

async function startAll() {
  const running = [];
  for (const name of carriers) {
    const found = servers[name].where();
    if ('why' in found) process.stderr.write(`${name}: not measured, ${found.why}\n`);
    else running.push({ name, server: await servers[name].start() });
  }
  return running;
}

/**
 * @param {Record<string, Record<string, number>[]>} seen
 * @param {Record<string, Record<string, number>[]>} lost
 * @param {number} count
 * @returns {Outcome}
 */
function outcomeOf(seen, lost, count) {
  const bullmq = seen['bullmq on redis'];
  return {
    rows: Object.entries(seen).map(([broker, all]) => ({
      broker,
      'tasks/s': Math.round(medianOf(all, 'rate')),
      '÷ ws:': Number(ratioOf(all, seen['ws:'], 'rate').toFixed(2)),
      ...(bullmq && { '÷ bullmq': Number(ratioOf(all, bullmq, 'rate').toFixed(1)) }),
      ...(lost[broker] && { 'worker killed, s': Number(medianOf(lost[broker], 'seconds').toFixed(1)) }),
    })),
    claims: [
      ...Object.keys(lost).map((broker) => ({
        claim: `of the rate of ws:, ${broker}`,
        value: ratioOf(seen[broker], seen['ws:'], 'rate'),
        atLeast: 0.2,
      })),
      ...(bullmq
        ? [{ claim: 'times the rate of BullMQ on the same Redis', value: ratioOf(seen['redis:'], bullmq, 'rate'), atLeast: 10 }]
        : []),
      ...Object.entries(lost).map(([broker, all]) => ({
        claim: `s from kill -9 of a worker to the results of its tasks of ${taskSeconds} s, ${broker}`,
        value: medianOf(all, 'seconds'),
        atMost: leaseSeconds + 1 + taskSeconds,
      })),
    ],
    notes: { count, workers: 2, journal: 'memory' },
  };
}

/** Nobody says over a message system that a worker is gone: its lease has to end. @param {string} broker */
async function workerLost(broker) {
  const { wait } = tasks;
  if (!wait) throw new Error('no task');
  const own = await BenchCluster.start({
    journal: 'memory',
    workers: 2,
    threads: 2,
    tasks: new URL('./tasks.mjs', import.meta.url),
    broker,
  });
  const client = await own.connect();
  const busy = Promise.all(Array.from({ length: 4 }, () => wait.on(client).run(taskSeconds * 1000)));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [first] = own.workers;
  await end(first, 'SIGKILL');
  const killed = performance.now();
  await busy;
  const seconds = (performance.now() - killed) / 1000;
  await client.close();
  await own.close();
  return { seconds };
}
