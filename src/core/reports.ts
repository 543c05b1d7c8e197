/**
 * What workers report of tasks (rule 5). `attempt` decides success: a result counts if its attempt is open,
 * the first one wins. The assignment decides all else: a failure, crash or hand-back counts only if the task's
 * present holder is that assignment. Whatever does not count is dropped; the report is acknowledged all the same.
 */

import { concatBytes } from '../lib/bytes.ts';
import { combinesInto } from './assign.ts';
import { isFinal, TaskState } from './columns.ts';
import { attemptsMax } from './limits.ts';
import type { CrashedMessage, FailedMessage, NumberedMessage, PartialMessage, Ranges, RefusedMessage, ResultsMessage } from './messages.ts';
import { canRun } from './placement.ts';
import { areDistinct, countOf, indicesOf, RangeList } from './ranges.ts';
import { markRefused } from './rings.ts';
import { detach, putBack } from './rows.ts';
import { endJob } from './settle.ts';
import type { Job, Stage, State, Worker } from './state.ts';
import { storyKey } from './state.ts';
import type { Turn } from './turn.ts';

export function onReport(state: State, worker: Worker, message: NumberedMessage, turn: Turn): void {
  const job = state.jobs.get(message.job);
  const stage = job?.stages[message.stage];
  if (!job || !stage || job.outcome !== undefined || !isSound(stage, message)) return;
  const handle = handleOf(state, message);
  switch (message.kind) {
    case 'results':
      return onResults(state, worker, job, stage, handle, message, turn);
    case 'partial':
      return onPartial(state, worker, job, stage, handle, message, turn);
    case 'failed':
      return onFailed(state, worker, job, stage, handle, message, turn);
    case 'crashed':
      return onCrashed(state, worker, job, stage, handle, message, turn);
    case 'released':
      giveBack(state, job, stage, handle, message.ranges);
      return;
    case 'refused':
      return onRefused(state, worker, job, stage, handle, message, turn);
  }
}

/** What contradicts itself, as no worker of ours does, counts for nothing as a whole (X10): its tasks run again when a beat says that it holds them no more. */
function isSound(stage: Stage, message: NumberedMessage): boolean {
  if (!('ranges' in message)) return true;
  const { kind, ranges } = message;
  if (!areDistinct(ranges, stage.columns.length)) return false;
  if (kind !== 'results' && kind !== 'partial') return true;
  const tasks = countOf(ranges);
  if (message.durations.length !== tasks) return false;
  if (kind === 'partial') return true;
  const { counts, lengths, body } = message;
  if ((counts !== undefined) !== (stage.elements !== undefined) || (counts && counts.length !== tasks)) return false;
  return lengths.length === (counts ? sumOf(counts) : tasks) && sumOf(lengths) === body.reduce((bytes, chunk) => bytes + chunk.length, 0);
}

function sumOf(column: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < column.length; i++) sum += column[i]!;
  return sum;
}

/** 0 for an assignment that this leader does not know: then only results can count. */
function handleOf(state: State, message: NumberedMessage): number {
  if (message.term === state.term) return message.serial;
  return state.adopted.get(`${message.term}:${message.serial}`) ?? 0;
}

function isHeldBy(stage: Stage, index: number, handle: number, attempt: number): boolean {
  const { columns } = stage;
  return (
    handle !== 0 &&
    index < columns.length &&
    columns.state(index) === TaskState.running &&
    columns.serial(index) === handle &&
    columns.attempt(index) === attempt
  );
}

function isOpen(stage: Stage, index: number, attempt: number): boolean {
  const { columns } = stage;
  return index < columns.length && !isFinal(columns.state(index)) && columns.attempt(index) === attempt;
}

/** Exponentially weighted, half of the weight on the newest batch; source: BSD TCP's smoothed round-trip time, with a faster gain. */
function measure(stage: Stage, durations: Uint32Array): void {
  if (durations.length === 0) return;
  let totalUs = 0;
  for (let i = 0; i < durations.length; i++) totalUs += durations[i]!;
  const taskMs = totalUs / durations.length / 1000;
  stage.taskMs = stage.taskMs === undefined ? taskMs : (stage.taskMs + taskMs) / 2;
}

