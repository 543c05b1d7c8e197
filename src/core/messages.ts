/**
 * Everything that coordinator, worker and client say to each other, as plain objects. `wire/` turns them
 * into frames and back: every Uint32Array field is a column, `body` is payload, the rest is small JSON.
 *
 * `ranges` are pairs [from, count, from, count, …] of task indices. `lengths` are byte lengths of the
 * frames (encoded values) that lie in `body` one after another in the order of `ranges`.
 */
import type { ErrorRecord } from '../lib/error-record.ts';
import type { JobState, LogPlace, TaskFailure, TaskStateName } from './answers.ts';
import type { GivenColumns } from './given.ts';
import type { DefinitionRef, JobSpec } from './spec.ts';

export type { ErrorRecord };

export type Ranges = Uint32Array;

// ---- coordinator → worker -------------------------------------------------

/** How the worker builds a task's input from frames. `codecOf`: the definition whose codec wrote the frames; absent = the task's own. */
export type InputShape =
  /** One frame a task. */
  | { kind: 'value'; codecOf?: DefinitionRef }
  /** `counts[i]` frames a task: the elements of an array. */
  | { kind: 'list'; codecOf?: DefinitionRef }
  /**
   * A msgpack template with holes (ext type, see codecs/template.ts). `template` absent: the task's first frame is it.
   * Then one frame a task per arg with take 'same', in the order of `args`; where any of those is a `list`, `counts` has the
   * number of frames per (task, 'same' arg).
   * Shared args ('one' | 'all') come once a message, after all tasks' frames: `frames` many, with lengths in `sharedLengths`.
   */
  | { kind: 'template'; template?: string; args: ArgShape[] };

export interface ArgShape {
  take: 'same' | 'one' | 'all';
  path: string[];
  codecOf?: DefinitionRef;
  /** Shared frames of this arg: 1 for 'one', any for 'all', 0 for 'same'. */
  frames: number;
  /** 'same' and 'one': the value is an array of that many frames (the result was cut into elements). */
  list?: boolean;
}

export interface AssignMessage {
  kind: 'assign';
  term: number;
  serial: number;
  job: string;
  jobName: string;
  stage: number;
  definition: DefinitionRef;
  attempt: number;
  attemptsMax: number;
  /** Run by itself, so that a crash can be blamed on it alone. */
  alone: boolean;
  timeoutMs?: number;
  concurrency?: number;
  input: InputShape;
  /** Results are arrays to be cut into element frames (`counts` in the answer). */
  spread?: boolean;
  /** Results feed a fold: combine them before reporting; ordered = contiguous indices only. */
  combine?: { definition: DefinitionRef; ordered: boolean };
  ranges: Ranges;
  lengths: Uint32Array;
  /** Frames a task; absent = 1 each ('value'), or the number of 'same' frames ('template'). */
  counts?: Uint32Array;
  sharedLengths?: Uint32Array;
  body: readonly Uint8Array[];
}

export interface BundleMessage {
  kind: 'bundle';
  term: number;
  hash: string;
  isThere: boolean;
  body: readonly Uint8Array[];
}

export type ToWorker =
  | { kind: 'welcome'; term: number; address: string; leaseMs: number; beatMs: number }
  | AssignMessage
  /** Give back what is not started (answer: released). */
  | { kind: 'revoke'; term: number; serial: number; ranges: Ranges }
  /** Stop: signal, then terminate after the grace. No answer is owed. */
  | { kind: 'abort'; term: number; serial: number; ranges: Ranges; reason: string }
  /** Everything numbered up to this is durable. */
  | { kind: 'ackResults'; term: number; number: number }
  | { kind: 'drain'; term: number }
  /** The answer to `bundleWanted`; not there: it was never uploaded, or its last job is gone. */
  | BundleMessage
  /** Beats disagree with what is known here: answer with `held`. */
  | { kind: 'report'; term: number }
  /** Your incarnation is not known or no longer believed: drop what you hold and say hello anew. */
  | { kind: 'fenced'; term: number }
  /** The answer to a hello: another process has your name, and lives. Say it again: you are let in when that one has gone. */
  | { kind: 'nameTaken'; term: number; host: string; pid: number };

// ---- worker → coordinator -------------------------------------------------

interface FromWorkerBase {
  worker: string;
  incarnation: string;
}

