/**
 * Time: which running tasks are over their time-out, and which were asked to stop and do not. Decides nothing but
 * that; the host acts. Timers are unref'd: a thread that works keeps the process alive by itself.
 */
import { loadingPosition, monotonicMs } from '../runtime/board.ts';
import type { Posted } from './posted.ts';
import { Told } from './posted.ts';
import type { Vessel } from './vessel.ts';

/** A thread whose loop takes longer to answer than this is spinning; less is a neighbour's long step, a collection, a busy machine. */
export const answerMs = 1_000;
/** Loading is looked at so often. */
const lookMs = 1_000;
const loadMsDefault = 60_000;
/** setTimeout fires at once beyond this (K02). */
const timerMsMax = 2 ** 31 - 1;

export interface StopEvents {
  expired(entry: Posted, position: number): void;
  /** Its module is still being loaded, after so long a time. */
  stillLoads(entry: Posted, ms: number): void;
  /** The thread must be ended. */
  stuck(entry: Posted, why: string): void;
}

interface Stop {
  entry: Posted;
  runs: readonly number[];
  /** Not answering is enough to be stuck. */
  mustAnswer: boolean;
  isAnswered: boolean;
  endMs: number;
  timer: NodeJS.Timeout;
}

export class Stops {
  private readonly graceMs: number;
  private readonly events: StopEvents;
  private readonly stops = new Map<number, Stop>();
  private asks = 0;
  private readonly loadMs: number;
  private readonly loading = new Map<Posted, Vessel>();
  private loadingLook: NodeJS.Timeout | undefined;
  private readonly watches = new Map<Posted, NodeJS.Timeout>();

  constructor(graceMs: number, loadMs: number | undefined, events: StopEvents) {
    this.graceMs = graceMs;
    this.loadMs = loadMs ?? loadMsDefault;
    this.events = events;
  }

  /** Looks after the time-outs of a work that is posted, until it is over. */
  watchWork(entry: Posted, vessel: Vessel): void {
    this.loading.set(entry, vessel);
    this.loadingLook ??= this.lookAtLoading();
    const { lanes } = entry;
    const { timeoutMs, id } = entry.work;
    if (timeoutMs === undefined) return;
    const arm = (ms: number): void => {
      this.watches.set(entry, setTimeout(look, Math.min(Math.max(1, Math.ceil(ms)), timerMsMax)).unref());
    };
    const look = (): void => {
      const nowMs = monotonicMs();
      // What starts from now on has all of its time before it.
      let nextMs = timeoutMs;
      const late: number[] = [];
      for (const { position, startMs } of vessel.marksOf(id, lanes)) {
        if (position < 0 || startMs === 0 || entry.told[position] !== Told.open) continue;
        const leftMs = startMs + timeoutMs - nowMs;
        if (leftMs <= 0) late.push(position);
        else nextMs = Math.min(nextMs, leftMs);
      }
      arm(nextMs);
      for (const position of late) this.events.expired(entry, position);
    };
    arm(timeoutMs);
  }

  /** One timer for all works, however many there are: most never load anything. */
  private lookAtLoading(): NodeJS.Timeout {
    const look = (): void => {
      this.loadingLook = this.loading.size > 0 ? this.lookAtLoading() : undefined;
      for (const [entry, vessel] of this.loading) {
        const limitMs = entry.isUnwanted ? Math.min(this.graceMs, this.loadMs) : this.loadMs;
        const lateMs = monotonicMs() - limitMs;
        const isLate = vessel
          .marksOf(entry.work.id, entry.lanes)
          .some(({ position, startMs }) => position === loadingPosition && startMs < lateMs);
        if (isLate) return this.events.stillLoads(entry, limitMs);
      }
    };
    return setTimeout(look, Math.min(lookMs, Math.max(20, Math.min(this.graceMs, this.loadMs)))).unref();
  }

  /** From now on these positions have the grace to end. Answers with the number by which the runtime answers. */
  ask(entry: Posted, runs: readonly number[], mustAnswer: boolean): number {
    const ask = ++this.asks;
    const firstMs = mustAnswer ? Math.min(answerMs, this.graceMs) : this.graceMs;
    this.stops.set(ask, {
      entry,
      runs,
      mustAnswer,
      isAnswered: false,
      endMs: monotonicMs() + this.graceMs,
      timer: this.arm(ask, firstMs),
    });
    return ask;
  }

  answered(ask: number): void {
    const stop = this.stops.get(ask);
    if (stop) stop.isAnswered = true;
  }

  /** A work is over. */
  forget(entry: Posted): void {
    this.loading.delete(entry);
    clearTimeout(this.watches.get(entry));
    this.watches.delete(entry);
    for (const [ask, stop] of this.stops) {
      if (stop.entry !== entry) continue;
      clearTimeout(stop.timer);
      this.stops.delete(ask);
    }
  }

  clear(): void {
    // Its timer runs out by itself: one for each work would cost more than a look at nothing.
    this.loading.clear();
    for (const watch of this.watches.values()) clearTimeout(watch);
    this.watches.clear();
    for (const { timer } of this.stops.values()) clearTimeout(timer);
    this.stops.clear();
  }

  private arm(ask: number, ms: number): NodeJS.Timeout {
    // Timers come before messages in a turn of the event loop: an answer that waits there is seen first.
    return setTimeout(() => setImmediate(() => this.look(ask)), Math.min(Math.max(1, ms), timerMsMax)).unref();
  }

  private look(ask: number): void {
    const stop = this.stops.get(ask);
    if (!stop) return;
    const { entry, runs } = stop;
    if (entry.select([Told.aborted, Told.expired], runs).length === 0) {
      this.stops.delete(ask);
      return;
    }
    const name = entry.work.definition.name;
    const leftMs = stop.endMs - monotonicMs();
    if (stop.mustAnswer && !stop.isAnswered) this.events.stuck(entry, `a task of ${name} holds its thread and does not answer`);
    else if (leftMs <= 0) this.events.stuck(entry, `a task of ${name} did not end within the grace of ${this.graceMs} ms`);
    else stop.timer = this.arm(ask, leftMs);
  }
}
