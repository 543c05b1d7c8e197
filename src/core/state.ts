/**
 * The coordinator's state: what the facts fold into, and, apart from that, what only the leader of this term
 * knows (who holds which assignment, readers, timers, measured times). Owned by `step.ts` and the files it
 * calls; nothing else writes here.
 *
 * Invariants (checked by invariants.ts after every step in tests):
 * 1. A stage's counts are the counts of its rows; they sum to its length.
 * 2. A running row's serial names a live assignment whose open count is the number of such rows, or is 0 (inherited).
 * 3. Every ready row is in its stage's ready queue; a job with ready rows is in the ring of its priority, once.
 * 4. No open job has a final outcome; every row of an ended job is final.
 */
import type { Columns } from './columns.ts';
import type { Changes, JobOutcome } from './facts.ts';
import type { Given } from './given.ts';
import { type Bounds, boundsDefault, type SomeBounds } from './limits.ts';
import type { ErrorRecord, MemoryReading, Ranges, WorkerCode } from './messages.ts';
import { type Dealing, type Policy, policies } from './policies.ts';
import type { RangeList, ReadyQueue } from './ranges.ts';
import type { Place, Ring } from './rings.ts';
import type { JobSpec, StageSpec } from './spec.ts';
import { Timers } from './timers.ts';

/** What the shell knows of its process and tells whoever asks. */
export interface About {
  version: string;
  durability: 'none' | 'process' | 'host' | 'replicated';
  startedWallMs: number;
  /** Where others reach it. */
  url?: string;
  /** What carries to its workers, where that is not its own port; without credentials. */
  broker?: string;
}

export interface State {
  readonly writer: string;
  readonly about: About;
  term: number;
  /** Leading: takeover is complete. Before that facts are only folded. */
  leading: boolean;
  readonly registry: Registry;
  readonly bounds: Readonly<Bounds>;
  /** In order of their opening. */
  jobs: Map<string, Job>;
  /** So many were opened, as far as this state knows. */
  opened: number;
  keys: Map<string, string>;
  /** What clients chose to name a submission → its job. */
  submissions: Map<string, string>;
  /** By hash. */
  bundles: Map<string, StoredBundle>;
  pausedQueues: Set<string>;
  /** Of each queue that was ever paused. */
  queueChanges: Map<string, Changes>;
  /** In order of joining. Those that have left go with what they may have worked for: see gone.ts. */
  workers: Worker[];
  workersByName: Map<string, Worker>;
  workersByIndex: Map<number, Worker>;
  assignments: Map<number, Assignment>;
  /** `term:serial` of assignments of earlier terms that this leader adopted → their handle here. */
  adopted: Map<string, number>;
  nextSerial: number;
  /** Jobs with ready tasks, by priority, largest first; inside a priority they take turns. */
  rings: Ring[];
  nextTicket: number;
  timers: Timers<Wake>;
  /** Of these, alarms of jobs that are gone. */
  wakesGone: number;
  readers: Map<string, Reader>;
  /** Jobs touched in this turn: their ends, flows and readers are looked at when it closes. */
  touched: Set<Job>;
  /** How long a commit takes, ms, as the shell measures it. */
  commitMs: number;
  lastTickMs: number;
  /** The journal refused for want of room: no new work until an append succeeds. */
  full: boolean;
  /** Messages that were not heard, since when last. */
  refused: { count: number; atMs: number } | undefined;
  /** Nothing reaches the workers, nor comes from them. */
  isBrokerDown: boolean;
  /** Jobs without an outcome, and how many of them rest. */
  openJobs: number;
  restingJobs: number;
  /**
   * One process is client, coordinator and worker. Nobody else is there: jobs found in the journal rest until a client
   * asks for them, and code that the worker has not fails its job instead of waiting for another worker.
   */
  readonly isOneMachine: boolean;
  /** Tasks that wait behind longer ones are asked back for workers with a free slot (steal.ts). */
  readonly steals: boolean;
  readonly policy: Policy;
  /** Streams that are dropped as far as the registry goes, and whose space may still be taken: a new leader drops them once more. */
  readonly orphans: Set<string>;
}