/** What a worker must keep in its outbox until acknowledged: numbered from 1 per incarnation. */
interface Numbered extends FromWorkerBase {
  number: number;
  term: number;
  serial: number;
  job: string;
  stage: number;
  attempt: number;
}

export interface ResultsMessage extends Numbered {
  kind: 'results';
  ranges: Ranges;
  lengths: Uint32Array;
  /** Element frames a task, where the assignment said `spread`. */
  counts?: Uint32Array;
  /** Microseconds a task. */
  durations: Uint32Array;
  body: readonly Uint8Array[];
}
/** One combined value that stands for all of `ranges`. */
export interface PartialMessage extends Numbered {
  kind: 'partial';
  ranges: Ranges;
  durations: Uint32Array;
  body: readonly Uint8Array[];
}
export interface FailedMessage extends Numbered {
  kind: 'failed';
  index: number;
  error: ErrorRecord;
  /** Decided where the user's code runs. */
  verdict: 'retry' | 'dead';
  /** RetryAfterError: not sooner than this. */
  afterMs?: number;
  durationUs: number;
}
export interface CrashedMessage extends Numbered {
  kind: 'crashed';
  index: number;
  /** exit | out-of-memory | unhandled | signal | … */
  how: string;
  error: ErrorRecord;
}
/** Not started, or undone without blame (a neighbour crashed, draining): goes back uncharged. */
export interface ReleasedMessage extends Numbered {
  kind: 'released';
  ranges: Ranges;
  why: string;
}
/** This worker can't run that definition. */
export interface RefusedMessage extends Numbered {
  kind: 'refused';
  ranges: Ranges;
  why: string;
  error: ErrorRecord;
}
export type NumberedMessage = ResultsMessage | PartialMessage | FailedMessage | CrashedMessage | ReleasedMessage | RefusedMessage;

export interface LogLine {
  wallMs: number;
  job: string;
  stage: number;
  index: number;
  attempt: number;
  task: string;
  level: string;
  message: string;
}

/** What a worker can run. */
export type WorkerCode =
  /** One machine: whatever module the definition names. */
  | { kind: 'any' }
  /** Tasks of these names, and, where `bundles`, those of any bundle. */
  | { kind: 'named'; names: string[]; bundles: boolean };

/** Of a whole process, bytes. `bytesMax`: its cgroup's or machine's limit, or the one that it was given. */
export interface MemoryReading {
  bytes: number;
  bytesMax: number;
}

export interface WorkerDeath {
  exitCode?: number;
  signal?: string;
  /** The kernel ended it for want of memory, or it reached its own limit. */
  isOutOfMemory: boolean;
  /** One line for people. */
  text: string;
}

export type FromWorker =
  | (FromWorkerBase & {
      kind: 'hello';
      address: string;
      slots: number;
      labels: Record<string, string>;
      resources: Record<string, number>;
      queues: string[];
      host: string;
      pid: number;
      /** Release of shoal that it runs. */
      version: string;
      code: WorkerCode;
      /** Of this process, however many incarnations it has. */
      life?: string;
      /** The term whose leader has welcomed this incarnation: if that does not know it, it was forgotten. */
      welcomed?: number;
    })
  /** `count` and `hash` of held (serial, index count) tell whether both sides agree; see worker/protocol.ts. */
  | (FromWorkerBase & {
      kind: 'beat';
      number: number;
      term: number;
      lastSerial: number;
      load: number;
      count: number;
      hash: number;
      memory?: MemoryReading;
      /** Of the processors that it may use, the share in use over the last half second or longer, by whomever, 0 to 1. */
      cpu?: number;
      /** Slots that have nothing to run. */
      idle?: number;
    })
  | (FromWorkerBase & {
      kind: 'held';
      term: number;
      lastSerial: number;
      held: { serial: number; term: number; job: string; stage: number; attempt: number; ranges: number[] }[];
    })
  | NumberedMessage
  | (FromWorkerBase & { kind: 'goodbye' })
  /** Said by whoever started the worker's process, when that has ended without a goodbye: what it held is lost. */
  | (FromWorkerBase & { kind: 'died'; how: WorkerDeath; memory?: MemoryReading })
  /** Reply: `bundle`. */
  | (FromWorkerBase & { kind: 'bundleWanted'; hash: string })
  /** Best effort, never facts. */
  | (FromWorkerBase & { kind: 'logs'; lines: LogLine[] })
  | (FromWorkerBase & { kind: 'note'; job: string; stage: number; index: number; done: number; total?: number; note?: string });

