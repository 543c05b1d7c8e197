// @ts-check
/**
 * Shoal against its peers and against bare threads, on this machine.
 *
 *   npm run bench -- NAME [--rounds N] [--count N]        NAME: noop cpu50 cpu1 latency runs start journal
 *                                                             cluster roundtrip million recovery skew brokers journals failover takeover, or all
 *
 * Prints a table and what it means for each claim, and writes the same to bench/results/NAME.json. Exits with 1 if a claim
 * does not hold. README.md beside this file explains the method.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { brokers } from './brokers.mjs';
import { cluster, million, recovery, roundtrip } from './cluster.mjs';
import { failover, takeover } from './failover.mjs';
import { journals } from './journals.mjs';
import { skew } from './skew.mjs';
import { cpu1, cpu50, noop } from './throughput.mjs';
import { journal, latency, runs, start } from './times.mjs';

/**
 * @typedef {{ claim: string, value: number, atLeast?: number, atMost?: number }} Claim
 * @typedef {{ rows: Record<string, string | number>[], claims: Claim[], notes: object }} Outcome
 * @type {Record<string, (options: { rounds?: number, count?: number }) => Promise<Outcome>>}
 */
const benches = {
  noop,
  cpu50,
  cpu1,
  latency,
  runs,
  start,
  journal,
  cluster,
  roundtrip,
  million,
  recovery,
  skew,
  brokers,
  journals,
  failover,
  takeover,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, count: { type: 'string' } },
});
const names = positionals[0] === 'all' ? Object.keys(benches) : positionals;
const unknown = names.filter((name) => !benches[name]);
if (names.length === 0 || unknown.length > 0) {
  console.error(`which of ${Object.keys(benches).join(', ')}, all?`);
  process.exitCode = 2;
} else {
  for (const name of names) await report(name);
}

/** @param {string} name */
async function report(name) {
  const options = {
    ...(values.rounds !== undefined && { rounds: Number(values.rounds) }),
    ...(values.count !== undefined && { count: Number(values.count) }),
  };
  const run = /** @type {NonNullable<typeof benches[string]>} */ (benches[name]);
  const { rows, claims, notes } = await run(options);
  const machine = { node: process.version, cores: cpus().length, cpu: cpus()[0]?.model };
  console.log(`\n${name}  ${JSON.stringify({ ...machine, ...notes })}`);
  console.table(rows);
  for (const { claim, value, atLeast, atMost } of claims) {
    const holds = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
    const wanted = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
    console.log(`${holds ? '  ok  ' : 'MISSED'}  ${value.toFixed(3)} ${claim} (wanted: ${wanted})`);
    if (!holds) process.exitCode = 1;
  }
  const folder = new URL('results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify({ name, ...machine, ...options, notes, rows, claims }, null, 2)}\n`);
}
