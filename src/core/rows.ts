/** Moving rows between waiting, ready and running, and jobs in and out of their ring: the two moves that all of fold and scheduling share. */
import { TaskState } from './columns.ts';
import type { Ranges } from './messages.ts';
import type { Job, Ring, Stage, State } from './state.ts';

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
  worker.heldMs -= assignment.taskMs;
  const needs = stage.spec.resources;
  for (const name in needs) worker.used[name] = (worker.used[name] ?? 0) - needs[name]!;
  if (assignment.open === 0) {
    state.assignments.delete(handle);
    worker.held.delete(handle);
    if (assignment.term !== state.term) state.adopted.delete(`${assignment.term}:${assignment.serial}`);
  }
}

/** Rows that are not final and not held become ready. */
export function makeReady(state: State, job: Job, stage: Stage, from: number, count: number): void {
  if (count === 0) return;
  toReady(stage, from, count);
  stage.ready.push(from, count);
  enring(state, job);
}

/** As makeReady, but they go first: they were handed back. */
function makeReadyFirst(state: State, job: Job, stage: Stage, from: number, count: number): void {
  toReady(stage, from, count);
  stage.ready.unshift(from, count);
  enring(state, job);
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

export function enring(state: State, job: Job): void {
  if (job.inRing || job.outcome !== undefined || job.notBeforeMs > 0 || job.isResting) return;
  job.inRing = true;
  ringOf(state, job.spec.priority).jobs.push(job);
}

/** It is gone: while nobody takes work, nobody else would find that out. */
export function leaveRing({ rings }: State, job: Job): void {
  if (!job.inRing) return;
  job.inRing = false;
  for (const ring of rings) {
    const at = ring.jobs.indexOf(job);
    if (at >= 0) ring.jobs.splice(at, 1);
  }
}

/** Somebody wants it: a job that rested since the journal was opened goes on. */
export function attach(state: State, job: Job): void {
  if (!job.isResting) return;
  job.isResting = false;
  state.restingJobs--;
  if (job.stages.some((stage) => stage.counts[TaskState.ready]! > 0)) enring(state, job);
}

function ringOf(state: State, priority: number): Ring {
  const { rings } = state;
  let at = 0;
  while (at < rings.length && rings[at]!.priority > priority) at++;
  const found = rings[at];
  if (found?.priority === priority) return found;
  const ring: Ring = { priority, jobs: [] };
  rings.splice(at, 0, ring);
  return ring;
}
