/**
 * The words of the public API: options, tasks, jobs, references, graphs. Only types; the behaviour is in the
 * neighbouring files. What is declared here is what users see in their editor, so each says what it does,
 * in which unit, what the default is.
 */
import type { Codec } from '../codecs/codec.ts';
import type { JobState } from '../core/answers.ts';
import type { Bytes, Duration } from '../lib/duration.ts';
import type { StandardSchema } from '../tasks/definition.ts';
import type { TaskError } from './task-error.ts';

export type { Bytes, Codec, Duration, JobState, StandardSchema };

/** A larger number runs sooner. low = -10, normal = 0 (the default), high = 10, urgent = 20. */
export type Priority = 'low' | 'normal' | 'high' | 'urgent' | number;

export interface RetryPolicy {
  /** Extra attempts after the first one, 0–200. */
  retries: number;
  /** `exponential` (default) doubles the pause with each attempt; `fixed` keeps it. */
  backoff?: 'exponential' | 'fixed';
  /** Pause before the second attempt; default 200 ms. */
  delay?: Duration;
  /** The pause never grows beyond this; default 30 s. */
  maxDelay?: Duration;
  /** Draw each pause between 0 and its length, so that tasks that failed together don't come back together; default true. */
  jitter?: boolean;
}

/** What one task occupies while it runs. Units of `cpu` and `gpu` are whole devices, `memory` is bytes; other names are yours. */
export interface Resources {
  cpu?: number;
  memory?: Bytes;
  gpu?: number;
  [custom: string]: number | Bytes | undefined;
}

/** How tasks are run. Given with the task, changed by `with()`, changed again by each call: the last word counts. */
export interface TaskOptions {
  /** Jobs with a larger priority get slots first; default `normal`. */
  priority?: Priority;
  /** Only workers that serve this queue run it; default `default`. */
  queue?: string;
  /** Extra attempts after a failure; default 0. */
  retries?: number | RetryPolicy;
  /** One attempt may take this long, then its signal is aborted and the attempt counts as failed (SH2002). Default: no limit. */
  timeout?: Duration;
  /** A task may wait in the queue this long before it starts, else it expires (SH2006). Default: no limit. */
  ttl?: Duration;
  /** All of the job must be over by then, else it expires. */
  deadline?: Date;
  /** Nothing of the job starts before this has passed; default 0. */
  delay?: Duration;
  /** The same key and the same input stand for the same job; the same key with other input is a conflict (SH1403). */
  idempotencyKey?: string;
  /** Labels for people and tools; they change nothing. */
  tags?: Record<string, string>;
  /** Deaths of a thread or worker survived before the task itself is blamed; default 3, 0 = never start twice. */
  crashLimit?: number;
  /**
   * How long an ended job and its results are kept; `false` = until read once. Default 24 h; where nothing outlives the
   * process (`local:` without a journal) a job without a key goes earlier, with its handle.
   */
  keepResults?: Duration | false;
  resources?: Resources;
  /** Aborting it cancels the job; whoever waits for the job gets the signal's reason. */
  signal?: AbortSignal;
}

export interface MapOptions<I> extends TaskOptions {
  /** Results in the order of the inputs (default) or as they come. */
  order?: 'input' | 'completion';
  /** Tasks that travel together; default `auto`, sized by measured task time. */
  chunkSize?: number | 'auto';
  /** Inputs taken from the iterable and not yet finished; default 65 536 (and 64 MiB of encoded inputs). */
  maxInFlight?: number;
  /** Final failures that the job tolerates, a count or a share of its tasks; default 0: the first one stops the job. */
  maxFailures?: number | `${number}%`;
  /** A name for an input, shown where its task is spoken of. */
  label?: (input: I, index: number) => string;
  /** Draw a bar on stderr, with this title or the task's name. */
  progress?: boolean | string;
}

declare const refType: unique symbol;