/** Where the registry is written: see roll.ts. */
export interface Registry {
  /** The first of its streams: it names the present one. */
  readonly root: string;
  rootSeq: number;
  stream: string;
  nextSeq: number;
  generation: number;
  /** Entries at the beginning of the present stream that say what was true then. */
  snapshotEntries: number;
  /** Behind that. */
  facts: number;
  /** The root names the present stream; until it does, the one before it is needed. */
  isNamed: boolean;
  previous: string | undefined;
}

/** A program that clients uploaded; it goes with the last job that needs it. */
export interface StoredBundle {
  readonly hash: string;
  readonly name: string;
  readonly stream: string;
  readonly bytes: number;
  readonly addedWallMs: number;
  readonly jobs: Set<string>;
}

export interface Job {
  id: string;
  /** So many were opened before it. */
  ordinal: number;
  stream: string;
  nextSeq: number;
  spec: JobSpec;
  digest: string;
  submission: string | undefined;
  createdWallMs: number;
  readonly changes: Changes;
  outcome: JobOutcome | undefined;
  endedWallMs: number | undefined;
  /** Monotonic: kept until then. */
  dropAtMs: number;
  /** For which of these a timer is set; jobs that go at once need none. */
  dropAlarmMs: number;
  /** Alarms of it that are set. */
  wakes: number;
  reason: string | undefined;
  /** The first task that failed for good. */
  failure: { stage: number; index: number } | undefined;
  stages: Stage[];
  /** By `storyKey(stage, index)`: only tasks that something happened to. */
  stories: Map<number, Story>;
  /** Until a replay after its end. */
  hasDeadline: boolean;
  /** Monotonic: nothing is ready before. */
  notBeforeMs: number;
  started: boolean;
  /** Monotonic: when the fact that is folded at present happened. */
  factMs: number;
  /** Its facts say when they happened, for ttls count from them. */
  isTimed: boolean;
  /** In its ring, where it has ready tasks. */
  place: Place | undefined;
  /** Waits for a client to attach; see State.isOneMachine. */
  isResting: boolean;
  recovered: number;
  /** The sessions that send this job's inputs; true: it wants to hear how far they are durable, whether or not there is news. */
  readonly feeders: Map<string, boolean>;
  waiters: { session: string; request: number }[];
  readers: Set<Reader>;
  note: string | undefined;
  /** Its stream is sealed. */
  dropping: boolean;
  /** The last generation of what its tasks print; 0: they have printed nothing. */
  logs: number;
}

export interface Stage {
  readonly index: number;
  readonly spec: StageSpec;
  readonly columns: Columns;
  readonly ready: ReadyQueue;
  /** Rows by TaskState. */
  readonly counts: Int32Array;
  /** No more tasks will come. */
  sealed: boolean;
  /** Sealed, and every row final (a fold: its result is there or will never be). */
  ended: boolean;
  /** Stages whose end this one waits for; ready rows wait until it is 0. */
  gatesLeft: number;
  /** Pairs [from, count] in order of becoming done, dead or expired. */
  completion: number[];
  digest: string | undefined;
  /** Of all its inputs, as who fed them under a key marked them: see same-inputs.ts. */
  mark: number | undefined;
  retried: number;
  /** Dead rows that a person has done with. */
  purged: number;
  links: StageLinks;
  fold: FoldState | undefined;
  /** Results that were cut: where an upstream task's elements lie downstream, `[from, count]` by upstream index. */
  elements: Map<number, [from: number, count: number]> | undefined;
  /** Measured milliseconds a task; undefined until the first result. */
  taskMs: number | undefined;
  /** What its tasks need of a worker, and who refused them; undefined until somebody asks (rings.ts). */
  kind: string | undefined;
  /** The last that was set. */
  ttlWake: Extract<Wake, { wake: 'ttl' }> | undefined;
  /** Last flow told to the feeders. */
  flowTold: number;
}

