/** `npm run sim`: schedules by the minute, by the count, or one seed step by step. See docs/explanation/how-we-test.md. */
import { parseArgs } from 'node:util';
import { type FaultKind, faultKinds } from './plan.ts';
import { probeCounts } from './probes.ts';
import { type Outcome, runSchedule } from './schedule.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    steps: { type: 'boolean' },
    off: { type: 'string' },
    /** Does not stop at the first failure. */
    go: { type: 'boolean' },
    /** Without running some seeds a second time. */
    once: { type: 'boolean' },
  },
});

const off = new Set((values.off?.split(',') ?? []).filter((kind): kind is FaultKind => (faultKinds as readonly string[]).includes(kind)));

function tell({ seed, invariant, error, events, virtualMs }: Outcome): void {
  console.log(`seed ${seed} violates ${invariant} after ${events} events, ${(virtualMs / 1000).toFixed(1)} virtual s`);
  console.log(`  ${error!.stack ?? error!.message}`);
  console.log(`  again: npm run sim -- --seed ${seed}`);
}

async function one(seed: number): Promise<void> {
  const outcome = await runSchedule(seed, { off }, values.steps ? (line) => console.log(line) : undefined);
  if (outcome.error) {
    tell(outcome);
    process.exitCode = 1;
  } else
    console.log(
      `seed ${seed}: ${outcome.events} events, ${(outcome.virtualMs / 1000).toFixed(1)} virtual s, ${outcome.tasks} tasks, hash ${outcome.hash.toString(16)}`,
    );
}

async function many(): Promise<void> {
  // Errors are thrown by the thousand, as values; whoever wants to see where runs that seed alone.
  Error.stackTraceLimit = 0;
  const from = Number(values.from ?? Math.floor(Date.now() / 1000));
  const countMax = Number(values.count ?? Number.POSITIVE_INFINITY);
  const startMs = performance.now();
  const endMs = startMs + (values.minutes === undefined ? Number.POSITIVE_INFINITY : Number(values.minutes) * 60_000);
  const sums = { schedules: 0, events: 0, virtualMs: 0, tasks: 0, failed: 0 };
  for (let seed = from; sums.schedules < countMax && performance.now() < endMs; seed++) {
    const outcome = await runSchedule(seed, { off });
    sums.schedules++;
    sums.events += outcome.events;
    sums.virtualMs += outcome.virtualMs;
    sums.tasks += outcome.tasks;
    if (outcome.error) {
      sums.failed++;
      tell(outcome);
      if (!values.go) break;
    }
    if (!values.once && sums.schedules % 20 === 0) {
      const again = await runSchedule(seed, { off });
      if (again.hash !== outcome.hash) throw new Error(`seed ${seed} is not repeatable: ${outcome.hash} and then ${again.hash}`);
    }
  }
  const { user, system } = process.cpuUsage();
  const cpuSeconds = (user + system) / 1e6;
  for (const [what, count] of [...probeCounts()].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`${String(count).padStart(9)}  ${what}`);
  console.log(
    `${sums.schedules} schedules from seed ${from}, ${sums.failed} failed; ${(sums.schedules / cpuSeconds).toFixed(0)} a second of CPU; ` +
      `${sums.events} events, ${(sums.virtualMs / 3_600_000).toFixed(1)} virtual hours, ${sums.tasks} tasks`,
  );
  if (sums.failed > 0) process.exitCode = 1;
}

await (values.seed === undefined ? many() : one(Number(values.seed)));