/** A value that is not here yet: the input of a graph, or the result of one of its tasks. */
export interface Ref<T> {
  readonly id: string;
  readonly [refType]: T;
  /** A property of the value, taken where the task that uses it runs. */
  get<K extends keyof T & string>(key: K): Ref<T[K]>;
}

type Leaf = string | number | boolean | bigint | null | undefined | Date | RegExp | ArrayBuffer | ArrayBufferView | URL | Error;

/** A value in which any part may be a reference. */
export type Arg<T> =
  | T
  | Ref<T>
  | (T extends Leaf
      ? never
      : T extends readonly (infer U)[]
        ? readonly Arg<U>[]
        : T extends object
          ? { [K in keyof T]: Arg<T[K]> }
          : never);

// biome-ignore lint/suspicious/noExplicitAny: stands for every schema
export type AnySchema = StandardSchema<any, any>;
export type InOf<S> = S extends AnySchema ? NonNullable<S['~standard']['types']>['input'] : never;
export type OutOf<S> = S extends AnySchema ? NonNullable<S['~standard']['types']>['output'] : never;

// Of a task of any input (`0 extends 1 & I` is true of `any` alone) nothing is known, not that there is none.
// biome-ignore lint/suspicious/noExplicitAny: stands for every input
type In<I> = 0 extends 1 & I ? [input?: any] : [I] extends [void] ? [input?: undefined] : [input: Arg<I>];

/** A typed handle of a task: calling it starts jobs. It carries no state, so share it freely. */
export interface Task<I, O> {
  readonly name: string;
  /** Runs it once and gives its result. Throws TaskError when it finally failed. */
  run(...args: [...In<I>, options?: TaskOptions]): Promise<O>;
  /** Starts it once and gives a handle as soon as the job is recorded. */
  submit(...args: [...In<I>, options?: TaskOptions]): Promise<Job<O>>;
  /**
   * Runs it over every input, on all cores. Starts at once, pulls inputs as they are needed, and refuses the job
   * (SH1201) at the first input that cannot travel. An input array must not change until the job has ended.
   */
  map(inputs: Iterable<Arg<I>> | AsyncIterable<Arg<I>>, options?: MapOptions<I>): MapJob<I, O>;
  /** A task that hands each result to `next`; the values go from worker to worker, not through the caller. */
  pipe<P>(next: Task<O, P>): Task<I, P>;
  /** The same task with other defaults. */
  with(options: TaskOptions): Task<I, O>;
  /** The same task on that cluster instead of the default one. */
  on(cluster: Cluster): Task<I, O>;
}

/** A task with its options; see {@link TaskOptions} for those that calls can change. */
export interface Def extends Omit<TaskOptions, 'signal' | 'idempotencyKey' | 'delay' | 'deadline' | 'retries'> {
  /** `retryIf` decides on the worker whether a failure is worth another attempt; a function, so only here and not per call. */
  retries?: number | (RetryPolicy & { retryIf?: (error: unknown, attempt: number) => boolean });
  /** Unique in the program; what logs, errors and other programs call it. */
  name: string;
  description?: string;
  /** Only needed when your own bundler hides `import.meta.url`: the module that workers load to find this task. */
  module?: string | URL;
  /** `drop`: failures are counted but not kept as dead letters. Default `dead-letter`. */
  onFailure?: 'dead-letter' | 'drop';
  /** Tasks that one slot runs at the same time, for work that waits more than it computes; default 1. */
  concurrency?: number;
  /** How values travel; default `msgpack` (Map, Set, Date, BigInt, typed arrays, Error and NaN survive). */
  codec?: Codec | 'msgpack' | 'json';
}

export interface Progress {
  /** Undefined while inputs may still come. */
  total: number | undefined;
  queued: number;
  running: number;
  succeeded: number;
  failed: number;
  retried: number;
  ratePerSecond: number;
  etaSeconds: number | undefined;
}

