/**
 * What a worker holds: assignments, each with what became of its indices, and the memory of those that it must
 * not take (again).
 *
 * Every index of an assignment is, in this order: pending (not cut into a work yet) → in a work → told (in the
 * outbox) → settled (acknowledged). An aborted one is dropped: settled at once, and whatever a slot still says
 * of it is not passed on. Held, for beats, is what is not settled (rule 8).
 */
import type { AssignMessage, Ranges } from '../core/messages.ts';
import { countOf } from '../core/ranges.ts';
import { Cutter, shapeOf } from './cut.ts';
import type { Work } from './executors/executor.ts';
import type { Pace } from './pace.ts';
import { splitRanges } from './split-ranges.ts';

export class HeldAssignment {
  readonly term: number;
  readonly serial: number;
  readonly job: string;
  readonly stage: number;
  readonly attempt: number;
  readonly isAlone: boolean;
  readonly isSpread: boolean;
  readonly ranges: Ranges;
  readonly pace: Pace;
  /** Not told and not dropped. */
  open: number;
  /** Not settled. */
  remaining: number;
  /** Undefined once nothing is pending: inputs are let go of as early as can be. */
  private source: { assign: AssignMessage; cutter: Cutter } | undefined;
  private readonly told: number[] = [];
  private readonly settled: number[] = [];
  private dropped: number[] | undefined;

  constructor(assign: AssignMessage, pace: Pace) {
    this.term = assign.term;
    this.serial = assign.serial;
    this.job = assign.job;
    this.stage = assign.stage;
    this.attempt = assign.attempt;
    this.isAlone = assign.alone;
    this.isSpread = assign.spread === true;
    this.ranges = assign.ranges.slice();
    this.pace = pace;
    this.open = countOf(this.ranges);
    this.remaining = this.open;
    const cutter = new Cutter(assign, shapeOf(assign.input, assign.counts !== undefined));
    this.source = { assign, cutter };
    this.letGo();
  }

  get pending(): number {
    return this.source?.cutter.pending ?? 0;
  }

  /** The next work. Only while something is pending. */
  cut(id: number, tasksMax: number, bytesMax: number): { work: Work; count: number } {
    const { assign, cutter } = this.source!;
    const { sharedLengths } = assign;
    const { count, ranges, lengths, counts, body } = cutter.take(tasksMax, bytesMax);
    const work: Work = {
      id,
      job: assign.job,
      jobName: assign.jobName,
      stage: assign.stage,
      definition: assign.definition,
      attempt: assign.attempt,
      attemptsMax: assign.attemptsMax,
      ...(assign.timeoutMs === undefined ? {} : { timeoutMs: assign.timeoutMs }),
      ...(assign.concurrency === undefined ? {} : { concurrency: assign.concurrency }),
      input: assign.input,
      ...(assign.spread === undefined ? {} : { spread: assign.spread }),
      ...(assign.combine === undefined ? {} : { combine: assign.combine }),
      ranges,
      lengths,
      ...(counts === undefined ? {} : { counts }),
      ...(sharedLengths === undefined ? {} : { sharedLengths: sharedLengths.slice() }),
      body,
    };
    this.letGo();
    return { work, count };
  }

  /** Takes indices out of what is pending; answers which of them were. */
  takePending(ranges: ArrayLike<number>): Ranges {
    if (!this.source) return new Uint32Array(0);
    const taken = this.source.cutter.drop(ranges);
    this.letGo();
    return taken;
  }

  get pendingRanges(): Ranges {
    return this.source?.cutter.pendingRanges() ?? new Uint32Array(0);
  }

  tell(ranges: Ranges, count: number): void {
    append(this.told, ranges);
    this.open -= count;
  }

  settle(ranges: Ranges, count: number): void {
    append(this.settled, ranges);
    this.remaining -= count;
  }