/** What a stage's results feed; derived from the spec. */
export interface StageLinks {
  /** Stages with one task per task of this one. */
  each: number[];
  spread: number[];
  folds: number[];
  /** Stages that wait for this one to end. */
  gates: number[];
  /** The stages whose result of the same index a task of this stage needs. */
  same: number[];
}

/** A combined value (or one plain result) that still has to meet others. Ordered folds know which indices it covers. */
export interface Partial {
  /** Of the stage whose entry holds it (always the job's own stream). */
  entry: number;
  offset: number;
  length: number;
  /** Covers [from, to) of the upstream stage; only kept up to date in ordered folds. */
  from: number;
  to: number;
  /** Ordered: a stretch of dead tasks; nothing to combine. */
  isEmpty: boolean;
}

export interface FoldState {
  /** Not in any combine task. Unordered: in order of arrival. Ordered: use the two maps. */
  free: Partial[];
  byFrom: Map<number, Partial>;
  byTo: Map<number, Partial>;
  /** What a combine task of this stage takes in. */
  takes: Map<number, Taken>;
  result: Partial | undefined;
  /** The stage before has ended: gaps are swallowed, nothing more can come. */
  isClosed: boolean;
}

/** What one combine task takes in, and which upstream indices [from, to) that covers (ordered folds). */
export interface Taken {
  parts: Partial[];
  from: number;
  to: number;
}

export interface Story {
  failures: number;
  crashes: number;
  code: string | undefined;
  lastError: ErrorRecord | undefined;
  history: { attempt: number; wallMs: number; worker: string; how: string; error: ErrorRecord }[];
  /** When the attempt that follows the last failure may start. */
  notBeforeWallMs?: number;
  /** A person has done with this dead letter. */
  isPurged?: boolean;
}

export interface Worker {
  readonly name: string;
  readonly index: number;
  incarnation: string;
  /** Of the same name, before this one; the last of them. */
  readonly past: Set<string>;
  /** live: said hello to this leader. silent: known from the journal, not heard of in this term. */
  status: 'live' | 'silent' | 'draining' | 'left';
  address: string;
  slots: number;
  queues: Set<string>;
  resources: Record<string, number>;
  used: Record<string, number>;
  labels: Record<string, string>;
  host: string;
  pid: number;
  /** Of the process that it is; undefined: not said. */
  life: string | undefined;
  /** Another process that would have its name, and since when. */
  rival: { life: string; sinceMs: number; isTold: boolean } | undefined;
  version: string;
  /** Undefined until it said hello to this leader. */
  code: WorkerCode | undefined;
  /** Task names of `code`, for the scheduler. */
  names: Set<string>;
  memory: MemoryReading | undefined;
  /** As its last beat said; undefined if it can't tell. */
  cpu: number | undefined;
  /** Slots that had nothing at its last beat, less what it was given since: it may hold more tasks than it can spread over its slots. */
  idleSlots: number;
  /** Why it left, and how many jobs had been opened by then: others it never knew. */
  why: string | undefined;
  openedBefore: number;
  lastHeardMs: number;
  lastBeat: number;
  /** Results numbered up to this are in the journal or were refused for good. */
  heardNumber: number;
  ackedNumber: number;
  /** Payload bytes of reports that are not acknowledged. */
  owedBytes: number;
  /** Numbers heard out of order. */
  early: Set<number>;
  /** Beats in a row that disagreed about what is held. */
  doubts: number;
  held: Set<number>;
  /** Tasks held; the slots that they take, of which those in lanes share one; and their estimated milliseconds of a slot. */
  heldTasks: number;
  heldSlots: number;
  heldMs: number;
  /** When it last told how a task ended, or was given one while it had none. */
  movedMs: number;
  /** The last assignment that it was given. */
  lastServed: number;
  /** Stages that it refused for want of the code, and why. */
  refused: WeakMap<Stage, ErrorRecord>;
  /** It has told this leader what it holds of earlier terms; what it had started then is resolved by that, or with its lease. */
  hasListed: boolean;
  inherited: { job: Job; stage: Stage; ranges: Ranges }[];
}

