/** Which worker may run a stage's tasks, and how many more it should be given now. */
import {
  aheadTasksPerSlot,
  assignTasksMax,
  quietMs,
  shortTaskMs,
  slotAheadCommits,
  slotAheadMs,
  stealGraceMs,
  unknownTasksPerSlot,
} from './limits.ts';
import type { Stage, State, Worker } from './state.ts';

/** Resources that every machine has some of: a task that wants more than there is runs alone on an idle worker. */
const stretchable = new Set(['cpu', 'memory']);

/** Tasks that every worker has from us. */
const ownPrefix = 'shoal.';

/**
 * One that is quiet may be gone: what it was given now would wait for its lease to end, and be suspect then. One that has not told yet
 * what it holds of an earlier term may have no room, or hold the same task.
 */
export function takesWork({ status, hasListed, lastHeardMs }: Worker, nowMs: number): boolean {
  return status === 'live' && hasListed && nowMs - lastHeardMs <= quietMs;
}

/** Could the worker ever run it? */
export function canRun(worker: Worker, stage: Stage): boolean {
  if (worker.status !== 'live' || !servesQueue(worker, stage.spec.queue) || worker.refused.has(stage)) return false;
  if (!hasCode(worker, stage)) return false;
  for (const name in stage.spec.resources) {
    const has = worker.resources[name];
    if (has === undefined) return false;
    if (has < stage.spec.resources[name]! && !stretchable.has(name)) return false;
  }
  return true;
}

/** As far as it told; what it finds out only when it loads the code, it refuses. */
export function hasCode({ code, names }: Worker, { spec: { definition } }: Stage): boolean {
  if (!code || code.kind === 'any' || !definition) return true;
  return definition.bundle === undefined ? names.has(definition.name) || definition.name.startsWith(ownPrefix) : code.bundles;
}

/** Tasks of the stage that the worker's free resources allow. */
export function roomByResources(worker: Worker, stage: Stage): number {
  let room = Number.POSITIVE_INFINITY;
  for (const name in stage.spec.resources) {
    const needs = stage.spec.resources[name]!;
    if (needs <= 0) continue;
    const free = (worker.resources[name] ?? 0) - (worker.used[name] ?? 0);
    room = Math.min(room, Math.floor(free / needs + 1e-9));
  }
  return room <= 0 && worker.heldTasks === 0 ? 1 : room;
}

/**
 * How many tasks to hand out: every slot should have max(30 ms, three commits) of work queued and, while tasks are not long, at
 * least one beside the one that it runs. It is given several times that, so that tiny tasks go in batches, and more when half of it is
 * done: a worker that is left with little shares it out among its slots, in works that are too small to pay.
 */
export function wants(state: State, worker: Worker, stage: Stage, nowMs: number): number {
  const resourceRoom = Object.keys(stage.spec.resources).length === 0 ? Number.POSITIVE_INFINITY : roomByResources(worker, stage);
  const { taskMs } = stage;
  // What would wait behind a long task is kept for whoever has a free slot first.
  const stuck = isStuck(worker, nowMs);
  const isSlow = stuck || (taskMs !== undefined && taskMs > Math.max(stealGraceMs, slotAheadCommits * state.commitMs));
  const targetMs = worker.slots * Math.max(slotAheadMs, slotAheadCommits * state.commitMs);
  const isSoonDone = worker.heldMs < targetMs / 2;
  let count = freeLanes(worker, stage, isSlow ? 1 : unknownTasksPerSlot);
  if (taskMs !== undefined && !isSlow) {
    // Longer than the target, but not long: some at a time, because each assignment costs the coordinator a turn.
    if (count > 0 && taskMs <= shortTaskMs) count = freeLanes(worker, stage, aheadTasksPerSlot);
    if (isSoonDone) count = Math.max(count, Math.floor((targetMs - worker.heldMs) / Math.max(slotMsOf(stage), 1e-4)));
  } else if (count <= 0 && isSoonDone && !stuck && !holdsUnknown(state, worker, stage)) {
    // Tiny tasks of others, however many, must not keep it out.
    count = lanesOf(worker, stage);
  }
  count = Math.max(count, worker.idleSlots);
  if (stage.spec.chunkSize !== undefined && count > 0) count = stage.spec.chunkSize;
  return Math.max(0, Math.min(count, resourceRoom, assignTasksMax));
}

/** As many tasks of the stage as the worker can run at a time. */
function lanesOf(worker: Worker, stage: Stage): number {
  return worker.slots * (stage.spec.concurrency ?? 1);
}

/** Tasks of the stage that are still missing to so many for each lane, beside all that the worker holds; negative if there are more. */
export function freeLanes({ slots, heldSlots }: Worker, stage: Stage, tasksPerLane = 1): number {
  return Math.ceil((tasksPerLane * slots - heldSlots) * (stage.spec.concurrency ?? 1) - 1e-6);
}

/** Milliseconds of a slot that one of its tasks takes: those in lanes share it. */
export function slotMsOf({ taskMs = 1, spec }: Stage): number {
  return taskMs / (spec.concurrency ?? 1);
}

/** Some of the stage, or of one of which nobody knows how long its tasks take. */
function holdsUnknown(state: State, { held }: Worker, stage: Stage): boolean {
  for (const handle of held) {
    const { stage: other } = state.assignments.get(handle)!;
    if (other === stage || other.taskMs === undefined) return true;
  }
  return false;
}

/** None of the tasks that it has came to an end for long. */
export function isStuck({ heldTasks, movedMs }: Worker, nowMs: number): boolean {
  return heldTasks > 0 && nowMs - movedMs > stealGraceMs;
}

/** `*` serves them all. */
export function servesQueue(worker: Worker, queue: string): boolean {
  return worker.queues.has(queue) || worker.queues.has('*');
}
