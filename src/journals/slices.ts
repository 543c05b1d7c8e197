/**
 * Slices of bodies as few ranges of stored pieces: neighbours are read together and cut apart again, a slice that crosses
 * pieces is put together. What was asked for and is not there is a JournalCorruptError.
 */
import { concatBytes } from '../lib/bytes.ts';
import { missingSliceError } from './checks.ts';
import type { PieceRange } from './engine.ts';
import type { BodySlice, JournalCorruptError } from './journal.ts';

/** Bytes between two slices that are rather read than asked around. */
const gapBytesMax = 4_096;
const rangeBytesMax = 4 * 1024 * 1024;
const batchRangesMax = 256;

interface Part {
  range: PieceRange;
  from: number;
  to: number;
}

interface Wanted {
  slice: BodySlice;
  parts: Part[];
}

const noBytes = new Uint8Array();

export class BodyPlan {
  readonly #stream: string;
  readonly #pieceBytesMax: number;
  readonly #wanted: Wanted[] = [];
  readonly #ranges: PieceRange[] = [];
  readonly #read = new Map<PieceRange, Uint8Array>();

  constructor(stream: string, pieceBytesMax: number) {
    this.#stream = stream;
    this.#pieceBytesMax = pieceBytesMax;
  }

  add(slice: BodySlice): void {
    const { seq, offset, length } = slice;
    if (!(offset >= 0 && length >= 0)) throw this.missing(slice);
    const parts: Part[] = [];
    // Of an empty slice the byte before it must be there, or at least the row.
    const start = length === 0 && offset > 0 ? offset - 1 : offset;
    const end = length === 0 ? offset : offset + length;
    if (end === 0) parts.push(this.#part(seq, 0, 0, 0));
    for (let at = start; at < end; ) {
      const part = Math.floor(at / this.#pieceBytesMax);
      const pieceStart = part * this.#pieceBytesMax;
      const to = Math.min(end - pieceStart, this.#pieceBytesMax);
      parts.push(this.#part(seq, part, at - pieceStart, to));
      at = pieceStart + to;
    }
    this.#wanted.push({ slice, parts });
  }

  /** In the last range, if that is near, else in one of its own. */
  #part(seq: number, part: number, from: number, to: number): Part {
    const last = this.#ranges.at(-1);
    const isNear = last?.seq === seq && last.part === part && from >= last.from && from <= last.to + gapBytesMax;
    if (last && isNear && Math.max(to, last.to) - last.from <= rangeBytesMax) {
      last.to = Math.max(to, last.to);
      return { range: last, from, to };
    }
    const range = { seq, part, from, to };
    this.#ranges.push(range);
    return { range, from, to };
  }

  *batches(): Generator<readonly PieceRange[]> {
    let batch: PieceRange[] = [];
    let bytes = 0;
    for (const range of this.#ranges) {
      if (batch.length === batchRangesMax || (batch.length > 0 && bytes + range.to - range.from > rangeBytesMax)) {
        yield batch;
        batch = [];
        bytes = 0;
      }
      batch.push(range);
      bytes += range.to - range.from;
    }
    if (batch.length > 0) yield batch;
  }

  take(ranges: readonly PieceRange[], read: readonly (Uint8Array | undefined)[]): void {
    ranges.forEach((range, index) => {
      const bytes = read[index];
      if (bytes) this.#read.set(range, bytes);
    });
  }

  bytes(): Uint8Array[] {
    return this.#wanted.map(({ slice, parts }) => {
      const chunks = parts.map(({ range, from, to }) => {
        const bytes = this.#read.get(range);
        if (!bytes || to - range.from > bytes.length) throw this.missing(slice);
        return bytes.subarray(from - range.from, to - range.from);
      });
      return slice.length === 0 ? noBytes : concatBytes(chunks);
    });
  }

  missing(slice: BodySlice): JournalCorruptError {
    return missingSliceError(this.#stream, slice);
  }
}
