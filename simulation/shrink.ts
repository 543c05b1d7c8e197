/**
 * From a schedule that fails to the least that still fails in the same way: smaller clusters and jobs, by halving; whole
 * kinds of faults switched off; the storm's end earlier; then single faults taken out (delta debugging: A. Zeller,
 * R. Hildebrandt, TSE 2002). Only a run that violates the same invariant counts: another failure is another bug.
 */
import { type FaultKind, faultKinds, type Limits } from './plan.ts';
import { type Outcome, runSchedule } from './schedule.ts';

/** What to run again: as JSON it is the trace of a failure. */
export interface Trace {
  seed: number;
  invariant: string;
  limits: { [K in Exclude<keyof Limits, 'off' | 'only'>]?: number };
  off: FaultKind[];
  /** Names of the single faults that strike (faults.ts); absent: all that the seed draws. */
  only?: string[];
}

export interface Shrunk {
  trace: Trace;
  outcome: Outcome;
  runs: number;
}

type Size = keyof Trace['limits'];
const sizes: readonly Size[] = ['tasksMax', 'jobsMax', 'clientsMax', 'workersMax', 'coordinatorsMax', 'slotsMax'];
const stormMsMin = 400;

export function limitsOf({ limits, off, only }: Trace): Limits {
  return { ...limits, off: new Set(off), ...(only ? { only: new Set(only) } : {}) };
}

/** `runsMax`: runs that it may take. */
export async function shrink(first: Outcome, runsMax = 3_000): Promise<Shrunk> {
  const { seed, plan } = first;
  const {
    jobs: jobsMax,
    clients: clientsMax,
    workers: workersMax,
    coordinators: coordinatorsMax,
    slots: slotsMax,
    tasksMax,
    stormMs,
  } = plan;
  const limits = { tasksMax, jobsMax, clientsMax, workersMax, coordinatorsMax, slotsMax, stormMs };
  const shrinking = new Shrinking({ seed, invariant: first.invariant!, limits, off: [] }, first, runsMax);
  await shrinking.halveSizes();
  await shrinking.dropKinds();
  // With fewer faults there is often more to spare.
  for (let before: Trace | undefined; before !== shrinking.trace && shrinking.runs < runsMax; ) {
    before = shrinking.trace;
    await shrinking.endEarlier();
    await shrinking.dropFaults();
    await shrinking.halveSizes();
  }
  const { trace, outcome, runs } = shrinking;
  return { trace, outcome, runs };
}

class Shrinking {
  trace: Trace;
  outcome: Outcome;
  runs = 0;
  private readonly runsMax: number;

  constructor(trace: Trace, outcome: Outcome, runsMax: number) {
    this.trace = trace;
    this.outcome = outcome;
    this.runsMax = runsMax;
  }

  /** Keeps the candidate if it fails in the same way. */
  private async accepts(candidate: Trace): Promise<boolean> {
    if (this.runs >= this.runsMax) return false;
    this.runs++;
    const outcome = await runSchedule(candidate.seed, limitsOf(candidate));
    if (outcome.invariant !== this.trace.invariant) return false;
    this.trace = candidate;
    this.outcome = outcome;
    return true;
  }

  /** Half of each, a quarter less, or one less. */
  async halveSizes(): Promise<void> {
    for (const size of sizes) {
      for (;;) {
        const most = this.trace.limits[size]!;
        const candidates = new Set([most >> 1, most - (most >> 2), most - 1].filter((value) => value >= 1 && value < most));
        let isLess = false;
        for (const value of candidates) {
          isLess ||= await this.accepts({ ...this.trace, limits: { ...this.trace.limits, [size]: value } });
          if (isLess) break;
        }
        if (!isLess) break;
      }
    }
  }

  async dropKinds(): Promise<void> {
    for (const kind of faultKinds) {
      if (this.outcome.plan.rates[kind] > 0) await this.accepts({ ...this.trace, off: [...this.trace.off, kind] });
    }
  }

  async endEarlier(): Promise<void> {
    for (const share of [0.5, 0.5, 0.5, 0.5, 0.8, 0.8]) {
      const stormMs = Math.round(this.trace.limits.stormMs! * share);
      if (stormMs >= stormMsMin) await this.accepts({ ...this.trace, limits: { ...this.trace.limits, stormMs } });
    }
  }

  /** Delta debugging over the faults that struck: some of them, or all but some. */
  async dropFaults(): Promise<void> {
    if (!this.trace.only && !(await this.accepts({ ...this.trace, only: [...this.outcome.faults] }))) return;
    for (let parts = 2; ; ) {
      const all = this.trace.only!;
      if (all.length === 0) return;
      const size = Math.ceil(all.length / Math.min(parts, all.length));
      const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, at) => all.slice(at * size, (at + 1) * size));
      let isLess = false;
      for (const chunk of chunks) {
        isLess = await this.accepts({ ...this.trace, only: all.filter((name) => !chunk.includes(name)) });
        if (isLess) break;
      }
      if (isLess) {
        // Those that no longer come up are not needed.
        this.trace = { ...this.trace, only: this.trace.only!.filter((name) => this.outcome.faults.has(name)) };
        parts = Math.max(2, Math.min(parts - 1, this.trace.only!.length));
      } else if (size === 1 || this.runs >= this.runsMax) return;
      else parts *= 2;
    }
  }
}

export function describe({ trace, outcome, runs }: Shrunk): string[] {
  const { plan, tasks, virtualMs } = outcome;
  const faults = [...outcome.faults];
  return [
    `  shrunk in ${runs} runs to ${tasks} tasks, ${plan.coordinators} coordinators, ${plan.workers} workers, ${plan.clients} clients, ${faults.length} faults, ${(virtualMs / 1000).toFixed(1)} virtual s:`,
    ...faults.map((name) => `    ${name}`),
    `  its trace: ${JSON.stringify(trace)}`,
  ];
}
