/** What operators ask: lists, why something waits, dead letters and what becomes of them. Each is answered once. */
import { unknownJob } from './drop.ts';
import { clusterView, explainJob, explainTask } from './explain.ts';
import { listDeadLetters, purgeLetters } from './letters.ts';
import { listJobs, listQueues, listTasks, wholeTask, workerInfo } from './listing.ts';
import type { FromClient, Refusal } from './messages.ts';
import type { Job, Stage, State } from './state.ts';
import type { Turn } from './turn.ts';

const operatorKinds = [
  'deadLetters',
  'purge',
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

const lettersMax = 10_000;

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
      return { value: listJobs(state, message) };
    case 'listTasks':
      return withJob(state, message.job, (job) => ({ value: listTasks(state, job, message) }));
    case 'getTask':
      return withTask(state, message, (job, stage) => ({ value: wholeTask(state, job, stage, message.index, turn.nowMs, turn.wallMs) }));
    case 'listWorkers':
      return { value: state.workers.map((worker) => workerInfo(worker, turn.nowMs)) };
    case 'drainWorker':
      return drainWorker(state, message.worker, turn);
    case 'listQueues':
      return { value: listQueues(state) };
    case 'status':
      return { value: clusterView(state) };
    case 'explain': {
      const { stage, index } = message;
      if (stage === undefined || index === undefined) {
        return withJob(state, message.job, (job) => ({ value: explainJob(state, job) }));
      }
      const one = { job: message.job, stage, index };
      return withTask(state, one, (job, found) => ({ value: explainTask(state, job, found, index, turn.nowMs) }));
    }
    case 'deadLetters': {
      const limit = Math.min(message.limit ?? lettersMax, lettersMax);
      if (message.job === undefined) return { value: listDeadLetters(state, state.jobs.values(), limit) };
      return withJob(state, message.job, (job) => ({ value: listDeadLetters(state, [job], limit) }));
    }
    case 'purge':
      return withJob(state, message.job, (job) => ({ value: { purged: purgeLetters(state, job, message, turn) } }));
  }
}

function withJob(state: State, id: string, act: (job: Job) => Answer): Answer {
  const job = state.jobs.get(id);
  return job && !job.dropping ? act(job) : { error: unknownJob(id) };
}

function withTask(state: State, at: { job: string; stage: number; index: number }, act: (job: Job, stage: Stage) => Answer): Answer {
  return withJob(state, at.job, (job) => {
    const stage = job.stages[at.stage];
    if (stage && at.index < stage.columns.length) return act(job, stage);
    const stages = job.stages.map(({ index, spec, columns }) => `${index} (${spec.definition?.name ?? 'inputs'}: ${columns.length} tasks)`);
    return {
      error: {
        code: 'SH1409',
        message: `there is no task ${at.job}/${at.stage}/${at.index}`,
        why: `stages of ${job.spec.name}: ${stages.join(', ')}`,
        hint: `shoal tasks list ${job.id}`,
      },
    };
  });
}

function drainWorker(state: State, name: string, turn: Turn): Answer {
  const worker = state.workersByName.get(name);
  if (!worker || worker.status === 'left') {
    const names = state.workers.filter(({ status }) => status !== 'left').map((each) => each.name);
    const why = names.length === 0 ? 'there are no workers' : `there is: ${names.join(', ')}`;
    return { error: { code: 'SH1410', message: `there is no worker ${name}`, why, hint: 'shoal workers list' } };
  }
  turn.send(worker.address, { kind: 'drain', term: state.term });
  worker.status = worker.status === 'live' ? 'draining' : worker.status;
  return { value: {} };
}
