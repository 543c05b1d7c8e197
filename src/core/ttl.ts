/** Tasks that have waited longer than their ttl, and never started, expire. A wake is of a stage and a moment, not of a task. */
import { TaskState } from './columns.ts';
import { beatMs } from './limits.ts';
import { indicesOf, RangeList } from './ranges.ts';
import type { Job, Stage, State, Wake } from './state.ts';
import type { Turn } from './turn.ts';
import { setWake } from './wakes.ts';

export type TtlWake = Extract<Wake, { wake: 'ttl' }>;

/** Of rows that wait since what is folded at present happened. */
export function expireLater(state: State, job: Job, stage: Stage, from: number, count: number): void {
  const { ttlMs } = stage.spec;
  if (ttlMs !== undefined) wakeAt(state, job, stage, job.factMs + ttlMs, from, count);
}

function wakeAt(state: State, job: Job, stage: Stage, atMs: number, from: number, count: number): void {
  if (stage.ttlWake?.atMs !== atMs) {
    stage.ttlWake = { wake: 'ttl', job: job.id, stage: stage.index, atMs, rows: new RangeList() };
    setWake(state, job, atMs, stage.ttlWake);
  }
  stage.ttlWake.rows.addRange(from, count);
}

export function expire(state: State, job: Job, wake: TtlWake, turn: Turn): void {
  const stage = job.stages[wake.stage]!;
  if (stage.ttlWake === wake) stage.ttlWake = undefined;
  // Once a beat for all that is held by workers.
  const nextLookMs = (Math.floor(turn.nowMs / beatMs) + 1) * beatMs;
  const late = new RangeList();
  for (const index of indicesOf(wake.rows.take())) {
    const taskState = stage.columns.state(index);
    const neverStarted = stage.columns.attempt(index) === 1 && stage.columns.suspicion(index) === 0;
    if (neverStarted && (taskState === TaskState.ready || taskState === TaskState.waiting)) late.add(index);
    // It may wait at its worker, and be handed back.
    else if (neverStarted && taskState === TaskState.running) wakeAt(state, job, stage, nextLookMs, index, 1);
  }
  if (late.count > 0) turn.jobFact(state, job, { fact: 'tasks-expired', stage: stage.index, ranges: late.take() });
}
