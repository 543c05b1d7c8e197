/**
 * The seam between the worker's protocol and whatever runs user code: a thread, a child process, or this
 * very thread. One executor = one slot. A *work* is a batch of tasks of one assignment; a slot runs its
 * works in order, one at a time, and can be given the next one while it runs (so that it never waits).
 *
 * Contract, tested by `executor.suite.ts` on each kind:
 * 1. Every index of a work is told exactly once: in results, partial, failed, crashed or released.
 * 2. `finished(work)` comes after all of them. A closed executor tells nothing more.
 * 3. Only the task that was running when the slot died is `crashed`; neighbours that were not done are released,
 *    results that were done but not told yet may be released too (they run again).
 * 4. A dead slot replaces its thread or process by itself; the next work runs in a fresh one.
 * 5. `abort` ends the given indices: not started ones at once, the running one by its signal, and by
 *    termination after `graceMs`. They are told as released('aborted').
 * 6. A task over `timeoutMs` gets its signal aborted and is told as failed with code SH2002; if it does not return
 *    within `graceMs` (at once if its thread's loop does not answer) the slot is replaced.
 */
import type { ArgShape, DefinitionRef, ErrorRecord, InputShape, LogLine, Ranges } from './work.ts';

export type { ArgShape, DefinitionRef, ErrorRecord, InputShape, LogLine, Ranges };

export interface Work {
  /** Unique per executor. */
  id: number;
  job: string;
  jobName: string;
  stage: number;
  definition: DefinitionRef;
  attempt: number;
  attemptsMax: number;
  timeoutMs?: number;
  concurrency?: number;
  input: InputShape;
  spread?: boolean;
  combine?: { definition: DefinitionRef; ordered: boolean };
  ranges: Ranges;
  lengths: Uint32Array;
  counts?: Uint32Array;
  sharedLengths?: Uint32Array;
  /** Owned by the executor from now on (its buffer may be transferred). */
  body: Uint8Array<ArrayBuffer>;
}

export interface WorkEvents {
  results(work: Work, done: { ranges: Ranges; lengths: Uint32Array; counts?: Uint32Array; durations: Uint32Array; body: Uint8Array }): void;
  /** `ranges` were combined into the one value in `body`. */
  partial(work: Work, done: { ranges: Ranges; durations: Uint32Array; body: Uint8Array }): void;
  failed(work: Work, index: number, failure: { error: ErrorRecord; verdict: 'retry' | 'dead'; afterMs?: number; durationUs: number }): void;
  crashed(work: Work, index: number, how: string, error: ErrorRecord): void;
  released(work: Work, ranges: Ranges, why: string): void;
  /** The definition can't be had here (module not found, no such task in it); covers all of the work. */
  refused(work: Work, error: ErrorRecord): void;
  finished(work: Work): void;
  logs(lines: LogLine[]): void;
  note(work: Work, index: number, done: number, total: number | undefined, note: string | undefined): void;
  /** The slot's thread or process was replaced: metrics and warnings. */
  replaced(why: string): void;
}

export interface Executor {
  run(work: Work): void;
  abort(work: Work, ranges: Ranges, reason: string): void;
  /** Takes back what the slot has not started of this work: told as released(why) (then finished, if nothing is left). */
  revoke(work: Work, ranges: Ranges, why: string): void;
  /** Ends the thread or process; nothing is told afterwards. Resolves when it is gone, perThread closers run within graceMs. */
  close(): Promise<void>;
}

export interface ExecutorOptions {
  events: WorkEvents;
  /** After a signal, before termination. */
  graceMs: number;
  /** It is there for one work, whose tasks may kill: a death that is nobody's is theirs, or it would be repeated with each executor. */
  isAlone?: boolean;
  /** Loading a module may take so long; absent: a minute. */
  loadMs?: number;
  /** Heap limit of the thread or child, MiB; absent = Node's default. */
  heapMiB?: number;
  /** Name for scratch directories and logs. */
  name: string;
  /** File URLs: tasks are found by name in these and nowhere else; absent: whatever module a task's definition names. */
  modules?: readonly string[];
  /** Stacks show the lines of the sources. */
  sourceMaps?: boolean;
}
