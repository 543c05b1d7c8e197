/**
 * Work stealing: tasks that wait on a worker behind longer ones are asked back while another worker has a free slot for them.
 * Their worker gives back what it has not started (C16), which is then ready again, and goes to whoever has the least to do.
 *
 * Once a beat, and only after all that was ready is handed out. What was handed out within the last beat is left alone: tasks
 * that are short will be through by then. The last ones go first, which would have been the last to start (thieves take from
 * the other end than the owner: Blumofe and Leiserson, Scheduling Multithreaded Computations by Work Stealing, JACM 1999): as
 * many as a free worker can start at once, and of short ones up to half.
 */
import { TaskState } from './columns.ts';
import { shortTaskMs, stealGraceMs, stealLooksMax } from './limits.ts';
import type { Ranges } from './messages.ts';
import { canRun, freeLanes, takesWork, wants } from './placement.ts';
import { RangeList } from './ranges.ts';
import { kindOf } from './rings.ts';
import type { Assignment, Stage, State, Worker } from './state.ts';
import type { Turn } from './turn.ts';

export function steal(state: State, turn: Turn): void {
  if (!state.leading || !state.steals) return;
  const free = state.workers.filter((worker) => takesWork(worker, turn.nowMs) && (worker.heldSlots < worker.slots || worker.idleSlots > 0));
  if (free.length === 0) return;
  const busy = state.workers.filter((worker) => worker.status === 'live' && worker.heldSlots > worker.slots);
  busy.sort((a, b) => b.heldSlots / b.slots - a.heldSlots / a.slots);
  const thieves = new Thieves(state, free, turn.nowMs);
  for (const victim of busy) askBack(state, victim, thieves, turn);
}

/** Workers with a free slot, and what has been asked back for them. */
class Thieves {
  private readonly state: State;
  private readonly free: Worker[];
  private readonly nowMs: number;
  private readonly promised = new Map<Worker, number>();
  /** Kinds of stages that none of them takes any more: each is looked at once, however many assignments and jobs there are of it. */
  private readonly hopeless = new Set<string>();
  private looks = 0;

  constructor(state: State, free: Worker[], nowMs: number) {
    this.state = state;
    this.free = free;
    this.nowMs = nowMs;
  }

  /** How many of the tasks that wait they take; `isSure`: and are counted on to. */
  take(stage: Stage, waiting: number, isSure: boolean): number {
    const kind = kindOf(stage);
    if (this.hopeless.has(kind)) return 0;
    const half = isShort(stage) ? Math.ceil(waiting / 2) : 0;
    let taken = 0;
    for (const worker of this.free) {
      if (taken >= waiting || ++this.looks > stealLooksMax) break;
      if (!canRun(worker, stage)) continue;
      const promised = this.promised.get(worker) ?? 0;
      const room = wants(this.state, worker, stage, this.nowMs) - promised;
      const atOnce = Math.max(freeLanes(worker, stage), worker.idleSlots) - promised;
      const count = Math.min(room, Math.max(Math.min(atOnce, waiting - taken), half - taken));
      if (count <= 0) continue;
      taken += count;
      if (isSure) this.promised.set(worker, promised + count);
    }
    if (taken === 0) this.hopeless.add(kind);
    return taken;
  }
}

function isShort({ taskMs }: Stage): boolean {
  return taskMs !== undefined && taskMs <= shortTaskMs;
}

function askBack(state: State, victim: Worker, thieves: Thieves, turn: Turn): void {
  let { heldSlots } = victim;
  for (const handle of [...victim.held].reverse()) {
    const assignment = state.assignments.get(handle)!;
    const { stage, term, serial } = assignment;
    const isYoung = turn.nowMs - assignment.askedMs < stealGraceMs;
    if (isYoung || assignment.alone || state.pausedQueues.has(stage.spec.queue)) continue;
    const { concurrency = 1 } = stage.spec;
    const waiting = Math.min(assignment.open, Math.ceil((heldSlots - victim.slots) * concurrency - 1e-6));
    // Nothing came back since it was asked last: it runs, or can't be taken back, or the question was lost. Nobody counts on an answer.
    const isSure = assignment.askedOpen !== assignment.open;
    const count = waiting > 0 ? thieves.take(stage, waiting, isSure) : 0;
    if (count === 0) continue;
    assignment.askedMs = turn.nowMs;
    assignment.askedOpen = assignment.open;
    if (isSure) heldSlots -= count / concurrency;
    turn.send(victim.address, { kind: 'revoke', term, serial, ranges: lastOpen(assignment, count) });
  }
}

/** The last so many rows that still run under it. */
function lastOpen({ handle, ranges, stage: { columns } }: Assignment, count: number): Ranges {
  const indices: number[] = [];
  for (let r = ranges.length - 2; r >= 0 && indices.length < count; r -= 2) {
    for (let index = ranges[r]! + ranges[r + 1]! - 1; index >= ranges[r]! && indices.length < count; index--) {
      if (columns.state(index) === TaskState.running && columns.serial(index) === handle) indices.push(index);
    }
  }
  const list = new RangeList();
  for (const index of indices.reverse()) list.add(index);
  return list.take();
}
