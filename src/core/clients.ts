import type { SubmitReply } from './answers.ts';
import { missingBundle, putBundle } from './bundles.ts';
import { onChange } from './changes.ts';
import { dropJob, unknownJob } from './drop.ts';
import { openTasks } from './edges.ts';
import type { FromClient, Refusal } from './messages.ts';
import { onOperator } from './operator.ts';
import { addReader, openReader, readerKey } from './readers.ts';
import { attach } from './rows.ts';
import { otherInputs } from './same-inputs.ts';
import { differences, useCodeOf } from './same-job.ts';
import type { Job, Stage, State } from './state.ts';
import type { Turn } from './turn.ts';
import { jobView, stateOf } from './view.ts';

type SubmitMessage = Extract<FromClient, { kind: 'submit' }>;

export function onClient(state: State, session: string, message: FromClient, newId: string, turn: Turn): void {
  switch (message.kind) {
    case 'submit':
      return submit(state, session, message, newId, turn);
    case 'inputs':
      return addInputs(state, session, message, turn);
    case 'seal':
      return seal(state, session, message, turn);
    case 'cancel':
    case 'replay':
    case 'purge':
    case 'setQueue':
    case 'deleteJob':
      return onChange(state, session, message, turn);
    case 'read':
      return openReader(state, session, message, turn);
    case 'readCredit': {
      const reader = state.readers.get(readerKey(session, message.reader));
      if (!reader) return;
      reader.credit += message.credit;
      state.touched.add(reader.job);
      return;
    }
    case 'unread': {
      const reader = state.readers.get(readerKey(session, message.reader));
      if (!reader) return;
      state.readers.delete(reader.key);
      reader.job.readers.delete(reader);
      if (!reader.done || reader.job.spec.keepMs !== 0 || message.keeps) return;
      // Its client has gone on already: the next thing that it asks for need not wait behind this.
      if (reader.job.readers.size === 0 && reader.job.waiters.length === 0) turn.quietly(() => dropJob(state, reader.job, turn));
      else dropJob(state, reader.job, turn);
      return;
    }
    case 'query':
      return withJob(state, session, message, turn, (job) =>
        turn.tell(session, { kind: 'reply', request: message.request, value: jobView(state, job) }),
      );
    case 'wait':
      return withJob(state, session, message, turn, (job) => {
        job.waiters.push({ session, request: message.request });
        state.touched.add(job);
      });
    case 'find': {
      const job = state.keys.get(message.key);
      if (job !== undefined) return turn.tell(session, { kind: 'reply', request: message.request, value: { job } });
      return refuse(turn, session, message.request, { code: 'SH1404', message: `there is no job with the key "${message.key}"` });
    }
    // The shell has the lines; it answers itself.
    case 'readLogs':
      return;
    case 'hasBundle':
      return turn.tell(session, { kind: 'reply', request: message.request, value: { known: state.bundles.has(message.hash) } });
    case 'putBundle':
      return putBundle(state, session, message, newId, turn);
    default:
      return onOperator(state, session, message, turn);
  }
}

/** A session is gone: its readers and waiters go, its jobs stay. */
export function onSessionClosed(state: State, session: string): void {
  for (const reader of state.readers.values()) {
    if (reader.session !== session) continue;
    state.readers.delete(reader.key);
    reader.job.readers.delete(reader);
  }
  for (const job of state.jobs.values()) {
    job.feeders.delete(session);
    if (job.waiters.length > 0) job.waiters = job.waiters.filter((waiter) => waiter.session !== session);
  }
}

function refuse(turn: Turn, session: string, request: number, error: Refusal): void {
  turn.tell(session, { kind: 'refusal', request, error });
}

function withJob(state: State, session: string, message: { request: number; job: string }, turn: Turn, act: (job: Job) => void): void {
  const job = state.jobs.get(message.job);
  if (job && !job.dropping) {
    attach(state, job);
    act(job);
  } else refuse(turn, session, message.request, unknownJob(message.job));
}

function submit(state: State, session: string, message: SubmitMessage, newId: string, turn: Turn): void {
  const { spec, digest, request } = message;
  // Also of a job that is there: whoever was to upload it may be gone, and the job waits for it.
  const missing = missingBundle(state, spec);
  if (missing !== undefined) {
    return refuse(turn, session, request, {
      code: 'SH1408',
      message: `${spec.name}: its program ${missing.slice(0, 12)}… has not been uploaded`,
    });
  }
  const again = message.submission === undefined ? undefined : state.jobs.get(state.submissions.get(message.submission) ?? '');
  if (again && !again.dropping) return submitAgain(state, session, again, message, turn);
  const known = spec.key === undefined ? undefined : state.jobs.get(state.keys.get(spec.key) ?? '');
  if (known) {
    if (known.digest !== digest) {
      return refuse(turn, session, request, {
        code: 'SH1402',
        message: `the idempotency key "${spec.key}" belongs to another job`,
        why: `job ${known.id} (${known.spec.name}) was submitted under it with other ${differences(known.spec, spec).join(', ') || 'options'}`,
        hint: 'use another key, or delete that job first',
      });
    }
    if (known.outcome === undefined) feeds(known, session);
    // One that has ended may be replayed next.
    const hasOtherCode = useCodeOf(state, known, spec, turn);
    attach(state, known);
    return submitted(state, session, message, known, { ...submitReply(known, true), ...(hasOtherCode && { hasOtherCode }) }, turn);
  }
  if (state.full) {
    return refuse(turn, session, request, {
      code: 'SH4003',
      message: `${spec.name} was not submitted: the journal has no room left`,
      hint: 'free some space; running jobs are kept and go on by themselves',
    });
  }
  const { submission } = message;
  turn.registryFact(state, {
    fact: 'job-opened',
    job: newId,
    digest,
    spec,
    ...(submission === undefined ? {} : { submission }),
    wallMs: turn.wallMs,
  });
  const job = state.jobs.get(newId)!;
  takeAlong(state, session, job, message, turn);
  submitted(state, session, message, job, submitReply(job, false), turn);
}

