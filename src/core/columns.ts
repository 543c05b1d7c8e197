/**
 * The tasks of a stage as rows of 36 bytes in growable chunks: there are millions, so no task is an object.
 * A row: state and flags (u8), attempt (u8), holder (u16) | serial | input entry, offset, length |
 * result entry, offset, length | duration in microseconds.
 */
import { attemptsMax } from './limits.ts';

export const TaskState = {
  /** Its inputs are not there yet. */
  waiting: 0,
  ready: 1,
  /** Assigned to its holder under its serial. */
  running: 2,
  /** Between two attempts, or before its first by `delay`. */
  delayed: 3,
  done: 4,
  dead: 5,
  skipped: 6,
  cancelled: 7,
  expired: 8,
} as const;
export type TaskState = (typeof TaskState)[keyof typeof TaskState];

export function isFinal(state: number): boolean {
  return state >= TaskState.done;
}

const rowWords = 9;
const chunkShift = 12;
const chunkRows = 1 << chunkShift;
const chunkMask = chunkRows - 1;
const firstRows = 4;

export class Columns {
  private readonly chunks: Uint32Array[] = [];
  private rows = 0;
  length = 0;

  /** Grows to at least `length` tasks, new ones waiting at attempt 1. */
  grow(length: number): void {
    if (length <= this.length) return;
    while (this.rows < length) this.addRows(length);
    for (let i = this.length; i < length; i++) this.chunks[i >> chunkShift]![(i & chunkMask) * rowWords] = 1 << 8;
    this.length = length;
  }

  /** Small stages stay small: the first chunk doubles up to its full size, the others come whole. */
  private addRows(wanted: number): void {
    if (this.rows >= chunkRows) {
      this.chunks.push(new Uint32Array(chunkRows * rowWords));
      this.rows += chunkRows;
      return;
    }
    let rows = Math.max(firstRows, this.rows * 2);
    while (rows < wanted && rows < chunkRows) rows *= 2;
    const chunk = new Uint32Array(rows * rowWords);
    if (this.chunks[0]) chunk.set(this.chunks[0]);
    this.chunks[0] = chunk;
    this.rows = rows;
  }

  private at(index: number, field: number): number {
    return this.chunks[index >> chunkShift]![(index & chunkMask) * rowWords + field]!;
  }
  private put(index: number, field: number, value: number): void {
    this.chunks[index >> chunkShift]![(index & chunkMask) * rowWords + field] = value;
  }

  state(index: number): TaskState {
    return (this.at(index, 0) & 0x0f) as TaskState;
  }
  setState(index: number, state: TaskState): void {
    this.put(index, 0, (this.at(index, 0) & ~0x0f) | state);
  }
  /** How often its worker was lost while it may have run: 0–3. */
  suspicion(index: number): number {
    return (this.at(index, 0) >>> 4) & 0x03;
  }
  setSuspicion(index: number, times: number): void {
    this.put(index, 0, (this.at(index, 0) & ~0x30) | (Math.min(times, 3) << 4));
  }
  /** Has it a story (state.stories)? Spares the look-up for all others. */
  hasStory(index: number): boolean {
    return (this.at(index, 0) & 0x40) !== 0;
  }
  setStory(index: number): void {
    this.put(index, 0, this.at(index, 0) | 0x40);
  }
  attempt(index: number): number {
    return (this.at(index, 0) >>> 8) & 0xff;
  }
  /** What comes after the last attempt keeps its number: nobody runs it. */
  setAttempt(index: number, attempt: number): void {
    this.put(index, 0, (this.at(index, 0) & ~0xff00) | (Math.min(attempt, attemptsMax) << 8));
  }
  holder(index: number): number {
    return this.at(index, 0) >>> 16;
  }
  serial(index: number): number {
    return this.at(index, 1);
  }
  setSerial(index: number, serial: number): void {
    this.put(index, 1, serial);
  }

  /** State running, held by `holder` under `serial`. */
  assign(index: number, holder: number, serial: number): void {
    const chunk = this.chunks[index >> chunkShift]!;
    const row = (index & chunkMask) * rowWords;
    chunk[row] = (chunk[row]! & 0xfff0) | TaskState.running | (holder << 16);
    chunk[row + 1] = serial;
  }

  setInput(index: number, entry: number, offset: number, length: number): void {
    const chunk = this.chunks[index >> chunkShift]!;
    const row = (index & chunkMask) * rowWords;
    chunk[row + 2] = entry;
    chunk[row + 3] = offset;
    chunk[row + 4] = length;
  }
  inputEntry(index: number): number {
    return this.at(index, 2);
  }
  inputOffset(index: number): number {
    return this.at(index, 3);
  }
  inputLength(index: number): number {
    return this.at(index, 4);
  }

  /** State done, with where its result lies, who made it and how long it took. */
  finish(index: number, holder: number, entry: number, offset: number, length: number, durationUs: number): void {
    const chunk = this.chunks[index >> chunkShift]!;
    const row = (index & chunkMask) * rowWords;
    chunk[row] = (chunk[row]! & 0xfff0) | TaskState.done | (holder << 16);
    chunk[row + 5] = entry;
    chunk[row + 6] = offset;
    chunk[row + 7] = length;
    chunk[row + 8] = durationUs;
  }
  resultEntry(index: number): number {
    return this.at(index, 5);
  }
  resultOffset(index: number): number {
    return this.at(index, 6);
  }
  resultLength(index: number): number {
    return this.at(index, 7);
  }
  durationUs(index: number): number {
    return this.at(index, 8);
  }
  setDuration(index: number, durationUs: number): void {
    this.put(index, 8, durationUs);
  }
}

/** Result entry of a task whose result went into a partial: it can't be read by itself. */
export const combinedEntry = 0xffffffff;
