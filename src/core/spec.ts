/**
 * What a client asks for: a job is a graph of stages, a stage an array of tasks of one task definition.
 * Plain JSON data: it is journaled whole in `job-opened`. Durations are milliseconds; payload bytes are
 * never in here, except a stage's small `template`.
 */

/**
 * `module`: URL that a thread on the same machine imports to find the definition. `bundle`: sha256 of the uploaded
 * program that has it; without one, workers of a cluster know it by name or not at all. `codec`: name of the one that its
 * values are written in, where that is not msgpack, for those who read results without having the code.
 */
export interface DefinitionRef {
  name: string;
  module?: string;
  bundle?: string;
  codec?: string;
}

/** How a stage gets its tasks. `from` is always an earlier stage's index. */
export type Feed =
  /** The client sends inputs, maybe for ever, and seals. Without a definition the inputs are the results (a graph's input). */
  | { kind: 'inputs' }
  /** Task i over result i of `from`, as it arrives. */
  | { kind: 'each'; from: number }
  /** Results of `from` are arrays: one task per element, in order of arrival. */
  | { kind: 'spread'; from: number }
  /** Combines the results of `from` `fanIn`-wise down to one; `ordered` combines neighbours only. */
  | { kind: 'fold'; from: number; fanIn: number; ordered: boolean };

/** A result bound into an input: of the same index, of task 0 (or a fold's result), or all as an array. `path` picks a field of it. */
export interface ArgSpec {
  stage: number;
  take: 'same' | 'one' | 'all';
  path: string[];
}

export interface RetrySpec {
  /** Tries after the first. */
  retries: number;
  backoff: 'exponential' | 'fixed';
  delayMs: number;
  delayMsMax: number;
  jitter: boolean;
}

export interface StageSpec {
  definition?: DefinitionRef;
  feed: Feed;
  /**
   * Where `args` is given an input is a template with numbered holes that a worker fills: the stage's
   * own `template` (base64), or, for feed 'inputs', each task's own input.
   */
  args?: ArgSpec[];
  template?: string;
  /** Stages that must have ended first, without giving a value. */
  after?: number[];
  queue: string;
  resources: Record<string, number>;
  retry: RetrySpec;
  /** One attempt may take this long. */
  timeoutMs?: number;
  /** A task may wait this long before it starts. */
  ttlMs?: number;
  /** Crashes survived before the task itself is blamed; 0 = never start twice. */
  crashLimit: number;
  /** Dead tasks that the stage tolerates: a count, or a share of its total (0–1). */
  failuresMax: { count: number } | { share: number };
  /** 'drop': a dead task is counted but not kept as a dead letter. */
  onFailure: 'dead-letter' | 'drop';
  /** Tasks a batch; absent = sized by measured task time. */
  chunkSize?: number;
  /** Async lanes per slot; absent = 1. */
  concurrency?: number;
}

export interface JobSpec {
  name: string;
  stages: StageSpec[];
  /** Whose results are the job's: 'one' value or 'all' as an array. */
  output: { stage: number; take: 'one' | 'all' };
  /** A larger number runs sooner; normal is 0. */
  priority: number;
  /** Wall clock: all of it must be over by then. */
  deadlineWallMs?: number;
  /** Nothing starts before this much time has passed. */
  delayMs?: number;
  /** How long an ended job is kept; 0 = until its result was read once. */
  keepMs: number;
  tags?: Record<string, string>;
  /** Chosen by the client: the same key stands for the same job until that job is dropped. */
  key?: string;
}

/** Hashes of the programs that its tasks come from. */
export function bundlesOf(spec: JobSpec): Set<string> {
  const hashes = new Set<string>();
  for (const { definition } of spec.stages) if (definition?.bundle !== undefined) hashes.add(definition.bundle);
  return hashes;
}
