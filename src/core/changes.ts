/** What people do to jobs and queues: each thing that they change has a version (versions.ts), which each change raises. */
import type { CancelReply, PurgeReply, QueueReply, ReplayReply } from './answers.ts';
import { dropJob, unknownJob } from './drop.ts';
import type { JobChange } from './facts.ts';
import { purgeLetters } from './letters.ts';
import type { FromClient, Refusal } from './messages.ts';
import { replay } from './replay.ts';
import { attach } from './rows.ts';
import { endJob, judge } from './settle.ts';
import type { Job, State } from './state.ts';
import type { Turn } from './turn.ts';
import { madeBefore, refusalOf } from './versions.ts';
import { stateOf } from './view.ts';

type ChangeMessage = Extract<FromClient, { kind: 'cancel' | 'replay' | 'purge' | 'setQueue' | 'deleteJob' }>;
type JobMessage = Exclude<ChangeMessage, { kind: 'setQueue' }>;
type Answer = { value: CancelReply | ReplayReply | PurgeReply | QueueReply | Record<string, never> } | { error: Refusal };

/** How many tasks or letters it met. What meets none may still be a change. */
interface Made {
  count: number;
  isChange: boolean;
}

export function onChange(state: State, session: string, message: ChangeMessage, turn: Turn): void {
  const { request } = message;
  const answer = message.kind === 'setQueue' ? setQueue(state, message, turn) : changeJob(state, message, turn);
  if ('error' in answer) turn.tell(session, { kind: 'refusal', request, error: answer.error });
  else turn.tell(session, { kind: 'reply', request, value: answer.value });
}

function changeJob(state: State, message: JobMessage, turn: Turn): Answer {
  const job = state.jobs.get(message.job);
  if (!job || job.dropping) return { error: unknownJob(message.job) };
  attach(state, job);
  const { changes } = job;
  const before = madeBefore(changes, message.change);
  if (before && message.kind !== 'deleteJob') return { value: replyOf(job, message.kind, before.count, before.version) };
  const error = refusalOf(`job ${job.id}`, changes, message.expectedVersion, `shoal jobs get ${job.id}`, turn.wallMs);
  if (error) return { error };
  if (message.kind === 'deleteJob') {
    if (job.outcome === undefined) endJob(state, job, 'cancelled', 'deleted', turn);
    dropJob(state, job, turn);
    return { value: {} };
  }
  const { count, isChange } = make(state, job, message, turn);
  if (isChange) {
    const { change } = message;
    const name = change === undefined ? {} : { change };
    turn.jobFact(state, job, { fact: 'job-changed', what: words[message.kind], count, ...name, wallMs: turn.wallMs });
  }
  return { value: replyOf(job, message.kind, count, changes.version) };
}

type Kind = Exclude<JobMessage['kind'], 'deleteJob'>;
const words: Record<Kind, JobChange> = { cancel: 'cancelled', replay: 'replayed', purge: 'purged' };

function make(state: State, job: Job, message: Extract<JobMessage, { kind: Kind }>, turn: Turn): Made {
  switch (message.kind) {
    case 'cancel': {
      // Its last result may have come in this very turn: then it is over, and the result is what it gives (A04).
      if (job.outcome === undefined) judge(state, job, turn);
      const isChange = job.outcome === undefined;
      if (isChange) endJob(state, job, 'cancelled', message.reason, turn);
      return { count: isChange ? 1 : 0, isChange };
    }
    case 'replay': {
      const wasOver = job.outcome !== undefined;
      const count = replay(state, job, message, turn);
      return { count, isChange: count > 0 || (wasOver && job.outcome === undefined) };
    }
    case 'purge': {
      const count = purgeLetters(state, job, message, turn);
      return { count, isChange: count > 0 };
    }
  }
}

function replyOf(job: Job, kind: Kind, count: number, version: number): CancelReply | ReplayReply | PurgeReply {
  if (kind === 'cancel') return { cancelled: count > 0, state: stateOf(job), version };
  return kind === 'replay' ? { replayed: count, version } : { purged: count, version };
}

function setQueue(state: State, message: Extract<ChangeMessage, { kind: 'setQueue' }>, turn: Turn): Answer {
  const { queue, paused, change, expectedVersion } = message;
  const changes = state.queueChanges.get(queue) ?? { version: 0, last: [] };
  const before = madeBefore(changes, change);
  if (before) return { value: { paused, version: before.version } };
  const error = refusalOf(`queue "${queue}"`, changes, expectedVersion, 'shoal queues list', turn.wallMs);
  if (error) return { error };
  if (state.pausedQueues.has(queue) !== paused) {
    const name = change === undefined ? {} : { change };
    turn.registryFact(state, { fact: 'queue-set', queue, paused, ...name, wallMs: turn.wallMs });
  }
  return { value: { paused, version: state.queueChanges.get(queue)?.version ?? 0 } };
}