/** One job. It is not a promise: `result()` waits for it. Disposing of it (`await using`) cancels it if it has not ended. */
export interface Job<O> extends AsyncDisposable {
  /** Of a map: known once the job is open, which any awaited call brings about; before that it throws SH1105. */
  readonly id: string;
  /** Its page, where the cluster has one. */
  readonly url: string | undefined;
  /** True if a job with this key was there already. */
  readonly deduplicated: boolean;
  /**
   * Waits for the result. Throws TaskError if a task failed for good, SH2005 if the job was cancelled, SH2006 if it
   * expired, SH1405 after `timeout` (the job goes on).
   */
  result(options?: { signal?: AbortSignal; timeout?: Duration }): Promise<O>;
  /** Resolved: nothing of it will be recorded as done any more. A job that has ended stays as it is. */
  cancel(reason?: string): Promise<void>;
  state(): Promise<JobState>;
  /** Counts, now and every `every` (default 500 ms) until the job has ended. */
  progress(options?: { every?: Duration }): AsyncIterable<Progress>;
  /** What its tasks logged: what is kept, from the last `since` on; with `follow` also what comes, until the job has ended. */
  logs(options?: { follow?: boolean; since?: Duration }): AsyncIterable<{ time: Date; task: string; level: string; message: string }>;
  /** Puts dead letters back into this job with a new budget of attempts, and gives their number. */
  replayFailed(): Promise<number>;
}

export type Settled<I, O> =
  | { status: 'fulfilled'; index: number; input: I; value: O; attempts: number; durationMs: number; worker: string }
  | { status: 'rejected'; index: number; input: I; reason: TaskError; attempts: number; durationMs: number; worker: string };

export interface ReduceOptions {
  /** Results combined at a time, at least 2; default 16. */
  fanIn?: number;
  /** Combine neighbours only, for a combine that is not commutative; default false. */
  ordered?: boolean;
}

/** The job of a `map`. Iterating gives results; leaving the loop early stops reading, not the job. */
export interface MapJob<I, O> extends Job<O[]>, AsyncIterable<O> {
  /** All results by input; failures that `maxFailures` tolerated are left out. */
  toArray(): Promise<O[]>;
  /**
   * Every task's outcome with its input. Ends quietly if each input had one, even if the job failed; throws if the
   * job ended before all inputs were taken.
   */
  settled(): AsyncIterable<Settled<I, O>>;
  /**
   * Combines all results into one, as a tree on the workers. `combine` must be associative. Called in the same turn as
   * `map`, it is one job with it. Over no results at all, `combine` is given an empty array.
   */
  reduce(combine: Task<O[], O>, options?: ReduceOptions): Promise<O>;
  /** Waits for the end without fetching any result; throws as `result()` does. */
  done(): Promise<Progress>;
}

/** Describes a graph: each call names work to be done and gives a reference to what it will give. */
export interface GraphBuilder {
  /** One task. `after`: what must have ended first although no value of it is used. */
  call<I, O>(task: Task<I, O>, input: Arg<I>, options?: TaskOptions & { after?: readonly Ref<unknown>[] }): Ref<O>;
  /** One task per element. */
  map<I, O>(task: Task<I, O>, inputs: Ref<I[]> | readonly Arg<I>[], options?: MapOptions<I>): Ref<O[]>;
  /** Combines the elements into one; associative, as in `MapJob.reduce`. */
  reduce<O>(combine: Task<O[], O>, items: Ref<O[]>, options?: ReduceOptions): Ref<O>;
}

/** Where tasks run. Closing it ends its threads. */
export interface Cluster extends AsyncDisposable {
  readonly address: string;
  /** A job by its id or its idempotency key. */
  job<O = unknown>(id: string): Promise<Job<O>>;
  /** Resolves when so many workers are there; SH1405 after `timeout`. */
  waitForWorkers(count: number, options?: { timeout?: Duration }): Promise<void>;
  close(): Promise<void>;
}

export interface MainEnv {
  /** The program's own arguments. */
  args: readonly string[];
  /** Aborted by Ctrl-C and SIGTERM. */
  signal: AbortSignal;
  /** The default cluster, which is opened when it is first used. */
  cluster: Cluster;
}