function onResults(state: State, worker: Worker, job: Job, stage: Stage, handle: number, message: ResultsMessage, turn: Turn): void {
  measure(stage, message.durations);
  let isWhole = true;
  for (const index of indicesOf(message.ranges)) {
    if (!isOpen(stage, index, message.attempt)) {
      isWhole = false;
      break;
    }
  }
  const done = isWhole ? message : openPart(stage, message);
  if (done.durations.length === 0) return;
  abortOtherCopies(state, job, stage, handle, done.ranges, turn);
  const offset = turn.payload(job, done.body);
  turn.jobFact(state, job, {
    fact: 'tasks-done',
    stage: stage.index,
    worker: worker.index,
    ranges: done.ranges,
    lengths: done.lengths,
    ...(done.counts ? { counts: done.counts } : {}),
    durations: done.durations,
    offset,
  });
}

type Done = Pick<ResultsMessage, 'ranges' | 'lengths' | 'counts' | 'durations' | 'body'>;

/** Of a report in which some attempts are closed, what still counts. */
function openPart(stage: Stage, message: ResultsMessage): Done {
  const ranges = new RangeList();
  const lengths: number[] = [];
  const counts: number[] = [];
  const durations: number[] = [];
  const body: Uint8Array[] = [];
  const whole = concatBytes(message.body);
  let offset = 0;
  let frame = 0;
  let task = 0;
  for (const index of indicesOf(message.ranges)) {
    const frames = message.counts ? message.counts[task]! : 1;
    let bytes = 0;
    for (let i = 0; i < frames; i++) bytes += message.lengths[frame + i]!;
    if (isOpen(stage, index, message.attempt)) {
      ranges.add(index);
      for (let i = 0; i < frames; i++) lengths.push(message.lengths[frame + i]!);
      counts.push(frames);
      durations.push(message.durations[task]!);
      body.push(whole.subarray(offset, offset + bytes));
    }
    offset += bytes;
    frame += frames;
    task++;
  }
  return {
    ranges: ranges.take(),
    lengths: Uint32Array.from(lengths),
    ...(message.counts ? { counts: Uint32Array.from(counts) } : {}),
    durations: Uint32Array.from(durations),
    body,
  };
}

/** Another assignment holds the same attempt (adopted or sent anew): its copy is of no use any more. */
function abortOtherCopies(state: State, job: Job, stage: Stage, handle: number, ranges: Ranges, turn: Turn): void {
  let others: Map<number, RangeList> | undefined;
  for (const index of indicesOf(ranges)) {
    if (stage.columns.state(index) !== TaskState.running) continue;
    const holder = stage.columns.serial(index);
    if (holder === handle || holder === 0) continue;
    others ??= new Map();
    const list = others.get(holder) ?? new RangeList();
    others.set(holder, list);
    list.add(index);
  }
  if (!others) return;
  for (const [holder, list] of others) {
    const other = state.assignments.get(holder);
    if (!other) continue;
    turn.send(other.worker.address, {
      kind: 'abort',
      term: other.term,
      serial: other.serial,
      ranges: list.take(),
      reason: `${job.id} has this result`,
    });
  }
}

/** All or nothing (rule 11): if one covered attempt is closed the value is of no use, and the others run again. */
function onPartial(state: State, worker: Worker, job: Job, stage: Stage, handle: number, message: PartialMessage, turn: Turn): void {
  measure(stage, message.durations);
  const fold = combinesInto(job, stage);
  let counts = fold !== undefined;
  // Neighbours only: what lies between two ranges would come after both.
  const feed = fold === undefined ? undefined : job.stages[fold]!.spec.feed;
  if (feed?.kind === 'fold' && feed.ordered && message.ranges.length !== 2) counts = false;
  for (const index of indicesOf(message.ranges)) counts &&= isOpen(stage, index, message.attempt);
  if (!counts) return giveBack(state, job, stage, handle, message.ranges);
  abortOtherCopies(state, job, stage, handle, message.ranges, turn);
  let length = 0;
  for (const chunk of message.body) length += chunk.length;
  const offset = turn.payload(job, message.body);
  turn.jobFact(state, job, {
    fact: 'partial-done',
    stage: stage.index,
    fold: fold!,
    worker: worker.index,
    ranges: message.ranges,
    durations: message.durations,
    offset,
    length,
  });
}

