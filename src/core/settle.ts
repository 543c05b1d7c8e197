/** At the end of a turn: jobs that are over end, and whoever waits for something of a job is told. */

import { TaskState } from './columns.ts';
import { dropJob } from './drop.ts';
import { hasTooManyFailures, openTasks } from './edges.ts';
import type { JobOutcome } from './facts.ts';
import { deliver } from './readers.ts';
import type { Job, State } from './state.ts';
import type { Turn } from './turn.ts';
import { jobView } from './view.ts';
import { wakeJob } from './wakes.ts';

export function settleJobs(state: State, turn: Turn): void {
  for (const job of state.touched) {
    if (!state.jobs.has(job.id)) continue;
    if (job.outcome === undefined) judge(state, job, turn);
    tellFlow(job, turn);
    for (const reader of job.readers) deliver(state, reader, turn);
    if (canGoAtOnce(state, job)) {
      dropJob(state, job, turn);
      continue;
    }
    if (job.outcome !== undefined && job.dropAlarmMs !== job.dropAtMs) {
      job.dropAlarmMs = job.dropAtMs;
      wakeJob(state, job, job.dropAtMs, { wake: 'drop' });
    }
    if (job.outcome !== undefined && job.waiters.length > 0) {
      const view = jobView(state, job);
      for (const { session, request } of job.waiters) turn.tell(session, { kind: 'reply', request, value: view });
      job.waiters = [];
    }
  }
  state.touched.clear();
}

/** Its one value was told, and in one process what was told has arrived; elsewhere the reader says so (unread). */
function canGoAtOnce(state: State, job: Job): boolean {
  const { output, keepMs } = job.spec;
  if (!state.isOneMachine || keepMs > 0 || output.take !== 'one' || job.outcome !== 'succeeded' || job.waiters.length > 0) return false;
  for (const reader of job.readers) if (reader.done) return true;
  return false;
}

/** Ends it if it is over. */
export function judge(state: State, job: Job, turn: Turn): void {
  const broken = job.stages.find(hasTooManyFailures);
  if (broken) {
    const expired = broken.counts[TaskState.dead] === 0;
    endJob(state, job, 'failed', expired ? 'tasks waited longer than their ttl' : undefined, turn);
  } else if (job.stages.every((stage) => stage.ended)) {
    endJob(state, job, 'succeeded', undefined, turn);
  }
}

/** Ends the job for all time (or until a replay); what still runs of it is aborted. */
export function endJob(state: State, job: Job, outcome: JobOutcome, reason: string | undefined, turn: Turn): void {
  // Most jobs end with nothing under way; to look for what there is costs a look at all that any job has.
  const isUnderWay = job.stages.some(({ counts }) => counts[TaskState.running]! > 0);
  for (const assignment of isUnderWay ? state.assignments.values() : []) {
    if (assignment.job !== job || assignment.worker.status === 'left') continue;
    turn.send(assignment.worker.address, {
      kind: 'abort',
      term: assignment.term,
      serial: assignment.serial,
      ranges: assignment.ranges,
      reason: outcome === 'cancelled' ? (reason ?? 'cancelled') : `the job has ${outcome === 'expired' ? 'reached its deadline' : outcome}`,
    });
  }
  turn.jobFact(state, job, { fact: 'job-ended', outcome, ...(reason === undefined ? {} : { reason }), wallMs: turn.wallMs });
}

/** Only while inputs may still come: afterwards there is nothing to hold back, and only those are told who asked. */
function tellFlow(job: Job, turn: Turn): void {
  const { feeders } = job;
  if (feeders.size === 0) return;
  let isAsked = false;
  for (const waits of feeders.values()) isAsked ||= waits;
  for (const stage of job.stages) {
    if (stage.spec.feed.kind !== 'inputs' || (stage.sealed && !isAsked)) continue;
    const { columns } = stage;
    const final = columns.length - openTasks(stage);
    const mark = columns.length + final + (job.outcome === undefined ? 0 : 0.5);
    const isNews = mark !== stage.flowTold && !stage.sealed;
    if (!isNews && !isAsked) continue;
    stage.flowTold = mark;
    const flow = {
      kind: 'flow',
      job: job.id,
      stage: stage.index,
      added: columns.length,
      final,
      ...(stage.sealed || job.outcome !== undefined ? { sealed: true } : {}),
    } as const;
    for (const [session, waits] of feeders) if (isNews || waits) turn.tell(session, flow);
  }
  if (isAsked) for (const session of feeders.keys()) feeders.set(session, false);
}
