/**
 * What wants much of a resource would wait for ever beside what wants little of it, and takes each part as it becomes free. So
 * whoever is next and finds no worker with enough has one kept for it: those behind it get what one of its tasks leaves there.
 *
 * They last for one turn, and are the same in the next: whoever was given nothing is first again, and a worker of which something is
 * kept has ever more free.
 */
import { canRun, isStuck, roomByResources } from './placement.ts';
import type { Stage, Worker } from './state.ts';

/** Where tasks take long nothing becomes free: such a worker is kept only if there is no other. */
const lastRank = 1e6;

interface Reservation {
  stage: Stage;
  /** Undefined: of everything, for a task that wants more than there is runs alone. */
  names: readonly string[] | undefined;
}

export class Reservations {
  private readonly byWorker = new Map<Worker, Reservation>();

  /** Tasks of the stage that the worker has room for beside what is kept there for another. */
  roomBeside(stage: Stage, worker: Worker): number {
    const reservation = this.byWorker.get(worker);
    if (!reservation || reservation.stage === stage) return Number.POSITIVE_INFINITY;
    const { names } = reservation;
    if (names === undefined) return 0;
    let room = Number.POSITIVE_INFINITY;
    for (const name of names) {
      const needs = stage.spec.resources[name] ?? 0;
      if (needs <= 0) continue;
      const free = (worker.resources[name] ?? 0) - (worker.used[name] ?? 0) - reservation.stage.spec.resources[name]!;
      room = Math.min(room, Math.max(0, Math.floor(free / needs + 1e-9)));
    }
    return room;
  }

  /** Of the workers that may run it, the one that has most of what it wants already; none if it waits for something else. */
  keepFor(stage: Stage, workers: readonly Worker[], nowMs: number): void {
    const names = Object.keys(stage.spec.resources).filter((name) => stage.spec.resources[name]! > 0);
    if (names.length === 0) return;
    let best: Worker | undefined;
    let bestShare = Number.NEGATIVE_INFINITY;
    for (const worker of workers) {
      if (this.byWorker.has(worker) || !canRun(worker, stage) || roomByResources(worker, stage) > 0) continue;
      const share = Math.min(...names.map((name) => shareOf(worker, stage, name))) - (isStuck(worker, nowMs) ? lastRank : 0);
      if (share > bestShare) {
        best = worker;
        bestShare = share;
      }
    }
    if (!best) return;
    const isTooLarge = names.some((name) => stage.spec.resources[name]! > best.resources[name]!);
    this.byWorker.set(best, { stage, names: isTooLarge ? undefined : names });
  }
}

function shareOf(worker: Worker, stage: Stage, name: string): number {
  return ((worker.resources[name] ?? 0) - (worker.used[name] ?? 0)) / stage.spec.resources[name]!;
}
