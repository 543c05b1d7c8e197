/** Moving rows between waiting, ready and running: the moves that all of fold and scheduling share. */
import { TaskState } from './columns.ts';
import type { Ranges } from './messages.ts';
import { slotMsOf } from './placement.ts';
import { countOf } from './ranges.ts';
import { enring, hasReady } from './rings.ts';
import type { Assignment, Job, Stage, State } from './state.ts';

/** The row leaves its assignment, if it has one of this term. Its state is the caller's to change. */
export function detach(state: State, stage: Stage, index: number): void {
  const { columns } = stage;
  if (columns.state(index) !== TaskState.running) return;
  const handle = columns.serial(index);
  if (handle === 0) return;
  columns.setSerial(index, 0);
  const assignment = state.assignments.get(handle);
  if (!assignment) return;
  assignment.open--;
  const { worker } = assignment;
  worker.heldTasks--;
  worker.heldSlots = worker.heldTasks === 0 ? 0 : worker.heldSlots - 1 / (stage.spec.concurrency ?? 1);
  worker.heldMs -= assignment.taskMs;
  const needs = stage.spec.resources;
  for (const name in needs) worker.used[name] = (worker.used[name] ?? 0) - needs[name]!;
  // Fractions do not add up to what they were.
  if (worker.heldTasks === 0) worker.used = {};
  if (assignment.open === 0) {
    state.assignments.delete(handle);
    worker.held.delete(handle);
    if (assignment.term !== state.term) state.adopted.delete(`${assignment.term}:${assignment.serial}`);
  }
}

/** An assignment whose rows run under it already. */
export function hold(
  state: State,
  given: Omit<Assignment, 'open' | 'taskMs' | 'sentMs' | 'askedMs' | 'askedOpen'>,
  nowMs: number,
): Assignment {
  const { handle, term, serial, worker, job, stage, attempt, alone, ranges } = given;
  const open = countOf(ranges);
  const taskMs = slotMsOf(stage);
  // Field by field: V8 takes a microsecond for each that is added behind a spread.
  const assignment: Assignment = {
    handle,
    term,
    serial,
    worker,
    job,
    stage,
    attempt,
    alone,
    ranges,
    taskMs,
    open,
    sentMs: nowMs,
    askedMs: nowMs,
    askedOpen: -1,
  };
  if (worker.heldTasks === 0) worker.movedMs = nowMs;
  worker.lastServed = handle;
  state.assignments.set(handle, assignment);
  worker.held.add(handle);
  worker.heldTasks += open;
  worker.heldSlots += open / (stage.spec.concurrency ?? 1);
  worker.idleSlots = Math.max(0, worker.idleSlots - open);
  worker.heldMs += open * taskMs;
  const needs = stage.spec.resources;
  for (const name in needs) worker.used[name] = (worker.used[name] ?? 0) + open * needs[name]!;
  return assignment;
}

/** Rows that are not final and not held become ready. */
export function makeReady(state: State, job: Job, stage: Stage, from: number, count: number): void {
  if (count === 0) return;
  const isNew = stage.counts[TaskState.ready] === 0;
  toReady(stage, from, count);
  stage.ready.push(from, count);
  enring(state, job, isNew ? stage : undefined);
}

/** As makeReady, but they go first: they were handed back. */
function makeReadyFirst(state: State, job: Job, stage: Stage, from: number, count: number): void {
  const isNew = stage.counts[TaskState.ready] === 0;
  toReady(stage, from, count);
  stage.ready.unshift(from, count);
  enring(state, job, isNew ? stage : undefined);
}

/** Ranges of such rows, to the front of the queue in their order. */
export function putBack(state: State, job: Job, stage: Stage, ranges: Ranges): void {
  for (let r = ranges.length - 2; r >= 0; r -= 2) makeReadyFirst(state, job, stage, ranges[r]!, ranges[r + 1]!);
  state.touched.add(job);
}

function toReady(stage: Stage, from: number, count: number): void {
  const { columns, counts } = stage;
  for (let index = from; index < from + count; index++) {
    counts[columns.state(index)]!--;
    columns.setState(index, TaskState.ready);
  }
  counts[TaskState.ready]! += count;
}

/** Somebody wants it: a job that rested since the journal was opened goes on. */
export function attach(state: State, job: Job): void {
  if (!job.isResting) return;
  job.isResting = false;
  state.restingJobs--;
  if (hasReady(job)) enring(state, job);
}
