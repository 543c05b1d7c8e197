/**
 * What host and runtime both see without a message: which task each lane runs (so that the host knows whom a dead or
 * spinning thread was busy with), and which tasks have started (so that the host can take back those that have not).
 *
 * - A *mark* per lane, 16 bytes: work id (i32), position + 1 (i32; 0 = nothing, -1 = loading the module), start (f64, ms
 *   of `monotonicMs`, 0 where nobody will ask).
 * - A *claim* per position, one byte, changed by compare-and-swap only: 0 open, 1 started by the runtime, 2 taken back.
 *
 * - Two *bells*: how many messages the host has posted, and the thread (i32, wrap), so that whoever expects one can look out
 *   for it without sleeping.
 *
 * A thread shares this memory with its host. A child process writes its marks to a file without a name, which outlives
 * it (0.7 µs a mark), and keeps its claims to itself, so that its host has to ask.
 */
import { writeSync } from 'node:fs';
import type { WorkMessage } from './channel.ts';

export const lanesMax = 1024;
export const markBytes = 16;
const marksBytes = lanesMax * markBytes;
/** Claims of the two works that can be posted at a time lie in halves of this size; larger works bring their own. */
export const claimsMax = 8192;
const bellAt = marksBytes + 2 * claimsMax;
const boardBytes = bellAt + 8;
export const bell = { host: 0, thread: 1 } as const;
/** Offset of a half's claims. */
export const claimsAt = (half: 0 | 1): number => marksBytes + half * claimsMax;

export const claim = { open: 0, started: 1, withdrawn: 2 } as const;
/** In place of a position: the module is being loaded. */
export const loadingPosition = -2;

export interface Board {
  /** This lane starts a task. */
  begin(lane: number, work: number, position: number, startMs: number): void;
  /** This lane runs nothing. */
  end(lane: number): void;
  /** The claims of a work: position p is at `at + p`. */
  claimsOf(message: WorkMessage): { claims: Uint8Array; at: number };
}

export interface Mark {
  position: number;
  startMs: number;
}

/** In memory: shared with another thread, or the same thread's own. */
export class MemoryBoard implements Board {
  readonly memory: SharedArrayBuffer;
  private readonly numbers: Int32Array;
  private readonly times: Float64Array;
  readonly claims: Uint8Array;
  private readonly bells: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(boardBytes)) {
    this.memory = memory;
    this.numbers = new Int32Array(memory, 0, lanesMax * 4);
    this.times = new Float64Array(memory, 0, lanesMax * 2);
    this.claims = new Uint8Array(memory);
    this.bells = new Int32Array(memory, bellAt, 2);
  }

  /** One more message is posted. */
  ring(which: 0 | 1): void {
    Atomics.add(this.bells, which, 1);
  }

  /** Messages posted so far. */
  rung(which: 0 | 1): number {
    return Atomics.load(this.bells, which);
  }

  begin(lane: number, work: number, position: number, startMs: number): void {
    const at = lane * 4;
    this.numbers[at] = work;
    this.times[lane * 2 + 1] = startMs;
    this.numbers[at + 1] = position + 1;
  }

  end(lane: number): void {
    this.numbers[lane * 4 + 1] = 0;
  }

  claimsOf(message: WorkMessage): { claims: Uint8Array; at: number } {
    return message.claims ? { claims: new Uint8Array(message.claims), at: 0 } : { claims: this.claims, at: message.claimsAt };
  }

  marksOf(work: number, lanes: number): Mark[] {
    return readMarks(this.numbers, this.times, work, lanes);
  }
}

/** Written by a child process; its host reads the same file. */
export class FileBoard implements Board {
  private readonly file: number;
  private readonly record = new ArrayBuffer(markBytes);
  private readonly bytes = new Uint8Array(this.record);
  private readonly numbers = new Int32Array(this.record, 0, 2);
  private readonly times = new Float64Array(this.record, 8, 1);

  constructor(file: number) {
    this.file = file;
  }

  begin(lane: number, work: number, position: number, startMs: number): void {
    this.numbers[0] = work;
    this.numbers[1] = position + 1;
    this.times[0] = startMs;
    writeSync(this.file, this.bytes, 0, markBytes, lane * markBytes);
  }

  end(lane: number): void {
    this.begin(lane, 0, -1, 0);
  }

  claimsOf(message: WorkMessage): { claims: Uint8Array; at: number } {
    const claims = new Uint8Array(countOfRanges(message.work.ranges));
    return { claims, at: 0 };
  }
}

/** Marks of the lanes that run a task of this work. */
export function readMarks(numbers: Int32Array, times: Float64Array, work: number, lanes: number): Mark[] {
  const marks: Mark[] = [];
  const lanesRead = Math.min(lanes, numbers.length >> 2);
  for (let lane = 0; lane < lanesRead; lane++) {
    const position = numbers[lane * 4 + 1]! - 1;
    if (position !== -1 && numbers[lane * 4] === work) marks.push({ position, startMs: times[lane * 2 + 1]! });
  }
  return marks;
}

/** Milliseconds of a clock that all threads and processes of one machine share, and that nobody sets (K01). */
export function monotonicMs(): number {
  return performance.now() + offsetMs;
}
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

function countOfRanges(ranges: Uint32Array): number {
  let count = 0;
  for (let i = 1; i < ranges.length; i += 2) count += ranges[i]!;
  return count;
}
