// @ts-check
/** Jobs in databases beside jobs in a file: the same program, tiny tasks, on servers of this run that confirm when it is on disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeKeyspace } from '../scripts/servers/keyspace.mjs';
import { servers } from '../scripts/servers/servers.mjs';
import { interleave, medianOf, ratioOf, runNode } from './rounds.mjs';

const cli = fileURLToPath(new URL('../dist/cli/bin.js', import.meta.url));
const program = fileURLToPath(new URL('programs/million.ts', import.meta.url));

/** @returns {Promise<import('./bench.mjs').Outcome>} */
export async function journals({ rounds = 3, count = 500_000 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-'));
  const isCassandra = 'path' in servers.cassandra.where();
  const [postgres, redis, cassandra] = await Promise.all([
    servers.postgres.start(),
    servers.redis.start({ appendonly: true, appendfsync: 'always' }),
    isCassandra ? startCassandra() : undefined,
  ]);
  let runs = 0;
  try {
    /** @param {() => string} where a new one each time: nothing is there to be found */
    const trial = (where) => async () => {
      runs++;
      const { output } = await runNode([cli, 'run', '--json', '--journal', where(), program, String(count)]);
      return /** @type {Record<string, number>} */ (JSON.parse(output));
    };
    /** @param {string} url */
    const on = (url) => trial(() => `${url}?cluster=bench-${runs}`);
    const seen = await interleave(
      {
        file: trial(() => `file:${join(folder, String(runs))}`),
        postgres: on(postgres.url),
        redis: on(redis.url),
        ...(cassandra && { cassandra: on(`${cassandra.url}/shoal`) }),
      },
      rounds,
    );
    return {
      rows: Object.entries(seen).map(([name, all]) => ({
        journal: name,
        seconds: Number(medianOf(all, 'seconds').toFixed(3)),
        'tasks/s': Math.round(medianOf(all, 'rate')),
        '÷ file': Number(ratioOf(all, seen.file, 'rate').toFixed(2)),
      })),
      claims: [
        { claim: 'of the rate over file:, over PostgreSQL', value: ratioOf(seen.postgres, seen.file, 'rate'), atLeast: 0.5 },
        { claim: 'of the rate over file:, over Redis', value: ratioOf(seen.redis, seen.file, 'rate'), atLeast: 0.5 },
      ],
      notes: { count, fsync: 'each commit', ...(!cassandra && { cassandra: 'not installed' }) },
    };
  } finally {
    for (const server of [postgres, redis, cassandra]) await server?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function startCassandra() {
  const server = await servers.cassandra.start();
  await makeKeyspace(server.port);
  return server;
}
