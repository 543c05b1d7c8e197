/** What operators get for their questions, as plain data: the coordinator fills it, the command line shows it. */
import type { DeadLetter, JobState, JobView, MemoryReading, TaskFailure, WorkerCode } from './messages.ts';

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
