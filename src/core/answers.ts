/** What clients and operators get for their questions, as plain data: the coordinator fills it, client and command line show it. */
import type { ErrorRecord } from '../lib/error-record.ts';
import type { MemoryReading, WorkerCode } from './messages.ts';
import type { DefinitionRef } from './spec.ts';

export interface SubmitReply {
  job: string;
  deduplicated: boolean;
  hasOtherCode?: boolean;
  state: JobState;
  /** Fed by inputs: how many are there, the digest of the last batch. */
  stages: { stage: number; count: number; digest?: string; sealed: boolean }[];
}

export interface ReplayReply {
  /** Tasks that were put back. */
  replayed: number;
  /** Of the job, by this. */
  version: number;
}

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

export interface JobView {
  job: string;
  name: string;
  key?: string;
  state: JobState;
  /** How often people have changed it; a change may be bound to it. */
  version: number;
  priority: number;
  /** What the job gives, and whose codec wrote it: what a client that did not submit the job needs to read it. */
  output?: { take: 'one' | 'all'; definition?: DefinitionRef };
  createdWallMs: number;
  endedWallMs?: number;
  /** Why it failed or was cancelled. */
  reason?: string;
  /** The failure that ended it, or the last one seen. */
  error?: TaskFailure;
  /** Sums over all stages with a definition; total is undefined while inputs may still come. */
  total?: number;
  queued: number;
  running: number;
  succeeded: number;
  failed: number;
  skipped: number;
  retried: number;
  /** Succeeded tasks that this coordinator found in the journal when it started. */
  recovered: number;
  /** The newest ctx.progress() note of any running task. */
  note?: string;
  /** Why nothing runs although tasks are queued: paused, no worker, delayed …; undefined when things move. */
  waiting?: string;
  /** It waits for a worker of a kind that is not there: without one it never goes on. */
  stuck?: true;
}

export interface TaskFailure {
  stage: number;
  index: number;
  task: string;
  attempts: number;
  worker: string;
  /** SH2001 failed, SH2002 timed out, SH2003 crashed, SH2004 skipped, SH2005 cancelled, SH2006 expired … */
  code: string;
  error: ErrorRecord;
}

export interface DeadLetter extends TaskFailure {
  job: string;
  label: string;
  history: { attempt: number; wallMs: number; worker: string; how: string; error: ErrorRecord }[];
}

export interface JobPage {
  jobs: JobView[];
  /** There are more: ask for those after this one. */
  next?: string;
}

export interface CancelReply {
  /** Not, if it had ended already. */
  cancelled: boolean;
  state: JobState;
  version: number;
}

export interface PurgeReply {
  purged: number;
  version: number;
}

export interface QueueReply {
  paused: boolean;
  version: number;
}

export type TaskStateName = 'waiting' | 'ready' | 'running' | 'delayed' | 'done' | 'dead' | 'skipped' | 'cancelled' | 'expired';

export interface TaskView {
  /** `<job>/<stage>/<index>`. */
  id: string;
  job: string;
  stage: number;
  index: number;
  task: string;
  state: TaskStateName;
  /** The one that is open, or gave the outcome. */
  attempt: number;
  attemptsMax: number;
  worker?: string;
  durationMs?: number;
  /** Of tasks that wait for their next attempt. */
  notBeforeWallMs?: number;
  failure?: TaskFailure;
  /** Only where one task was asked for. */
  history?: DeadLetter['history'];
}

export interface TaskPage {
  tasks: TaskView[];
  next?: string;
}

export interface LetterPage {
  letters: DeadLetter[];
  next?: string;
}

export interface WorkerInfo {
  worker: string;
  incarnation: string;
  /** silent: known from the journal, not heard of since this leader began. */
  status: 'live' | 'silent' | 'draining' | 'left';
  host: string;
  pid: number;
  version: string;
  slots: number;
  queues: string[];
  labels: Record<string, string>;
  resources: Record<string, number>;
  code?: WorkerCode;
  /** Tasks that it was given and has not reported. */
  heldTasks: number;
  memory?: MemoryReading;
  /** Of the processors that it may use, the share in use before its last beat, by whomever, 0 to 1. */
  cpu?: number;
  heardAgoMs: number;
  /** Why it left. */
  why?: string;
}

export interface QueueInfo {
  queue: string;
  paused: boolean;
  /** How often people have paused or resumed it. */
  version: number;
  /** Live workers that serve it. */
  workers: number;
  jobs: number;
  ready: number;
  delayed: number;
  running: number;
}

export interface ClusterView {
  version: string;
  term: number;
  /** Id of the process that leads. */
  leader: string;
  startedWallMs: number;
  durability: 'none' | 'process' | 'host' | 'replicated';
  /** Where clients and workers reach the leader. */
  url?: string;
  /** The message system between it and the workers, where that is not its own port; without credentials. */
  broker?: string;
  workers: { live: number; draining: number; silent: number; slots: number };
  jobs: Record<JobState, number>;
  tasks: { ready: number; delayed: number; running: number };
  queues: QueueInfo[];
  /** What a person should look at, with what to do. */
  problems: Reason[];
}

/** Something that is so, and what can be done about it. */
export interface Reason {
  what: string;
  try?: string;
}

export interface Explanation {
  /** `render[7]` or the job's name. */
  subject: string;
  job: string;
  state: JobState | TaskStateName;
  /** One sentence. */
  summary: string;
  reasons: Reason[];
}

/** Of a line that a task printed: the term of the leader that heard it, and its number among those of its job that this leader heard. */
export interface LogPlace {
  term: number;
  line: number;
}
