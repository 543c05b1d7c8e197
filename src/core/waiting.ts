/**
 * Why a job waits, and what can be done about it: one truth for the line in a job's view, for `explain`, and for the
 * problems of the cluster.
 */
import { TaskState } from './columns.ts';
import type { Reason } from './messages.ts';
import { canRun, hasCode, servesQueue } from './placement.ts';
import type { Job, Stage, State, Worker } from './state.ts';

/** Why nothing of an open job runs; empty when something does, or nothing is there to run. */
export function whyWaiting(state: State, job: Job): Reason[] {
  let ready: Stage | undefined;
  let delayed: Stage | undefined;
  for (const stage of job.stages) {
    if (stage.counts[TaskState.running]! > 0) return [];
    if (stage.counts[TaskState.ready]! > 0) ready ??= stage;
    if (stage.counts[TaskState.delayed]! > 0) delayed ??= stage;
  }
  if (job.isResting) return [{ what: 'nobody has asked for it since the journal was opened', try: 'run its program again' }];
  if (job.notBeforeMs > 0) return [{ what: 'delayed: its start time has not come' }];
  if (ready) return [whyReadyWaits(state, job, ready)];
  if (delayed) return [{ what: 'waiting for the next attempt of tasks that failed', try: `shoal tasks list ${job.id} --state delayed` }];
  if (job.stages.some((stage) => !stage.sealed && stage.spec.feed.kind === 'inputs')) {
    return [
      {
        what: 'waiting for inputs',
        ...(job.feeder === undefined && { try: 'the program that feeds it is gone: run it again, or cancel the job' }),
      },
    ];
  }
  return [];
}

function whyReadyWaits(state: State, job: Job, ready: Stage): Reason {
  const { queue, resources } = ready.spec;
  if (state.full) return { what: 'the journal has no room left', try: 'free some space' };
  if (state.pausedQueues.has(queue)) return { what: `the queue "${queue}" is paused`, try: `shoal queues resume ${queue}` };
  const live = state.workers.filter((worker) => worker.status === 'live');
  if (live.length === 0) return { what: 'there is no worker', try: 'start one: shoal worker --address URL' };
  const inQueue = live.filter((worker) => servesQueue(worker, queue));
  if (inQueue.length === 0) return { what: `no worker serves the queue "${queue}"`, try: `start one: shoal worker --queues ${queue}` };
  const withCode = inQueue.filter((worker) => !worker.refused.has(`${job.id}/${ready.index}`) && hasCode(worker, ready));
  if (withCode.length === 0) return noCode(inQueue, ready);
  if (!withCode.some((worker) => canRun(worker, job, ready))) return noResources(withCode, resources);
  const before = [...state.jobs.values()].filter((other) => other !== job && other.spec.priority > job.spec.priority && hasReady(other));
  if (before.length === 0) return { what: 'all workers are busy with other jobs' };
  const names = before.slice(0, 3).map((other) => other.spec.name);
  return { what: `jobs of higher priority go first: ${names.join(', ')}`, try: 'start more workers, or wait' };
}

function noCode(workers: readonly Worker[], { spec: { definition } }: Stage): Reason {
  const name = definition?.name ?? '';
  if (definition?.bundle !== undefined && !workers.some(({ code }) => code?.kind === 'named' && code.bundles)) {
    return { what: `no worker accepts bundles, so none has the code of "${name}"`, try: 'start one: shoal worker --allow-bundles' };
  }
  return { what: `no worker has the code of "${name}"`, try: `start one that has it: shoal worker --tasks FILE` };
}

function noResources(workers: readonly Worker[], resources: Record<string, number>): Reason {
  const wanted = Object.entries(resources).map(([name, amount]) => {
    const best = Math.max(0, ...workers.map((worker) => worker.resources[name] ?? 0));
    return `${amount} ${name} (the best worker has ${best})`;
  });
  return { what: `no worker has ${wanted.join(', ')}`, try: 'start one that has: shoal worker --resource NAME:AMOUNT' };
}

function hasReady(job: Job): boolean {
  return job.outcome === undefined && job.stages.some((stage) => stage.counts[TaskState.ready]! > 0);
}