  /** Of `ranges`, those not told yet are no longer wanted; answers which. */
  drop(ranges: ArrayLike<number>): Ranges {
    const untold = this.untold(splitRanges(this.ranges, ranges).inside);
    const count = countOf(untold);
    this.open -= count;
    this.settle(untold, count);
    this.dropped ??= [];
    append(this.dropped, untold);
    return untold;
  }

  /** Of `ranges`, what has neither been told nor dropped. */
  untold(ranges: ArrayLike<number>): Ranges {
    const { outside } = splitRanges(ranges, this.told);
    return this.dropped ? splitRanges(outside, this.dropped).outside : outside;
  }

  /** Dropped indices; undefined in the usual case. */
  get unwanted(): readonly number[] | undefined {
    return this.dropped;
  }

  get remainingRanges(): Ranges {
    return splitRanges(this.ranges, this.settled).outside;
  }

  private letGo(): void {
    if (this.source?.cutter.pending === 0) this.source = undefined;
  }
}

function append(pairs: number[], ranges: Ranges): void {
  for (let i = 0; i < ranges.length; i += 2) {
    const last = pairs.length - 2;
    if (last >= 0 && pairs[last]! + pairs[last + 1]! === ranges[i]!) pairs[last + 1]! += ranges[i + 1]!;
    else pairs.push(ranges[i]!, ranges[i + 1]!);
  }
}

/** One number for an assignment; terms stay far below 2²¹. */
export function assignmentKey(term: number, serial: number): number {
  return term * 2 ** 32 + serial;
}

const seenMax = 8192;

/**
 * Serials of this term that were taken, so that a repeated message does not run anything twice (N03). The oldest
 * are forgotten together with everything below them: an assign that comes later than that is refused, and the
 * next beat tells the coordinator that it is missing.
 */
export class SeenSerials {
  private readonly recent = new Set<number>();
  /** In order of arrival, a ring: finding the oldest of a Set that loses its oldest all the time is slow in V8. */
  private readonly order: number[] = [];
  private at = 0;
  private floor = 0;
  /** The highest one. */
  last = 0;

  has(serial: number): boolean {
    return serial <= this.floor || this.recent.has(serial);
  }

  add(serial: number): void {
    const oldest = this.order[this.at];
    if (oldest !== undefined) {
      this.recent.delete(oldest);
      this.floor = Math.max(this.floor, oldest);
    }
    this.order[this.at] = serial;
    this.at = (this.at + 1) % seenMax;
    this.recent.add(serial);
    if (serial > this.last) this.last = serial;
  }

  clear(): void {
    this.recent.clear();
    this.order.length = 0;
    this.at = 0;
    this.floor = 0;
    this.last = 0;
  }
}

export type TakeBack = { kind: 'abort'; ranges: Ranges; reason: string } | { kind: 'revoke'; ranges: Ranges };

const tombstonesMax = 1024;
/** A coordinator that gets no answer asks again once a beat. */
const tombstonesPerKeyMax = 16;

/** Aborts and revokes that overtook their assign (N04): kept for a while, applied when it arrives. */
export class Tombstones {
  private readonly byKey = new Map<number, { untilMs: number; what: TakeBack[] }>();

  add(key: number, what: TakeBack, untilMs: number): void {
    const all = this.byKey.get(key)?.what ?? [];
    all.push(what);
    if (all.length > tombstonesPerKeyMax) all.shift();
    // What is said again is kept from then on; the oldest stay in front.
    this.byKey.delete(key);
    this.byKey.set(key, { untilMs, what: all });
    if (this.byKey.size <= tombstonesMax) return;
    for (const oldest of this.byKey.keys()) {
      this.byKey.delete(oldest);
      break;
    }
  }

  take(key: number): TakeBack[] {
    const found = this.byKey.get(key);
    this.byKey.delete(key);
    return found?.what ?? [];
  }

  expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.byKey) {
      if (untilMs > nowMs) return;
      this.byKey.delete(key);
    }
  }

  clear(): void {
    this.byKey.clear();
  }
}
