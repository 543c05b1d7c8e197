/** What people and clients see of a job: derived on demand, never kept. */
import { TaskState } from './columns.ts';
import type { JobState, JobView, TaskFailure } from './messages.ts';
import { canRun, hasCode, servesQueue } from './placement.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';

export function stateOf(job: Job): JobState {
  return job.outcome ?? (job.started ? 'running' : 'queued');
}

const defaultMessages: Record<string, string> = {
  SH2004: 'skipped: another task failed for good',
  SH2005: 'cancelled',
  SH2006: 'expired: it waited longer than its ttl',
};

export function failureOf(state: State, job: Job, stage: Stage, index: number): TaskFailure {
  const story = job.stories.get(storyKey(stage.index, index));
  const taskState = stage.columns.state(index);
  const code = story?.code ?? (taskState === TaskState.cancelled ? 'SH2005' : taskState === TaskState.expired ? 'SH2006' : 'SH2004');
  return {
    stage: stage.index,
    index,
    task: stage.spec.definition?.name ?? job.spec.name,
    attempts: story?.history.length ? story.history.at(-1)!.attempt : 0,
    worker: state.workers[story?.lastWorker ?? 0]?.name ?? '',
    code,
    error: story?.lastError ?? { name: 'Error', message: defaultMessages[code] ?? 'failed' },
  };
}

/** Attempts that a row has used: for a result the one that gave it, else those that are closed. */
export function attemptsOf(stage: Stage, index: number): number {
  const attempt = stage.columns.attempt(index);
  return stage.columns.state(index) === TaskState.done ? attempt : attempt - 1;
}

export function jobView(state: State, job: Job): JobView {
  const counts = new Int32Array(9);
  let total = 0;
  let isKnown = true;
  let retried = 0;
  for (const stage of job.stages) {
    if (!stage.spec.definition || stage.fold) continue;
    for (let i = 0; i < counts.length; i++) counts[i]! += stage.counts[i]!;
    total += stage.columns.length;
    isKnown &&= stage.sealed;
    retried += stage.retried;
  }
  const waiting = job.outcome === undefined ? whyWaiting(state, job) : undefined;
  return {
    job: job.id,
    name: job.spec.name,
    ...(job.spec.key === undefined ? {} : { key: job.spec.key }),
    state: stateOf(job),
    priority: job.spec.priority,
    output: outputOf(job),
    createdWallMs: job.createdWallMs,
    ...(job.endedWallMs === undefined ? {} : { endedWallMs: job.endedWallMs }),
    ...(job.reason === undefined ? {} : { reason: job.reason }),
    ...(job.failure === undefined ? {} : { error: failureOf(state, job, job.stages[job.failure.stage]!, job.failure.index) }),
    ...(isKnown ? { total } : {}),
    queued: counts[TaskState.waiting]! + counts[TaskState.ready]! + counts[TaskState.delayed]!,
    running: counts[TaskState.running]!,
    succeeded: counts[TaskState.done]!,
    failed: counts[TaskState.dead]! + counts[TaskState.expired]!,
    skipped: counts[TaskState.skipped]! + counts[TaskState.cancelled]!,
    retried,
    recovered: job.recovered,
    ...(job.note === undefined ? {} : { note: job.note }),
    ...(waiting === undefined ? {} : { waiting }),
  };
}

function outputOf(job: Job): NonNullable<JobView['output']> {
  const { stage, take } = job.spec.output;
  const { definition } = job.spec.stages[stage]!;
  return { take, ...(definition === undefined ? {} : { definition }) };
}

/** The reason that nothing of the job runs, in words for a person; undefined when something does or nothing is there to run. */
function whyWaiting(state: State, job: Job): string | undefined {
  let ready: Stage | undefined;
  let delayed = false;
  for (const stage of job.stages) {
    if (stage.counts[TaskState.running]! > 0) return undefined;
    if (stage.counts[TaskState.ready]! > 0) ready ??= stage;
    delayed ||= stage.counts[TaskState.delayed]! > 0;
  }
  if (job.isResting) return 'nobody has asked for it since the journal was opened';
  if (job.notBeforeMs > 0) return 'delayed: its start time has not come';
  if (!ready) {
    if (delayed) return 'waiting for the next attempt of tasks that failed';
    return job.stages.some((stage) => !stage.sealed && stage.spec.feed.kind === 'inputs') ? 'waiting for inputs' : undefined;
  }
  const { queue, definition, resources } = ready.spec;
  if (state.pausedQueues.has(queue)) return `the queue "${queue}" is paused`;
  const live = state.workers.filter((worker) => worker.status === 'live');
  if (live.length === 0) return 'there is no worker';
  const inQueue = live.filter((worker) => servesQueue(worker, queue));
  if (inQueue.length === 0) return `no worker serves the queue "${queue}"`;
  const withCode = inQueue.filter((worker) => !worker.refused.has(`${job.id}/${ready.index}`) && hasCode(worker, ready));
  if (withCode.length === 0) return `no worker has the code of "${definition?.name}"`;
  if (!withCode.some((worker) => canRun(worker, job, ready))) return `no worker has ${JSON.stringify(resources)}`;
  return 'all workers are busy with other jobs';
}