// ---- client → coordinator -------------------------------------------------

/** What people do to a job or a queue (changes.ts). */
interface ChangeRequest {
  request: number;
  /** Its name, chosen by a client that may have to say it again: made once, and answered as it was then. */
  change?: string;
  /** Refused (SH1414) at any other version. */
  expectedVersion?: number;
}

/** A reader of a job's output. */
export interface ReadAsked {
  /** Its number in the session, chosen by the client. */
  reader: number;
  order: 'input' | 'completion';
  credit: number;
  inputs: boolean;
}

export type FromClient =
  /** `digest`: of the spec without key; the same key with another digest is a conflict. */
  /** With `lengths` and `body`: all inputs of stage 0 of a job without a key, which saves a round trip. */
  /** `submission`: chosen by a client that may have to say it again; the same one is the same job for as long as that lives (A03). */
  /** `read`: its output is read from the start. A refused one opens no reader. */
  /** `unread`, on lines: as many messages of that kind, said before it. */
  | {
      kind: 'submit';
      request: number;
      spec: JobSpec;
      digest: string;
      submission?: string;
      read?: ReadAsked;
      unread?: readonly number[];
      lengths?: Uint32Array;
      body?: readonly Uint8Array[];
    }
  /** Appends inputs `from … from+count-1`; what is there already is skipped. `digest`: rolling, over all inputs up to from+count. */
  /** Under a key, of what may have begun at the same time: `feeder` is its number in the session, `marks[i]` stands for all inputs up to from+i. */
  /** `confirm`: answered by a `flow` once durable, even if nothing was new; also how a client that comes back becomes the feeder again. */
  | {
      kind: 'inputs';
      job: string;
      stage: number;
      from: number;
      lengths: Uint32Array;
      digest?: string;
      feeder?: number;
      marks?: Uint32Array;
      confirm?: boolean;
      body: readonly Uint8Array[];
    }
  | { kind: 'seal'; job: string; stage: number; total: number; feeder?: number; mark?: number; confirm?: boolean }
  /** Reply: CancelReply. */
  | (ChangeRequest & { kind: 'cancel'; job: string; reason: string })
  /**
   * Dead and expired tasks get new tries, and with them what was skipped or stopped; reply: ReplayReply. Without stage: all.
   * What a closed fold has done without stays out.
   */
  | (ChangeRequest & { kind: 'replay'; job: string; stage?: number; index?: number; expectedAttempt?: number })
  /**
   * Deliver the job's output; `credit` = tasks that may be on the way. `inputs`: with each task's input. `had` and `failed`: of a
   * reader that goes on after a break, what it was given before (given.ts).
   */
  | ({ kind: 'read'; job: string } & ReadAsked & Partial<GivenColumns>)
  /** What its tasks printed, as `printed` messages: what is kept behind `from`, and with `follow` all that comes until the job ends. */
  | { kind: 'readLogs'; reader: number; job: string; follow: boolean; from?: LogPlace }
  /** So many tasks more may be on the way. */
  | { kind: 'readCredit'; reader: number; credit: number }
  /** `keeps`: of who may only look; a job that goes once it was read stays. */
  | { kind: 'unread'; reader: number; keeps?: boolean }
  /** Reply: JobView. */
  | { kind: 'query'; request: number; job: string }
  /** Reply: JobView, once the job has ended. */
  | { kind: 'wait'; request: number; job: string }
  /** Reply: { job } of a key; refused SH1404 if there is none. */
  | { kind: 'find'; request: number; key: string }
  /** Reply: LetterPage, of one job or of all, oldest job first; `after` as the page before gave it. */
  | { kind: 'deadLetters'; request: number; job?: string; limit?: number; after?: string }
  /** Forgets dead letters for good: they are neither listed nor replayed any more. Reply: PurgeReply. */
  | (ChangeRequest & { kind: 'purge'; job: string; stage?: number; index?: number })
  /** Reply: QueueReply. */
  | (ChangeRequest & { kind: 'setQueue'; queue: string; paused: boolean })
  /** Reply: {}. */
  | (ChangeRequest & { kind: 'deleteJob'; job: string })
  /** Reply: { known }. */
  | { kind: 'hasBundle'; request: number; hash: string }
  /** `hash`: sha256 of the body, hex; checked by whoever runs it. Reply: {}. */
  | { kind: 'putBundle'; request: number; hash: string; name: string; body: readonly Uint8Array[] }
  /** Reply: JobPage; newest first, `after` the last id of the page before. */
  | { kind: 'listJobs'; request: number; states?: JobState[]; limit: number; after?: string }
  /** Reply: TaskPage, in order of (stage, index); `after` as the page before gave it. */
  | { kind: 'listTasks'; request: number; job: string; states?: TaskStateName[]; limit: number; after?: string }
  /** Reply: TaskView with its history. */
  | { kind: 'getTask'; request: number; job: string; stage: number; index: number }
  /** Reply: WorkerInfo[]. */
  | { kind: 'listWorkers'; request: number }
  /** It finishes what it has and ends (W10). Reply: {}. */
  | { kind: 'drainWorker'; request: number; worker: string }
  /** Reply: QueueInfo[]. */
  | { kind: 'listQueues'; request: number }
  /** Reply: ClusterView. */
  | { kind: 'status'; request: number }
  /** Why a job, or one task of it, waits or has failed. Reply: Explanation. */
  | { kind: 'explain'; request: number; job: string; stage?: number; index?: number };

