// @ts-check
/** Three coordinators, one of which leads and goes: how long until a task that is submitted at that moment has its result. */
import { servers } from '../scripts/servers/servers.mjs';
import { BenchCluster, end } from './clusters.mjs';
import { median } from './rounds.mjs';
import { tasks } from './tasks.mjs';

/** @typedef {import('./bench.mjs').Outcome} Outcome */

/** With their servers' own defaults, but for ZooKeeper's ticks: its default of 2 s would let no session end before 4 s. */
const pairs = /** @type {const} */ ([
  { journal: 'file', election: 'file' },
  { journal: 'file', election: 'redis' },
  { journal: 'file', election: 'etcd' },
  { journal: 'file', election: 'zookeeper' },
  { journal: 'file', election: 'postgres' },
  { journal: 'redis', election: 'redis' },
  { journal: 'postgres', election: 'postgres' },
]);
const killSecondsMax = 3;
const stopSecondsMax = 0.5;
const takeoverSecondsMax = 3;

/** @returns {Promise<Outcome>} */
export async function failover({ rounds = 7 } = {}) {
  const seen = [];
  for (const pair of pairs) {
    const name = pair.journal === 'file' ? pair.election : `${pair.election}, its jobs there as well`;
    seen.push({ name, ...pair, ...(await on(pair, 3, (own, client) => times(own, client, rounds, name))) });
  }
  return {
    rows: seen.map(({ journal, election, killed, stopped }) => ({
      journal,
      election,
      'killed: s, median': shown(median(killed)),
      'killed: s, at most': shown(Math.max(...killed)),
      'stopped: s, median': shown(median(stopped)),
      'stopped: s, at most': shown(Math.max(...stopped)),
    })),
    claims: seen.flatMap(({ name, killed, stopped }) => [
      { claim: `s from kill -9 of the leader to the next task's result, ${name}, median`, value: median(killed), atMost: killSecondsMax },
      { claim: `s from SIGTERM of the leader to the next task's result, ${name}, median`, value: median(stopped), atMost: stopSecondsMax },
    ]),
    notes: { coordinators: 3, rounds },
  };
}

/** What a history costs the next leader: of jobs that are gone, and of one that is kept. @returns {Promise<Outcome>} */
export async function takeover({ rounds = 5, count = 1_000_000 } = {}) {
  const { noop } = tasks;
  if (!noop) throw new Error('no task');
  const seen = [];
  for (const journal of /** @type {const} */ (['file', 'redis', 'postgres'])) {
    const found = await on({ journal, election: journal }, 2, async (own, client) => {
      /** @param {string} what @param {false | undefined} keepResults */
      const finish = async (what, keepResults) => {
        process.stderr.write(`${journal}: ${what}\n`);
        const job = noop.on(client).map(range(count), { idempotencyKey: what, ...(keepResults === false && { keepResults }) });
        if ((await job.toArray()).length !== count) throw new Error('wrong results');
      };
      const none = await stops(own, client, rounds);
      await finish('gone', false);
      const gone = await stops(own, client, rounds);
      if (await isThere(client, 'gone')) throw new Error('its history was not to be kept');
      await finish('kept', undefined);
      return { none, gone, kept: await stops(own, client, rounds) };
    });
    seen.push({ journal, ...found });
  }
  return {
    rows: seen.map(({ journal, none, gone, kept }) => ({
      journal,
      'no history: s, median': shown(median(none)),
      'jobs that are gone: s, median': shown(median(gone)),
      'a job that is kept: s, median': shown(median(kept)),
    })),
    claims: seen.flatMap(({ journal, none, gone, kept }) => [
      {
        claim: `times as long with ${count} finished tasks of jobs that are gone, ${journal}`,
        value: median(gone) / median(none),
        atMost: 2,
      },
      {
        claim: `s from SIGTERM of the leader to the next task's result, with ${count} finished tasks of a job that is kept, ${journal}`,
        value: median(kept),
        atMost: takeoverSecondsMax,
      },
    ]),
    notes: { coordinators: 2, rounds, count },
  };
}

/**
 * @template T
 * @param {{ journal: 'file' | 'redis' | 'postgres', election: typeof pairs[number]['election'] }} pair
 * @param {number} coordinators
 * @param {(own: BenchCluster, client: import('shoal').Cluster) => Promise<T>} use
 * @returns {Promise<T>}
 */
async function on({ journal, election }, coordinators, use) {
  const elections = election === 'file' ? undefined : await start(election);
  const jobs = journal === election ? elections : await start(journal);
  try {
    const own = await BenchCluster.start({
      journal: jobs?.url ?? 'file',
      workers: 2,
      tasks: new URL('./tasks.mjs', import.meta.url),
      coordinators,
      ...(elections && { election: elections.url.replace(/^http:/, 'etcd:') }),
    });
    try {
      const client = await own.connect();
      const found = await use(own, client);
      await client.close();
      return found;
    } finally {
      await own.close();
    }
  } finally {
    await elections?.stop();
    if (jobs !== elections) await jobs?.stop();
  }
}

/** @param {'file' | typeof pairs[number]['election']} name */
async function start(name) {
  if (name === 'file') return undefined;
  return name === 'redis' ? servers.redis.start({ appendonly: true, appendfsync: 'always' }) : servers[name].start();
}

/** @param {BenchCluster} own @param {import('shoal').Cluster} client @param {number} rounds @param {string} name */
async function times(own, client, rounds, name) {
  const killed = [];
  const stopped = [];
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}: ${name}\n`);
    killed.push(await secondsWithout(own, client, 'SIGKILL'));
    stopped.push(await secondsWithout(own, client, 'SIGTERM'));
  }
  return { killed, stopped };
}

/** @param {BenchCluster} own @param {import('shoal').Cluster} client @param {number} rounds */
async function stops(own, client, rounds) {
  const stopped = [];
  for (let round = 0; round < rounds; round++) stopped.push(await secondsWithout(own, client, 'SIGTERM'));
  return stopped;
}

/** @param {import('shoal').Cluster} client @param {string} key */
async function isThere(client, key) {
  return client.job(key).then(
    () => true,
    () => false,
  );
}

/** @param {number} count */
function* range(count) {
  for (let i = 0; i < count; i++) yield i;
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
