/**
 * Cuts columns (ranges, lengths, counts, body) into pieces, front to back, without an object per task. The
 * worker cuts assignments into works with it, and results into what is still wanted or fits a message.
 *
 * A `Cutter` owns the place up to which was cut. Columns are views into whatever frame they came in; a piece has
 * buffers of its own, exactly as long as it needs (they are posted to threads, and a view would take its whole
 * buffer along). The bytes of a piece are copied once.
 */
import type { ArgShape, InputShape, Ranges } from '../core/messages.ts';
import { countOf, RangeList } from '../core/ranges.ts';
import { splitEach } from './split-ranges.ts';

export interface Columns {
  ranges: Ranges;
  lengths: Uint32Array;
  /** Frames; `countsPerTask` of them a task. */
  counts?: Uint32Array;
  /** Frames that come after those of all tasks and belong to each piece. */
  sharedLengths?: Uint32Array;
  body: readonly Uint8Array[];
}

export interface Shape {
  /** Frames a task on top of what `counts` says, or all of them without `counts`. */
  frames: number;
  countsPerTask: number;
}

export interface Piece {
  ranges: Ranges;
  lengths: Uint32Array;
  counts?: Uint32Array;
  body: Uint8Array<ArrayBuffer>;
  /** Tasks in it, and how many came before the first of them (other columns are sliced by these). */
  count: number;
  first: number;
}

const isSame = (arg: ArgShape): boolean => arg.take === 'same';

/** How many frames an assignment's tasks have. */
export function shapeOf(input: InputShape, hasCounts: boolean): Shape {
  if (input.kind !== 'template') return { frames: hasCounts ? 0 : 1, countsPerTask: 1 };
  const own = input.template === undefined ? 1 : 0;
  const same = input.args.filter(isSame).length;
  return { frames: hasCounts ? own : own + same, countsPerTask: same };
}

export class Cutter {
  private readonly columns: Columns;
  private readonly shape: Shape;
  private readonly bytes: ByteReader;
  private readonly sharedBytes: number;
  /** What is left, in order, as triples [from, count, wanted]: unwanted tasks are passed over. */
  private plan: number[] = [];
  private planAt = 0;
  private task = 0;
  private frame = 0;
  private offset = 0;
  /** Wanted tasks that were not cut yet. */
  pending: number;

  constructor(columns: Columns, shape: Shape) {
    this.columns = columns;
    this.shape = shape;
    this.bytes = new ByteReader(columns.body);
    this.sharedBytes = sum(columns.sharedLengths);
    for (let i = 0; i < columns.ranges.length; i += 2) this.plan.push(columns.ranges[i]!, columns.ranges[i + 1]!, 1);
    this.pending = countOf(columns.ranges);
  }

  /**
   * The next piece: up to `countMax` tasks and `bytesMax` bytes of theirs, one task in any case. It ends early
   * before a task that was dropped. Only while `pending` > 0.
   */
  take(countMax: number, bytesMax: number): Piece {
    while (this.plan[this.planAt + 2] === 0) this.pass();
    const first = this.task;
    const firstFrame = this.frame;
    const firstByte = this.offset;
    const ranges = new RangeList();
    while (ranges.count < countMax && this.plan[this.planAt + 2] === 1) {
      const before = ranges.count;
      ranges.addRange(this.plan[this.planAt]!, this.advance(countMax - before, bytesMax - (this.offset - firstByte), before === 0));
      if (this.plan[this.planAt + 1] !== 0) break;
      this.planAt += 3;
    }
    const count = ranges.count;
    this.pending -= count;
    const { counts, lengths } = this.columns;
    const per = this.shape.countsPerTask;
    return {
      count,
      first,
      ranges: ranges.take(),
      lengths: lengths.slice(firstFrame, this.frame),
      ...(counts ? { counts: counts.slice(first * per, this.task * per) } : {}),
      body: this.copy(firstByte, this.offset),
    };
  }

  /** Takes the given indices, as far as they are pending, out of what will be cut; answers which those were. */
  drop(ranges: ArrayLike<number>): Ranges {
    const dropped = new RangeList();
    const plan: number[] = [];
    for (let at = this.planAt; at < this.plan.length; at += 3) {
      if (this.plan[at + 2] === 0) {
        plan.push(this.plan[at]!, this.plan[at + 1]!, 0);
        continue;
      }
      splitEach([this.plan[at]!, this.plan[at + 1]!], ranges, (from, count, isInside) => {
        plan.push(from, count, isInside ? 0 : 1);
        if (isInside) dropped.addRange(from, count);
      });
    }
    this.plan = plan;
    this.planAt = 0;
    this.pending -= dropped.count;
    return dropped.take();
  }

  dropAll(): Ranges {
    return this.drop(this.pendingRanges());
  }

  pendingRanges(): Ranges {
    const list = new RangeList();
    for (let at = this.planAt; at < this.plan.length; at += 3) {
      if (this.plan[at + 2] === 1) list.addRange(this.plan[at]!, this.plan[at + 1]!);
    }
    return list.take();
  }

  /** Moves over tasks of the stretch in front; the first is let through whatever its size if `isFirst`. */
  private advance(countMax: number, bytesMax: number, isFirst: boolean): number {
    const end = Math.min(countMax, this.plan[this.planAt + 1]!);
    let count = 0;
    let bytes = 0;
    while (count < end) {
      const frames = this.framesOf(this.task);
      let taskBytes = 0;
      for (let i = 0; i < frames; i++) taskBytes += this.columns.lengths[this.frame + i]!;
      if (bytes + taskBytes > bytesMax && !(isFirst && count === 0)) break;
      bytes += taskBytes;
      this.frame += frames;
      this.task += 1;
      count += 1;
    }
    this.offset += bytes;
    this.plan[this.planAt]! += count;
    this.plan[this.planAt + 1]! -= count;
    return count;
  }

  private pass(): void {
    this.advance(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, false);
    this.planAt += 3;
  }

  private framesOf(task: number): number {
    const { counts } = this.columns;
    let frames = this.shape.frames;
    if (!counts) return frames;
    const per = this.shape.countsPerTask;
    for (let i = task * per; i < (task + 1) * per; i++) frames += counts[i]!;
    return frames;
  }

  private copy(from: number, to: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(to - from + this.sharedBytes);
    this.bytes.copy(from, to, out, 0);
    if (this.sharedBytes > 0) this.bytes.copy(this.bytes.length - this.sharedBytes, this.bytes.length, out, to - from);
    return out;
  }
}

function sum(lengths: Uint32Array | undefined): number {
  let total = 0;
  if (lengths) for (const length of lengths) total += length;
  return total;
}

/** Chunks as if they were one. */
class ByteReader {
  private readonly chunks: readonly Uint8Array[];
  readonly length: number;

  constructor(chunks: readonly Uint8Array[]) {
    this.chunks = chunks;
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    this.length = length;
  }

  copy(from: number, to: number, out: Uint8Array, at: number): void {
    let start = 0;
    for (const chunk of this.chunks) {
      const end = start + chunk.length;
      if (end > from && start < to) {
        const a = Math.max(from, start);
        const b = Math.min(to, end);
        out.set(chunk.subarray(a - start, b - start), at + a - from);
      }
      if (end >= to) return;
      start = end;
    }
  }
}
