/** `npm run sim`: schedules by the minute, by the count, or one seed step by step. See docs/explanation/how-we-test.md. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type FilesOutcome, runFiles } from './files/schedule.ts';
import { listing } from './listing.ts';
import { mutants } from './mutants.mjs';
import { type FaultKind, faultKinds, type Limits } from './plan.ts';
import { probeCounts } from './probes.ts';
import { rules } from './rules.ts';
import { type Outcome, runSchedule } from './schedule.ts';
import { describe, limitsOf, shrink, type Trace } from './shrink.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    steps: { type: 'boolean' },
    off: { type: 'string' },
    /** A file with the trace of a shrunk failure. */
    replay: { type: 'string' },
    /** Where to put the trace of the first failure. */
    trace: { type: 'string' },
    /** Does not stop at the first failure. */
    go: { type: 'boolean' },
    /** Neither runs some seeds a second time nor shrinks what fails. */
    once: { type: 'boolean' },
    /** For the second run of some seeds, in a process of its own: one line with the hash of each step. */
    chain: { type: 'string' },
    commit: { type: 'string' },
    /** Schedules of the file journal alone. */
    files: { type: 'boolean' },
    /** Prints the tables of rules and mutants, for the page about testing. */
    list: { type: 'boolean' },
  },
});

// What the runtime warns of (listeners that pile up) is a fault of ours.
process.on('warning', () => void (process.exitCode = 1));

const off = new Set((values.off?.split(',') ?? []).filter((kind): kind is FaultKind => (faultKinds as readonly string[]).includes(kind)));
const commit = values.commit ?? 'unknown';

function tellWhat({ seed, invariant, error, events, virtualMs }: FilesOutcome, again: string): void {
  process.exitCode = 1;
  console.log(`seed ${seed} violates ${invariant} after ${events} events, ${(virtualMs / 1000).toFixed(1)} virtual s, at commit ${commit}`);
  console.log(`  ${error!.stack ?? error!.message}`);
  console.log(`  again: npm run sim -- --seed ${seed} --steps${again}`);
}

async function tell(outcome: Outcome): Promise<void> {
  tellWhat(outcome, off.size > 0 ? ` --off ${[...off].join()}` : '');
  if (values.once || values.replay !== undefined) return;
  const shrunk = await shrink(outcome);
  for (const line of describe(shrunk)) console.log(line);
  console.log('  shrunk, again: npm run sim -- --steps --replay FILE, with that trace in FILE');
  if (values.trace !== undefined) writeFileSync(values.trace, `${JSON.stringify(shrunk.trace)}\n`);
}

async function oneOfFiles(seed: number): Promise<void> {
  const outcome = await runFiles(seed, values.steps ? (line) => console.log(line) : undefined);
  if (outcome.error) return tellWhat(outcome, ' --files');
  const { events, virtualMs, hash } = outcome;
  console.log(`seed ${seed}: ${events} events, ${(virtualMs / 1000).toFixed(1)} virtual s, hash ${hash.toString(16)}`);
}

async function one(seed: number, limits: Limits): Promise<void> {
  const outcome = await runSchedule(seed, limits, values.steps ? { onStep: (line) => console.log(line) } : {});
  if (outcome.error) return tell(outcome);
  console.log(
    `seed ${seed}: ${outcome.events} events, ${(outcome.virtualMs / 1000).toFixed(1)} virtual s, ${outcome.tasks} tasks, ${outcome.faults.size} faults, hash ${outcome.hash.toString(16)}`,
  );
}

/** One schedule of the file journal for so many of clusters. */
const filesEvery = 4;
/** Seeds that run twice: each hundredth. */
const againEvery = 100;

async function many(): Promise<void> {
  // Errors are thrown by the thousand, as values; whoever wants to see where runs that seed alone.
  Error.stackTraceLimit = 0;
  const from = Number(values.from ?? Math.floor(Date.now() / 1000));
  const countMax = Number(values.count ?? Number.POSITIVE_INFINITY);
  const startMs = performance.now();
  const endMs = startMs + (values.minutes === undefined ? Number.POSITIVE_INFINITY : Number(values.minutes) * 60_000);
  const sums = { schedules: 0, files: 0, events: 0, virtualMs: 0, tasks: 0, faults: 0, failed: 0 };
  const again = new Map<number, string>();
  for (let seed = from; seed < from + countMax && performance.now() < endMs; seed++) {
    if (values.files || (seed - from) % filesEvery === 0) {
      const outcome = await runFiles(seed);
      sums.files++;
      if (outcome.error) {
        sums.failed++;
        tellWhat(outcome, ' --files');
        if (!values.go) break;
      }
    }
    if (values.files) continue;
    const chain: number[] | undefined = !values.once && (seed - from) % againEvery === 0 ? [] : undefined;
    const outcome = await runSchedule(seed, { off }, chain ? { chain } : {});
    sums.schedules++;
    sums.events += outcome.events;
    sums.virtualMs += outcome.virtualMs;
    sums.tasks += outcome.tasks;
    sums.faults += outcome.faults.size;
    if (chain) again.set(seed, hexOf(chain));
    if (outcome.error) {
      sums.failed++;
      await tell(outcome);
      if (!values.go) break;
    }
  }
  const { user, system } = process.cpuUsage();
  const cpuSeconds = (user + system) / 1e6;
  for (const [what, count] of [...probeCounts()].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${String(count).padStart(9)}  ${what}`);
  const what = values.files ? `${sums.files} schedules of files` : `${sums.schedules} schedules, and ${sums.files} of files,`;
  console.log(
    `${what} from seed ${from}, ${sums.failed} failed; ` +
      `${((sums.schedules + sums.files) / cpuSeconds).toFixed(0)} a second of CPU; ` +
      `${sums.events} events, ${(sums.virtualMs / 3_600_000).toFixed(1)} virtual hours, ${sums.tasks} tasks, ${sums.faults} faults`,
  );
  compareChains(again);
}

function hexOf(chain: readonly number[]): string {
  return Buffer.from(Uint32Array.from(chain).buffer).toString('hex');
}

/** The same seeds in another process have to take the same steps. */
function compareChains(again: ReadonlyMap<number, string>): void {
  for (const [seed, chain] of again) {
    const args = [process.argv[1]!, '--chain', String(seed), ...(values.off === undefined ? [] : ['--off', values.off])];
    const other = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 2 ** 30 }).stdout.trim();
    if (other === chain) continue;
    let step = 0;
    while (other.slice(8 * step, 8 * step + 8) === chain.slice(8 * step, 8 * step + 8)) step++;
    console.log(`seed ${seed} is not repeatable: its step ${step} is another one in another process`);
    process.exitCode = 1;
  }
  if (again.size > 0) console.log(`${again.size} of them took the same steps again in another process`);
}

async function chainOf(seed: number): Promise<void> {
  Error.stackTraceLimit = 0;
  const chain: number[] = [];
  await runSchedule(seed, { off }, { chain });
  process.stdout.write(hexOf(chain));
}

if (values.list) console.log(listing(rules, mutants).join('\n'));
else if (values.chain !== undefined) await chainOf(Number(values.chain));
else if (values.replay !== undefined) {
  const trace = JSON.parse(readFileSync(values.replay, 'utf8')) as Trace;
  await one(trace.seed, limitsOf(trace));
} else if (values.seed === undefined) await many();
else await (values.files ? oneOfFiles(Number(values.seed)) : one(Number(values.seed), { off }));
