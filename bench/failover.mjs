// @ts-check
/** Three coordinators, one of which leads and goes: how long until a task that is submitted at that moment has its result. */
import { servers } from '../scripts/servers/servers.mjs';
import { BenchCluster, end } from './clusters.mjs';
import { median } from './rounds.mjs';
import { tasks } from './tasks.mjs';

/** @typedef {import('./bench.mjs').Outcome} Outcome */

/** With their servers' own defaults, but for ZooKeeper's ticks: its default of 2 s would let no session end before 4 s. */
const elections = /** @type {const} */ (['file', 'redis', 'etcd', 'zookeeper', 'postgres']);
const killSecondsMax = 3;
const stopSecondsMax = 0.5;

/** @returns {Promise<Outcome>} */
export async function failover({ rounds = 7 } = {}) {
  /** @type {Record<string, { killed: number[], stopped: number[] }>} */
  const seen = {};
  for (const election of elections) seen[election] = await times(election, rounds);
  return {
    rows: Object.entries(seen).map(([election, { killed, stopped }]) => ({
      election,
      'killed: s, median': shown(median(killed)),
      'killed: s, at most': shown(Math.max(...killed)),
      'stopped: s, median': shown(median(stopped)),
      'stopped: s, at most': shown(Math.max(...stopped)),
    })),
    claims: Object.entries(seen).flatMap(([election, { killed, stopped }]) => [
      {
        claim: `s from kill -9 of the leader to the next task's result, ${election}, median`,
        value: median(killed),
        atMost: killSecondsMax,
      },
      {
        claim: `s from SIGTERM of the leader to the next task's result, ${election}, median`,
        value: median(stopped),
        atMost: stopSecondsMax,
      },
    ]),
    notes: { coordinators: 3, journal: 'file', rounds },
  };
}

/** @param {typeof elections[number]} election @param {number} rounds */
async function times(election, rounds) {
  const server = election === 'file' ? undefined : await servers[election].start();
  const own = await BenchCluster.start({
    journal: 'file',
    workers: 2,
    tasks: new URL('./tasks.mjs', import.meta.url),
    coordinators: 3,
    ...(server && { election: server.url.replace(/^http:/, 'etcd:') }),
  });
  try {
    const client = await own.connect();
    const killed = [];
    const stopped = [];
    for (let round = 0; round < rounds; round++) {
      process.stderr.write(`round ${round + 1} of ${rounds}: ${election}\n`);
      killed.push(await secondsWithout(own, client, 'SIGKILL'));
      stopped.push(await secondsWithout(own, client, 'SIGTERM'));
    }
    await client.close();
    return { killed, stopped };
  } finally {
    await own.close();
    await server?.stop();
  }
}

/** @param {BenchCluster} own @param {import('shoal').Cluster} client @param {'SIGKILL' | 'SIGTERM'} signal */
async function secondsWithout(own, client, signal) {
  const { noop } = tasks;
  if (!noop) throw new Error('no task');
  const leader = await own.leader();
  await client.waitForWorkers(2);
  await noop.on(client).run(1);
  // Anywhere between two renewals.
  await new Promise((resolve) => setTimeout(resolve, 1_000 + Math.random() * 1_000));
  const started = performance.now();
  const ended = end(own.coordinators[leader], signal);
  await noop.on(client).run(1);
  const seconds = (performance.now() - started) / 1000;
  await ended;
  await own.startCoordinator(leader);
  return seconds;
}

/** @param {number} seconds */
function shown(seconds) {
  return Number(seconds.toFixed(2));
}