export interface Assignment {
  /** Key in `assignments` and in rows. */
  readonly handle: number;
  readonly term: number;
  readonly serial: number;
  readonly worker: Worker;
  readonly job: Job;
  readonly stage: Stage;
  readonly attempt: number;
  readonly alone: boolean;
  readonly ranges: Ranges;
  readonly taskMs: number;
  /** Rows that are running under it. */
  open: number;
  sentMs: number;
  /** When some of them were last asked back for another worker. */
  askedMs: number;
  /** How many of them were open then. */
  askedOpen: number;
}

export interface Reader {
  readonly key: string;
  readonly session: string;
  readonly id: number;
  readonly job: Job;
  readonly order: 'input' | 'completion';
  readonly inputs: boolean;
  credit: number;
  /** input order: next index. completion order: position in the completion log (pair, offset within it). */
  next: number;
  /** Input order: replayed below `next`. */
  readonly behind: ReadyQueue;
  /** What its client has had already, before its connection broke. */
  given: Given | undefined;
  pair: number;
  within: number;
  done: boolean;
}

export type Wake =
  | { wake: 'retry'; job: string; stage: number; index: number; attempt: number }
  | { wake: 'job-start'; job: string }
  | { wake: 'job-deadline'; job: string }
  | { wake: 'ttl'; job: string; stage: number; atMs: number; rows: RangeList }
  | { wake: 'drop'; job: string }
  /** The connection of a worker closed: has it come back? */
  | { wake: 'lease'; worker: number; incarnation: string };

const unknown: About = { version: '', durability: 'host', startedWallMs: 0 };

export interface StateOptions {
  writer: string;
  registryStream: string;
  isOneMachine: boolean;
  dealing?: Dealing;
  about?: About;
  bounds?: SomeBounds;
}

export function createState(options: StateOptions): State {
  const root = options.registryStream;
  return {
    writer: options.writer,
    about: options.about ?? unknown,
    term: 0,
    leading: false,
    registry: {
      root,
      rootSeq: 0,
      stream: root,
      nextSeq: 0,
      generation: 0,
      snapshotEntries: 0,
      facts: 0,
      isNamed: true,
      previous: undefined,
    },
    bounds: { ...boundsDefault, ...options.bounds },
    jobs: new Map(),
    opened: 0,
    keys: new Map(),
    submissions: new Map(),
    bundles: new Map(),
    pausedQueues: new Set(),
    queueChanges: new Map(),
    workers: [],
    workersByName: new Map(),
    workersByIndex: new Map(),
    assignments: new Map(),
    adopted: new Map(),
    nextSerial: 1,
    rings: [],
    nextTicket: 1,
    timers: new Timers(),
    wakesGone: 0,
    readers: new Map(),
    touched: new Set(),
    commitMs: 0,
    lastTickMs: 0,
    full: false,
    refused: undefined,
    isBrokerDown: false,
    openJobs: 0,
    restingJobs: 0,
    isOneMachine: options.isOneMachine,
    steals: options.dealing?.stealing ?? true,
    policy: policies[options.dealing?.policy ?? 'adaptive'],
    orphans: new Set(),
  };
}

export function storyKey(stage: number, index: number): number {
  return stage * 2 ** 32 + index;
}

export function bundleStream(id: string): string {
  return `bundle.${id}`;
}

/** Where what a job's tasks print is kept: the last generation of it, and the one before. */
export function logStream(job: string, generation: number): string {
  return `logs.${job}.${generation}`;
}

export function jobStream(job: string): string {
  return `job.${job}`;
}
