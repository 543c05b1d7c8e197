/** What there is, a page at a time: jobs, tasks, workers, queues. A page costs its own length and what it passes over. */

import type { JobPage, QueueInfo, TaskPage, TaskStateName, TaskView, WorkerInfo } from './answers.ts';
import { TaskState } from './columns.ts';
import type { FromClient } from './messages.ts';
import { servesQueue } from './placement.ts';
import { type Job, type Stage, type State, storyKey, type Worker } from './state.ts';
import { attemptsOf, failureOf, jobView, stateOf } from './view.ts';

/** By TaskState. */
export const taskStateNames: readonly TaskStateName[] = [
  'waiting',
  'ready',
  'running',
  'delayed',
  'done',
  'dead',
  'skipped',
  'cancelled',
  'expired',
];

type Of<K extends FromClient['kind']> = Extract<FromClient, { kind: K }>;

/** Newest first. */
export function listJobs(state: State, { states, limit, after }: Of<'listJobs'>): JobPage {
  const jobs: JobPage['jobs'] = [];
  const newestFirst = [...state.jobs.keys()].reverse();
  let at = after === undefined ? 0 : newestFirst.indexOf(after) + 1;
  for (; at < newestFirst.length && jobs.length < limit; at++) {
    const job = state.jobs.get(newestFirst[at]!)!;
    if (!job.dropping && (!states || states.includes(stateOf(job)))) jobs.push(jobView(state, job));
  }
  return { jobs, ...(at < newestFirst.length && { next: newestFirst[at - 1]! }) };
}

/** In order of (stage, index); `after` names the last one of the page before as `stage/index`. */
export function listTasks(state: State, job: Job, { states, limit, after }: Of<'listTasks'>): TaskPage {
  const wanted = new Set((states ?? taskStateNames).map((name) => taskStateNames.indexOf(name)));
  const [fromStage = 0, lastIndex = -1] = after?.split('/').map(Number) ?? [];
  const tasks: TaskView[] = [];
  for (let s = fromStage; s < job.stages.length; s++) {
    const stage = job.stages[s]!;
    if (!stage.spec.definition || ![...wanted].some((taskState) => (stage.counts[taskState] ?? 0) > 0)) continue;
    for (let index = s === fromStage ? lastIndex + 1 : 0; index < stage.columns.length; index++) {
      if (!wanted.has(stage.columns.state(index))) continue;
      if (tasks.length === limit) return { tasks, next: `${tasks.at(-1)!.stage}/${tasks.at(-1)!.index}` };
      tasks.push(taskView(state, job, stage, index));
    }
  }
  return { tasks };
}

export function taskView(state: State, job: Job, stage: Stage, index: number): TaskView {
  const { columns } = stage;
  const taskState = columns.state(index);
  const hasHolder = taskState === TaskState.running || taskState === TaskState.done || taskState === TaskState.dead;
  const failed = taskState >= TaskState.dead || job.stories.has(storyKey(stage.index, index));
  return {
    id: `${job.id}/${stage.index}/${index}`,
    job: job.id,
    stage: stage.index,
    index,
    task: stage.spec.definition?.name ?? job.spec.name,
    state: taskStateNames[taskState]!,
    attempt: taskState >= TaskState.dead ? Math.max(1, attemptsOf(stage, index)) : columns.attempt(index),
    attemptsMax: 1 + stage.spec.retry.retries,
    ...(hasHolder && { worker: state.workers[columns.holder(index)]?.name ?? '' }),
    ...(taskState === TaskState.done && { durationMs: columns.durationUs(index) / 1000 }),
    ...(failed && taskState !== TaskState.done && { failure: failureOf(state, job, stage, index) }),
  };
}

/** One task with all that is known of it. */
export function wholeTask(state: State, job: Job, stage: Stage, index: number, nowMs: number, wallMs: number): TaskView {
  const dueMs = stage.columns.state(index) === TaskState.delayed ? retryDueMs(state, job, stage, index) : undefined;
  const history = job.stories.get(storyKey(stage.index, index))?.history;
  return {
    ...taskView(state, job, stage, index),
    ...(dueMs !== undefined && { notBeforeWallMs: wallMs + dueMs - nowMs }),
    ...(history && { history }),
  };
}

/** When the next attempt of a delayed task is due, monotonic. */
export function retryDueMs(state: State, job: Job, stage: Stage, index: number): number | undefined {
  return state.timers.find((wake) => wake.wake === 'retry' && wake.job === job.id && wake.stage === stage.index && wake.index === index);
}

export function workerInfo(worker: Worker, nowMs: number): WorkerInfo {
  const { name, incarnation, status, host, pid, version, slots, queues, labels, resources, code, memory, heldTasks, why } = worker;
  return {
    worker: name,
    incarnation,
    status,
    host,
    pid,
    version,
    slots,
    queues: [...queues],
    labels,
    resources,
    ...(code && { code }),
    heldTasks,
    ...(memory && { memory }),
    heardAgoMs: Math.max(0, Math.round(nowMs - worker.lastHeardMs)),
    ...(why !== undefined && { why }),
  };
}

/** Those that are paused, served, or have tasks in them. */
export function listQueues(state: State): QueueInfo[] {
  const queues = new Map<string, QueueInfo>();
  const queueOf = (queue: string): QueueInfo => {
    let info = queues.get(queue);
    if (!info) {
      const workers = state.workers.filter((worker) => worker.status === 'live' && servesQueue(worker, queue)).length;
      info = { queue, paused: state.pausedQueues.has(queue), workers, jobs: 0, ready: 0, delayed: 0, running: 0 };
      queues.set(queue, info);
    }
    return info;
  };
  queueOf('default');
  for (const queue of state.pausedQueues) queueOf(queue);
  for (const { status, queues: served } of state.workers) {
    if (status === 'live') for (const queue of served) if (queue !== '*') queueOf(queue);
  }
  for (const job of state.jobs.values()) if (job.outcome === undefined) addJob(job, queueOf);
  return [...queues.values()].sort((a, b) => (a.queue < b.queue ? -1 : 1));
}

function addJob(job: Job, queueOf: (queue: string) => QueueInfo): void {
  const seen = new Set<string>();
  for (const { spec, counts } of job.stages) {
    if (!spec.definition) continue;
    const info = queueOf(spec.queue);
    info.ready += counts[TaskState.ready]!;
    info.delayed += counts[TaskState.delayed]!;
    info.running += counts[TaskState.running]!;
    if (!seen.has(spec.queue)) info.jobs++;
    seen.add(spec.queue);
  }
}