function onFailed(state: State, worker: Worker, job: Job, stage: Stage, handle: number, message: FailedMessage, turn: Turn): void {
  const { index, attempt } = message;
  if (!isHeldBy(stage, index, handle, attempt)) return;
  const { retry } = stage.spec;
  const failures = (job.stories.get(storyKey(stage.index, index))?.failures ?? 0) + 1;
  const again = message.verdict === 'retry' && failures <= retry.retries && attempt < attemptsMax;
  const delayMs = again ? Math.max(message.afterMs ?? 0, backoffMs(retry, failures, turn.random)) : 0;
  const code = message.error.code?.startsWith('SH') ? message.error.code : 'SH2001';
  turn.jobFact(state, job, {
    fact: 'task-failed',
    stage: stage.index,
    index,
    attempt,
    worker: worker.index,
    error: message.error,
    code,
    durationUs: message.durationUs,
    notBeforeWallMs: turn.wallMs + delayMs,
    wallMs: turn.wallMs,
  });
  if (!again) turn.jobFact(state, job, { fact: 'task-dead', stage: stage.index, index, code, wallMs: turn.wallMs });
}

/**
 * Full jitter: uniform in [0, min(max, delay × 2^(n−1))]
 * (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). The exponent is capped before it is used (K03).
 */
function backoffMs(retry: Stage['spec']['retry'], failures: number, random: () => number): number {
  const factor = retry.backoff === 'fixed' ? 1 : 2 ** Math.min(failures - 1, 30);
  const ceilingMs = Math.min(retry.delayMsMax, retry.delayMs * factor);
  return retry.jitter ? random() * ceilingMs : ceilingMs;
}

function onCrashed(state: State, worker: Worker, job: Job, stage: Stage, handle: number, message: CrashedMessage, turn: Turn): void {
  if (!isHeldBy(stage, message.index, handle, message.attempt)) return;
  crash(state, worker, job, stage, message.index, message.how, message.error, turn);
}

/** The attempt is closed by a crash that is the task's own; buried when they exceed the limit. */
export function crash(
  state: State,
  worker: Worker,
  job: Job,
  stage: Stage,
  index: number,
  how: string,
  error: CrashedMessage['error'],
  turn: Turn,
): void {
  const attempt = stage.columns.attempt(index);
  const crashes = (job.stories.get(storyKey(stage.index, index))?.crashes ?? 0) + 1;
  turn.jobFact(state, job, {
    fact: 'task-crashed',
    stage: stage.index,
    index,
    attempt,
    worker: worker.index,
    how,
    error,
    wallMs: turn.wallMs,
  });
  if (crashes > stage.spec.crashLimit || attempt >= attemptsMax) {
    turn.jobFact(state, job, { fact: 'task-dead', stage: stage.index, index, code: 'SH2003', wallMs: turn.wallMs });
  }
}

/** Uncharged: the same attempt goes to the front of the queue. Nothing is journaled, being started is only a hint. */
export function giveBack(state: State, job: Job, stage: Stage, handle: number, ranges: Ranges): void {
  const list = new RangeList();
  for (const index of indicesOf(ranges)) {
    const { columns } = stage;
    if (handle === 0 || index >= columns.length || columns.state(index) !== TaskState.running || columns.serial(index) !== handle) continue;
    detach(state, stage, index);
    list.add(index);
  }
  putBack(state, job, stage, list.take());
}

/** The worker has not the code (V01): somebody else may. On one machine nobody will, and the job fails with the reason. */
function onRefused(state: State, worker: Worker, job: Job, stage: Stage, handle: number, message: RefusedMessage, turn: Turn): void {
  worker.refused.set(stage, message.error);
  markRefused(state, job, stage, worker.index);
  giveBack(state, job, stage, handle, message.ranges);
  if (!state.isOneMachine || state.workers.some((other) => canRun(other, stage))) return;
  const index = message.ranges[0]!;
  if (!isOpen(stage, index, message.attempt)) return;
  const { error } = message;
  const code = error.code?.startsWith('SH') ? error.code : 'SH5001';
  const common = { stage: stage.index, index, wallMs: turn.wallMs };
  turn.jobFact(state, job, {
    fact: 'task-failed',
    ...common,
    attempt: message.attempt,
    worker: worker.index,
    error,
    code,
    durationUs: 0,
    notBeforeWallMs: turn.wallMs,
  });
  turn.jobFact(state, job, { fact: 'task-dead', ...common, code });
  endJob(state, job, 'failed', message.why, turn);
}
