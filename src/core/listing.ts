/** What there is: jobs and tasks a page at a time, workers, queues. A page costs its own length and what it passes over. */

import type { JobPage, QueueInfo, TaskPage, TaskStateName, TaskView, WorkerInfo } from './answers.ts';
import { retriesLeft } from './assign.ts';
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

/** Newest first. Looks at each job once, and holds no more than two pages of them. */
export function listJobs(state: State, { states, limit, after }: Of<'listJobs'>): JobPage {
  const wanted = states && new Set(states);
  let newest: Job[] = [];
  let oldestKept = '';
  const keepNewest = (): void => {
    newest = newest.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit + 1);
    if (newest.length > limit) oldestKept = newest[limit]!.id;
  };
  for (const job of state.jobs.values()) {
    if (job.dropping || job.id < oldestKept || (after !== undefined && job.id >= after)) continue;
    if (wanted && !wanted.has(stateOf(job))) continue;
    newest.push(job);
    if (newest.length >= 2 * (limit + 1)) keepNewest();
  }
  keepNewest();
  const page = newest.slice(0, limit);
  return { jobs: page.map((job) => jobView(state, job)), ...(newest.length > limit && { next: page.at(-1)!.id }) };
}

/** Where a page of tasks goes on: behind this one. */
interface TaskPlace {
  stage: number;
  index: number;
}

/** `after` of a request for tasks, `stage/index` as a page gave it; undefined if it is no such thing. */
export function placeOf(after: string): TaskPlace | undefined {
  const [, stage, index] = /^(\d{1,9})\/(\d{1,10})$/.exec(after) ?? [];
  return stage === undefined || index === undefined ? undefined : { stage: Number(stage), index: Number(index) };
}

/** In order of (stage, index). A page looks at its own tasks, and at those between them that were not asked for. */
export function listTasks(
  state: State,
  job: Job,
  { states, limit }: Pick<Of<'listTasks'>, 'states' | 'limit'>,
  after: TaskPlace = { stage: 0, index: -1 },
): TaskPage {
  let wanted = 0;
  for (const name of states ?? taskStateNames) wanted |= 1 << taskStateNames.indexOf(name);
  const tasks: TaskView[] = [];
  for (const stage of job.stages.slice(after.stage)) {
    const { columns, spec, counts } = stage;
    if (!spec.definition || !taskStateNames.some((_, taskState) => wanted & (1 << taskState) && counts[taskState]! > 0)) continue;
    for (let index = stage.index === after.stage ? after.index + 1 : 0; index < columns.length; index++) {
      if ((wanted & (1 << columns.state(index))) === 0) continue;
      const last = tasks.at(-1);
      if (last && tasks.length >= limit) return { tasks, next: `${last.stage}/${last.index}` };
      tasks.push(taskView(state, job, stage, index));
    }
  }
  return { tasks };
}

function taskView(state: State, job: Job, stage: Stage, index: number): TaskView {
  const { columns } = stage;
  const taskState = columns.state(index);
  const hasHolder = taskState === TaskState.running || taskState === TaskState.done || taskState === TaskState.dead;
  const story = columns.hasStory(index) ? job.stories.get(storyKey(stage.index, index)) : undefined;
  const hasFailed = taskState >= TaskState.dead || (taskState !== TaskState.done && story?.lastError !== undefined);
  const dueWallMs = taskState === TaskState.delayed ? story?.notBeforeWallMs : undefined;
  const attempt = taskState >= TaskState.dead ? Math.max(1, attemptsOf(stage, index)) : columns.attempt(index);
  return {
    id: `${job.id}/${stage.index}/${index}`,
    job: job.id,
    stage: stage.index,
    index,
    task: stage.spec.definition?.name ?? job.spec.name,
    state: taskStateNames[taskState]!,
    attempt,
    attemptsMax: taskState >= TaskState.done ? attempt : attempt + retriesLeft(job, stage, index),
    ...(hasHolder && { worker: state.workersByIndex.get(columns.holder(index))?.name ?? '' }),
    ...(taskState === TaskState.done && { durationMs: columns.durationUs(index) / 1000 }),
    ...(dueWallMs !== undefined && { notBeforeWallMs: dueWallMs }),
    ...(hasFailed && { failure: failureOf(job, stage, index) }),
  };
}

/** One task with all that is known of it. */
export function wholeTask(state: State, job: Job, stage: Stage, index: number): TaskView {
  const history = job.stories.get(storyKey(stage.index, index))?.history;
  return { ...taskView(state, job, stage, index), ...(history && { history }) };
}

/** Of those that left, the last tell what went wrong. */
const leftMax = 100;

/** In order of their first joining. */
export function listWorkers(state: State, nowMs: number): WorkerInfo[] {
  const left = state.workers.filter(({ status }) => status === 'left').sort((a, b) => b.lastHeardMs - a.lastHeardMs || b.index - a.index);
  const passedOver = new Set(left.slice(leftMax));
  return state.workers.filter((worker) => !passedOver.has(worker)).map((worker) => workerInfo(worker, nowMs));
}

function workerInfo(worker: Worker, nowMs: number): WorkerInfo {
  const { name, incarnation, status, host, pid, version, slots, queues, labels, resources, code, memory, cpu, heldTasks, why } = worker;
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
    ...(cpu !== undefined && { cpu }),
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
      const version = state.queueChanges.get(queue)?.version ?? 0;
      info = { queue, paused: state.pausedQueues.has(queue), version, workers, jobs: 0, ready: 0, delayed: 0, running: 0 };
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