/** A client that did not hear the answer (A03). The inputs that it sent along may not have been stored with the job. */
function submitAgain(state: State, session: string, job: Job, message: SubmitMessage, turn: Turn): void {
  takeAlong(state, session, job, message, turn);
  submitted(state, session, message, job, submitReply(job, false), turn);
}

function submitted(state: State, session: string, { request, read }: SubmitMessage, job: Job, value: SubmitReply, turn: Turn): void {
  turn.tell(session, { kind: 'reply', request, value });
  if (read) addReader(state, session, job, read);
}

function takeAlong(state: State, session: string, job: Job, message: SubmitMessage, turn: Turn): void {
  feeds(job, session);
  const { lengths, body } = message;
  if (!lengths || !body) return;
  addInputs(state, session, { kind: 'inputs', job: job.id, stage: 0, from: 0, lengths, body }, turn);
  seal(state, session, { kind: 'seal', job: job.id, stage: 0, total: lengths.length }, turn);
}

function submitReply(job: Job, deduplicated: boolean): SubmitReply {
  const fed = job.stages.filter((stage) => stage.spec.feed.kind === 'inputs');
  return {
    job: job.id,
    deduplicated,
    state: stateOf(job),
    stages: fed.map((stage) => ({
      stage: stage.index,
      count: stage.columns.length,
      ...(stage.digest === undefined ? {} : { digest: stage.digest }),
      sealed: stage.sealed,
    })),
  };
}

/** Appends at the end of what is there; a repeated message adds nothing, a gap can only be an older client's and is left out. */
function addInputs(state: State, session: string, message: Extract<FromClient, { kind: 'inputs' }>, turn: Turn): void {
  const job = state.jobs.get(message.job);
  const stage = job?.stages[message.stage];
  if (!job || stage?.spec.feed.kind !== 'inputs') return;
  if (isOther(session, job, stage, message, turn)) return;
  // Under a key it goes on to the end, so that all its inputs are compared.
  if (message.confirm || message.feeder !== undefined) confirm(state, session, job);
  if (job.outcome !== undefined || stage.sealed) return;
  feeds(job, session);
  const known = stage.columns.length - message.from;
  if (known < 0) return;
  // Another has sent these: how far they are, this one has not been told.
  if (known >= message.lengths.length) return confirm(state, session, job);
  const skippedBytes = sum(message.lengths.subarray(0, known));
  const lengths = message.lengths.subarray(known);
  const offset = turn.payload(job, skipBytes(message.body, skippedBytes));
  turn.jobFact(state, job, {
    fact: 'inputs-added',
    stage: stage.index,
    from: stage.columns.length,
    lengths,
    offset,
    wallMs: turn.wallMs,
    ...(message.digest === undefined ? {} : { digest: message.digest }),
    ...(message.marks === undefined ? {} : { mark: message.marks[message.lengths.length]! }),
  });
}

/** At once, and so before whatever else this session asks for is answered. */
function isOther(session: string, job: Job, stage: Stage, message: Extract<FromClient, { kind: 'inputs' | 'seal' }>, turn: Turn): boolean {
  const conflict = otherInputs(stage, message);
  if (conflict === undefined) return false;
  const { length } = stage.columns;
  const final = length - openTasks(stage);
  turn.tell(session, { kind: 'flow', job: job.id, stage: stage.index, added: length, final, feeder: message.feeder!, conflict });
  return true;
}

function sum(lengths: Uint32Array): number {
  let total = 0;
  for (let i = 0; i < lengths.length; i++) total += lengths[i]!;
  return total;
}

function skipBytes(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  if (bytes === 0) return chunks;
  const out: Uint8Array[] = [];
  let left = bytes;
  for (const chunk of chunks) {
    if (left < chunk.length) out.push(chunk.subarray(left));
    left = Math.max(0, left - chunk.length);
  }
  return out;
}

/** Beside whoever else does: that a key is used once more takes nothing from those who came first. */
function feeds(job: Job, session: string): void {
  if (!job.feeders.has(session)) job.feeders.set(session, false);
}

/** It hears at the end of the turn, behind the turn's append, what is there. */
function confirm(state: State, session: string, job: Job): void {
  job.feeders.set(session, true);
  state.touched.add(job);
}

function seal(state: State, session: string, message: Extract<FromClient, { kind: 'seal' }>, turn: Turn): void {
  const job = state.jobs.get(message.job);
  const stage = job?.stages[message.stage];
  if (!job || stage?.spec.feed.kind !== 'inputs') return;
  if (isOther(session, job, stage, message, turn)) return;
  if (message.confirm) confirm(state, session, job);
  if (job.outcome !== undefined || stage.sealed) return;
  if (stage.columns.length !== message.total) return;
  turn.jobFact(state, job, { fact: 'inputs-sealed', stage: stage.index, total: message.total });
}
