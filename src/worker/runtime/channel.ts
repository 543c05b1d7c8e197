/**
 * What an executor (the host) and the runtime in its thread or child say to each other. A task of a work is known by
 * its *position* there, from 0; the host turns positions into the stage's indices. `runs` are pairs
 * [from, count, …] of positions.
 *
 * Each position of a work is told once by the runtime: in a report, as withdrawn, or with the whole work as refused.
 * A work's last report is `finished`. The host alone decides what counts: it has let time run out or aborted meanwhile.
 */
import type { ErrorRecord, LogLine, Work } from '../executors/executor.ts';

export type Runs = readonly number[];

export interface Failure {
  position: number;
  error: ErrorRecord;
  verdict: 'retry' | 'dead';
  afterMs?: number;
  durationUs: number;
}

/** Encoded values one after another, with the columns that tell them apart. */
export interface Values {
  runs: Runs;
  lengths: Uint32Array<ArrayBuffer>;
  /** Element frames a task, of works that `spread`. */
  counts?: Uint32Array<ArrayBuffer>;
  durations: Uint32Array<ArrayBuffer>;
  body: Uint8Array<ArrayBuffer>;
}

export interface Partial {
  runs: Runs;
  durations: Uint32Array;
  body: Uint8Array<ArrayBuffer>;
}

export interface WorkMessage {
  kind: 'work';
  work: Work;
  /** Where the work's claims lie; see board.ts. */
  claimsAt: number;
  claims?: SharedArrayBuffer;
  /** Positions that were taken back before the work was posted. */
  withdrawn?: Runs;
}

export type ToRuntime =
  | WorkMessage
  /** What did not start is withdrawn, what runs gets its signal; answered by `signalled`. */
  | { kind: 'abort'; work: number; runs: Runs; cause: 'timeout' | 'cancel'; reason: string; ask: number }
  | { kind: 'revoke'; work: number; runs: Runs; why: string }
  /** Finish what runs, run the closers; answered by `closing` at once and by `closed` at the end. */
  | { kind: 'close' };

export type FromRuntime =
  | { kind: 'report'; work: number; values?: Values; partials?: Partial[]; failures?: Failure[]; finished: boolean }
  | { kind: 'refused'; work: number; error: ErrorRecord }
  | { kind: 'withdrawn'; work: number; runs: Runs; why: string }
  | { kind: 'signalled'; work: number; ask: number }
  /** The last words before the thread ends itself; nobody is guilty of what an earlier task left behind. */
  | { kind: 'dying'; how: string; error: ErrorRecord; guilty: { work: number; position: number } | undefined }
  | { kind: 'logs'; lines: LogLine[] }
  | { kind: 'note'; work: number; position: number; done: number; total: number | undefined; note: string | undefined }
  /** Process groups and directories to clear away if the thread can't do so itself any more. */
  | { kind: 'holds'; what: 'group' | 'directory'; name: string; held: boolean }
  | { kind: 'closing' }
  | { kind: 'closed' };

/** The runtime's side of the line. */
export interface RuntimePort {
  send(message: FromRuntime): void;
}

/** What the entry of a thread or child is told at its start. */
export interface RuntimeOptions {
  name: string;
  /** Between a signal and the end of what a task started. */
  graceMs: number;
  /** Tasks are found by name in these modules and nowhere else; absent: whatever module a task's definition names. */
  modules?: readonly string[];
}

const smallTasksMax = 8;

/** Its report, and the next work after it, may be near enough to look out for. */
export const isSmall = ({ ranges }: Work): boolean => ranges.length === 2 && ranges[1]! <= smallTasksMax;

/** Below this a copy costs less than handing the buffer over. */
const transferBytesMin = 16_384;

/** Buffers of a message that are better handed over than copied. */
export function buffersOf(...arrays: (Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>)[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const array of arrays) {
    if (array.byteLength >= transferBytesMin && array.byteLength === array.buffer.byteLength) buffers.push(array.buffer);
  }
  return buffers;
}
