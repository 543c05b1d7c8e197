/**
 * What operators ask: lists, why something waits, dead letters. Each is answered once, and each answer has a bound.
 */
import { unknownJob } from './drop.ts';
import { explainJob, explainTask } from './explain.ts';
import { letterPlaceOf, listDeadLetters } from './letters.ts';
import { listJobs, listQueues, listTasks, listWorkers, placeOf, wholeTask } from './listing.ts';
import type { FromClient, Refusal } from './messages.ts';
import type { Job, Stage, State } from './state.ts';
import { clusterView } from './status.ts';
import type { Turn } from './turn.ts';

const operatorKinds = [
  'deadLetters',
  'listJobs',
  'listTasks',
  'getTask',
  'listWorkers',
  'drainWorker',
  'listQueues',
  'status',
  'explain',
] as const;
export type OperatorMessage = Extract<FromClient, { kind: (typeof operatorKinds)[number] }>;

/** Jobs, tasks or letters in one answer. */
const answerMax = 10_000;

export function onOperator(state: State, session: string, message: OperatorMessage, turn: Turn): void {
  const { request } = message;
  const answer = answerOf(state, message, turn);
  if ('error' in answer) turn.tell(session, { kind: 'refusal', request, error: answer.error });
  else turn.tell(session, { kind: 'reply', request, value: answer.value });
}

type Answer = { value: unknown } | { error: Refusal };

function answerOf(state: State, message: OperatorMessage, turn: Turn): Answer {
  switch (message.kind) {
    case 'listJobs':
      return { value: listJobs(state, { ...message, limit: bounded(message.limit) }) };
    case 'listTasks':
      return withJob(state, message.job, (job) => tasksPage(state, job, message));
    case 'getTask':
      return withTask(state, message, (job, stage) => ({ value: wholeTask(state, job, stage, message.index) }));
    case 'listWorkers':
      return { value: listWorkers(state, turn.nowMs) };
    case 'drainWorker':
      return drainWorker(state, message.worker, turn);
    case 'listQueues':
      return { value: listQueues(state) };
    case 'status':
      return { value: clusterView(state) };
    case 'explain':
      return explain(state, message, turn);
    case 'deadLetters':
      if (message.job === undefined) return lettersPage(state.jobs.values(), message);
      return withJob(state, message.job, (job) => lettersPage([job], message));
  }
}

function bounded(limit: number): number {
  return Math.max(1, Math.min(limit, answerMax));
}

function tasksPage(state: State, job: Job, message: Extract<OperatorMessage, { kind: 'listTasks' }>): Answer {
  const { after, limit, states } = message;
  const place = after === undefined ? undefined : placeOf(after);
  if (after !== undefined && !place) return { error: unknownTask(job, after) };
  return { value: listTasks(state, job, { limit: bounded(limit), ...(states && { states }) }, place) };
}

function lettersPage(jobs: Iterable<Job>, { after, limit = answerMax }: Extract<OperatorMessage, { kind: 'deadLetters' }>): Answer {
  const place = after === undefined ? undefined : letterPlaceOf(after);
  if (after !== undefined && !place) {
    const why = 'a page says where the next one begins: JOB/STAGE/INDEX';
    return { error: { code: 'SH1409', message: `there is no task ${after}`, why, hint: 'shoal dlq list' } };
  }
  return { value: listDeadLetters(jobs, bounded(limit), place) };
}

function explain(state: State, { job: id, stage, index }: Extract<OperatorMessage, { kind: 'explain' }>, turn: Turn): Answer {
  if (stage === undefined || index === undefined) return withJob(state, id, (job) => ({ value: explainJob(state, job, turn) }));
  return withTask(state, { job: id, stage, index }, (job, found) => ({ value: explainTask(state, job, found, index, turn) }));
}

function withJob(state: State, id: string, act: (job: Job) => Answer): Answer {
  const job = state.jobs.get(id);
  return job && !job.dropping ? act(job) : { error: unknownJob(id) };
}

function withTask(state: State, at: { job: string; stage: number; index: number }, act: (job: Job, stage: Stage) => Answer): Answer {
  return withJob(state, at.job, (job) => {
    const stage = job.stages[at.stage];
    const isThere = stage !== undefined && at.index >= 0 && at.index < stage.columns.length;
    return isThere ? act(job, stage) : { error: unknownTask(job, `${at.stage}/${at.index}`) };
  });
}

const stagesNamedMax = 20;

function unknownTask(job: Job, place: string): Refusal {
  const stages = job.stages
    .slice(0, stagesNamedMax)
    .map(({ index, spec, columns }) => `${index} (${spec.definition?.name ?? 'inputs'}: ${columns.length} tasks)`);
  return {
    code: 'SH1409',
    message: `there is no task ${job.id}/${place}`,
    why: `stages of ${job.spec.name}: ${stages.join(', ')}${job.stages.length > stagesNamedMax ? ' …' : ''}`,
    hint: `shoal tasks list ${job.id}`,
  };
}

/** It is told once now, and with each beat until it has heard. */
function drainWorker(state: State, name: string, turn: Turn): Answer {
  const worker = state.workersByName.get(name);
  if (worker?.status !== 'live' && worker?.status !== 'draining') {
    const isSilent = worker?.status === 'silent';
    const message = isSilent ? `worker ${name} has not been heard of since this coordinator began` : `there is no worker ${name}`;
    return { error: { code: 'SH1410', message, why: whoIsThere(state), hint: 'shoal workers list --all' } };
  }
  worker.status = 'draining';
  turn.send(worker.address, { kind: 'drain', term: state.term });
  return { value: {} };
}

const workersNamedMax = 20;

function whoIsThere({ workers }: State): string {
  const names = workers.filter(({ status }) => status === 'live' || status === 'draining').map((each) => each.name);
  if (names.length === 0) return 'no worker is there';
  const more = names.length > workersNamedMax ? ` and ${names.length - workersNamedMax} more` : '';
  return `there is: ${names.slice(0, workersNamedMax).join(', ')}${more}`;
}
