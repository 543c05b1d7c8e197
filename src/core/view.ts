/** What people and clients see of a job: derived on demand, never kept. */

import type { JobState, JobView, TaskFailure } from './answers.ts';
import { TaskState } from './columns.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';
import { whyJobWaits } from './waiting.ts';

export function stateOf(job: Job): JobState {
  return job.outcome ?? (job.started ? 'running' : 'queued');
}

const defaultMessages: Record<string, string> = {
  SH2004: 'skipped: another task failed for good',
  SH2005: 'cancelled',
  SH2006: 'expired: it waited longer than its ttl',
};

export function failureOf(job: Job, stage: Stage, index: number): TaskFailure {
  const story = job.stories.get(storyKey(stage.index, index));
  const taskState = stage.columns.state(index);
  const code = story?.code ?? (taskState === TaskState.cancelled ? 'SH2005' : taskState === TaskState.expired ? 'SH2006' : 'SH2004');
  return {
    stage: stage.index,
    index,
    task: stage.spec.definition?.name ?? job.spec.name,
    attempts: story?.history.length ? story.history.at(-1)!.attempt : 0,
    worker: story?.history.at(-1)?.worker ?? '',
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
  const waiting = job.outcome === undefined ? whyJobWaits(state, job) : undefined;
  return {
    job: job.id,
    name: job.spec.name,
    ...(job.spec.key === undefined ? {} : { key: job.spec.key }),
    state: stateOf(job),
    version: job.changes.version,
    priority: job.spec.priority,
    output: outputOf(job),
    createdWallMs: job.createdWallMs,
    ...(job.endedWallMs === undefined ? {} : { endedWallMs: job.endedWallMs }),
    ...(job.reason === undefined ? {} : { reason: job.reason }),
    ...(job.failure === undefined ? {} : { error: failureOf(job, job.stages[job.failure.stage]!, job.failure.index) }),
    ...(isKnown ? { total } : {}),
    queued: counts[TaskState.waiting]! + counts[TaskState.ready]! + counts[TaskState.delayed]!,
    running: counts[TaskState.running]!,
    succeeded: counts[TaskState.done]!,
    failed: counts[TaskState.dead]! + counts[TaskState.expired]!,
    skipped: counts[TaskState.skipped]! + counts[TaskState.cancelled]!,
    retried,
    recovered: job.recovered,
    ...(job.note === undefined ? {} : { note: job.note }),
    ...(waiting === undefined ? {} : { waiting: waiting.reason.what }),
    ...(waiting?.kind === 'stuck' ? { stuck: true as const } : {}),
  };
}

function outputOf(job: Job): NonNullable<JobView['output']> {
  const { stage, take } = job.spec.output;
  const { definition } = job.spec.stages[stage]!;
  return { take, ...(definition === undefined ? {} : { definition }) };
}