// ---- coordinator → client -------------------------------------------------

export interface Reply {
  kind: 'reply';
  request: number;
  value: unknown;
}

export type ToClient =
  | Reply
  | { kind: 'refusal'; request: number; error: Refusal }
  /** How far a job that this client feeds has come: feed more while added − final is small. `sealed`: no more inputs are taken. */
  /** `conflict`: this `feeder` of the session has other inputs than those that came under the job's key (SH1403); its are left out. */
  | { kind: 'flow'; job: string; stage: number; added: number; final: number; sealed?: boolean; feeder?: number; conflict?: string }
  /** For a `readLogs`; `dropped`: lines before these that are not kept; `place`: of the last; `done`: the job has ended, no more come. */
  | { kind: 'printed'; reader: number; lines: LogLine[]; done: boolean; dropped?: number; place?: LogPlace }
  | DeliverMessage
  /** The stream of a reader is broken (job unknown, dropped): no more will come. */
  | { kind: 'readEnd'; reader: number; error?: Refusal };

export interface Refusal {
  code: string;
  message: string;
  why?: string;
  hint?: string;
}

/**
 * Results of tasks in `indices` order. statuses: 0 fulfilled, 1 rejected. `lengths` of fulfilled tasks' values; 0 for rejected ones, whose
 * failures are in `failures` in order. With `counts` a value is an array of that many frames and `lengths` has one per frame. With
 * `inputs: true` the body then goes on with the input frames, lengths in `inputLengths` (`inputTemplates`: they are templates with holes).
 * `codecOf` wrote the values, `inputCodecOf` the inputs (absent: the output stage's own definition). `done`: the last one.
 * Output 'one' of a folded or single stage is delivered as one task of index 0. `replies` were said before it.
 */
export interface DeliverMessage {
  kind: 'deliver';
  reader: number;
  indices: Ranges;
  statuses: Uint32Array;
  attempts: Uint32Array;
  durations: Uint32Array;
  /** Index into `workerNames`. */
  workers: Uint32Array;
  workerNames: string[];
  lengths: Uint32Array;
  counts?: Uint32Array;
  inputLengths?: Uint32Array;
  codecOf?: DefinitionRef;
  inputCodecOf?: DefinitionRef;
  failures: TaskFailure[];
  done: boolean;
  replies?: Reply[];
  body: readonly Uint8Array[];
}

/** A client's line to a coordinator; in one process or over a network. */
export interface Session {
  send(message: FromClient): void;
  /** Set once, before the first send. Called from a clean stack. */
  onMessage: (message: ToClient) => void;
  /** The session is over (coordinator closed, connection lost for good). */
  onClose: (error: Refusal) => void;
  /** Its line may break and come back; then `onReset` is called, and all that was not answered must be said again. */
  readonly resets?: boolean;
  onReset?: () => void;
  /** Whether something waits for an answer here, whenever that changes: only then must it keep a process that has nothing else to do. */
  holdProcess?(holds: boolean): void;
  close(): void;
}
