// @ts-check
/** Jobs in databases beside jobs in a file: the same program, tiny tasks, on servers of this run that confirm when it is on disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { servers } from '../scripts/servers/servers.mjs';
import { interleave, medianOf, ratioOf, runNode } from './rounds.mjs';

const cli = fileURLToPath(new URL('../dist/cli/bin.js', import.meta.url));
const program = fileURLToPath(new URL('programs/million.ts', import.meta.url));

/** @returns {Promise<import('./bench.mjs').Outcome>} */
export async function journals({ rounds = 3, count = 500_000 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-'));
  const started = await Promise.all([servers.postgres.start(), servers.redis.start({ appendonly: true, appendfsync: 'always' })]);
  let runs = 0;
  try {
    /** @param {() => string} where a new one each time: nothing is there to be found */
    const trial = (where) => async () => {
      runs++;
      const { output } = await runNode([cli, 'run', '--json', '--journal', where(), program, String(count)]);
      return /** @type {Record<string, number>} */ (JSON.parse(output));
    };
    const [postgres, redis] = started.map(({ url }) => trial(() => `${url}?cluster=bench-${runs}`));
    const seen = await interleave(
      {
        file: trial(() => `file:${join(folder, String(runs))}`),
        postgres: /** @type {NonNullable<typeof postgres>} */ (postgres),
        redis: /** @type {NonNullable<typeof redis>} */ (redis),
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
      notes: { count, fsync: 'each commit' },
    };
  } finally {
    for (const server of started) await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
