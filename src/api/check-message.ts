/** Is it what a client may say? The core trusts its inputs, so whatever comes from a network is looked at here. */
import { createHash } from 'node:crypto';
import { payloadBytesMax, storedBytesMax, unreadAlongMax } from '../core/limits.ts';
import type { FromClient } from '../core/messages.ts';
import { ascendingRanges, bool, type Check, chunks, column, fields, list, maybe, oneOf, text, whole } from './check.ts';
import { jobSpec } from './check-spec.ts';

const kind: Check = () => undefined;
const request = whole(0);
const reader = whole(0);
const id = text(256, /^.+$/);
const stage = whole(0, 1e6);
const index = whole(0, 2 ** 32 - 1);
const credit = whole(0, 1e9);
const limit = whole(1, 10_000);
const job = id;
const change = { request, change: maybe(text(64, /^.+$/)), expectedVersion: maybe(whole(0)) };
const asked = { reader, order: oneOf('input', 'completion'), credit, inputs: bool };
const states = maybe(list(text(32), 20));
/** A task costs its row, however small its input: what one message, and one stage, may take of the memory. */
const tasksPerMessageMax = 1_000_000;
const tasksPerStageMax = 100_000_000;

const checks: { [K in FromClient['kind']]: Check } = {
  submit: fields({
    kind,
    request,
    spec: jobSpec,
    digest: text(256),
    submission: maybe(text(64)),
    read: maybe(fields(asked)),
    unread: maybe(list(reader, unreadAlongMax)),
    lengths: maybe(column),
    body: maybe(chunks),
  }),
  inputs: fields({
    kind,
    job,
    stage,
    from: index,
    lengths: column,
    digest: maybe(text(256)),
    feeder: maybe(whole(0)),
    marks: maybe(column),
    confirm: maybe(bool),
    body: chunks,
  }),
  seal: fields({ kind, job, stage, total: index, feeder: maybe(whole(0)), mark: maybe(index), confirm: maybe(bool) }),
  cancel: fields({ kind, ...change, job, reason: text(4_096) }),
  replay: fields({ kind, ...change, job, stage: maybe(stage), index: maybe(index), expectedAttempt: maybe(whole(0, 255)) }),
  read: fields({ kind, job, had: maybe(ascendingRanges), failed: maybe(column), ...asked }),
  readLogs: fields({ kind, reader, job, follow: bool, from: maybe(fields({ term: whole(0), line: whole(0) })) }),
  readCredit: fields({ kind, reader, credit }),
  unread: fields({ kind, reader, keeps: maybe(bool) }),
  query: fields({ kind, request, job }),
  wait: fields({ kind, request, job }),
  find: fields({ kind, request, key: text(1_024) }),
  deadLetters: fields({ kind, request, job: maybe(job), limit: maybe(limit), after: maybe(text(128)) }),
  purge: fields({ kind, ...change, job, stage: maybe(stage), index: maybe(index) }),
  setQueue: fields({ kind, ...change, queue: id, paused: bool }),
  deleteJob: fields({ kind, ...change, job }),
  hasBundle: fields({ kind, request, hash: text(64) }),
  putBundle: fields({ kind, request, hash: text(64, /^[0-9a-f]{64}$/), name: text(256), body: chunks }),
  listJobs: fields({ kind, request, states, limit, after: maybe(text(26, /^[0-9a-hjkmnp-tv-z]{26}$/)) }),
  listTasks: fields({ kind, request, job, states, limit, after: maybe(text(64)) }),
  getTask: fields({ kind, request, job, stage, index }),
  listWorkers: fields({ kind, request }),
  drainWorker: fields({ kind, request, worker: id }),
  listQueues: fields({ kind, request }),
  status: fields({ kind, request }),
  explain: fields({ kind, request, job, stage: maybe(stage), index: maybe(index) }),
};

/** Of a known kind. What is wrong with it, or nothing. */
export function checkMessage(message: FromClient): string | undefined {
  return checks[message.kind](message, '') ?? checkPayload(message);
}

function checkPayload(message: FromClient): string | undefined {
  if (message.kind === 'inputs' || message.kind === 'submit') return checkInputs(message);
  return message.kind === 'putBundle' ? checkBundle(message) : undefined;
}

/** Lengths and payload tell of the same bytes; else tasks would read each other's inputs. */
function checkInputs(message: Extract<FromClient, { kind: 'inputs' | 'submit' }>): string | undefined {
  const { lengths, body } = message;
  if ((lengths === undefined) !== (body === undefined)) return 'lengths and body go together';
  if (!lengths || !body) return undefined;
  if (lengths.length > tasksPerMessageMax) return `lengths has more than ${tasksPerMessageMax} elements`;
  const from = message.kind === 'inputs' ? message.from : 0;
  if (from + lengths.length > tasksPerStageMax) return `a stage has at most ${tasksPerStageMax} tasks`;
  if (message.kind === 'inputs' && message.marks && message.marks.length !== lengths.length + 1)
    return 'marks has not one more than lengths';
  let claimed = 0;
  for (let i = 0; i < lengths.length; i++) {
    if (lengths[i]! > payloadBytesMax) return `lengths[${i}] is more than ${payloadBytesMax}`;
    claimed += lengths[i]!;
  }
  const bytes = bytesOf(body);
  if (bytes > storedBytesMax) return `body has more than ${storedBytesMax} bytes`;
  return bytes === claimed ? undefined : `lengths speak of ${claimed} bytes, the body has ${bytes}`;
}

/** Under a name that is not its own a program would keep everybody else's from being uploaded. */
function checkBundle({ hash, body }: Extract<FromClient, { kind: 'putBundle' }>): string | undefined {
  if (bytesOf(body) > payloadBytesMax) return `body has more than ${payloadBytesMax} bytes`;
  const sha256 = createHash('sha256');
  for (const chunk of body) sha256.update(chunk);
  return sha256.digest('hex') === hash ? undefined : 'hash is not that of the body';
}

function bytesOf(body: readonly Uint8Array[]): number {
  return body.reduce((sum, chunk) => sum + chunk.length, 0);
}
