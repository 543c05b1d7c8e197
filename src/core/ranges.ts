/**
 * Task indices as ranges. `Ranges` (pairs [from, count, …] in a Uint32Array) travel; `RangeList` builds
 * them; `ReadyQueue` is what a stage has ready: first in, first out, a range at a time, so that queueing
 * a million tasks costs what queueing one does.
 */
import type { Ranges } from './messages.ts';

export class RangeList {
  private pairs: number[] = [];
  /** Indices in all ranges together. */
  count = 0;

  /** Adds one index; runs are joined. */
  add(index: number): void {
    this.addRange(index, 1);
  }

  addRange(from: number, count: number): void {
    if (count === 0) return;
    const last = this.pairs.length - 2;
    if (last >= 0 && this.pairs[last]! + this.pairs[last + 1]! === from) this.pairs[last + 1]! += count;
    else this.pairs.push(from, count);
    this.count += count;
  }

  take(): Ranges {
    const out = Uint32Array.from(this.pairs);
    this.pairs = [];
    this.count = 0;
    return out;
  }
}

export function countOf(ranges: Ranges): number {
  let count = 0;
  for (let i = 1; i < ranges.length; i += 2) count += ranges[i]!;
  return count;
}

/** Whether each of them is below `length`, and named once. Costs a look a range, and sorting where they do not ascend. */
export function areDistinct(ranges: Ranges, length: number): boolean {
  let end = 0;
  let isSorted = true;
  for (let i = 0; i < ranges.length; i += 2) {
    const from = ranges[i]!;
    const count = ranges[i + 1] ?? 0;
    if (count === 0 || from + count > length) return false;
    isSorted &&= from >= end;
    end = from + count;
  }
  if (isSorted) return true;
  const ends = new Map<number, number>();
  for (let i = 0; i < ranges.length; i += 2) ends.set(ranges[i]!, ranges[i]! + ranges[i + 1]!);
  if (ends.size < ranges.length / 2) return false;
  const froms = [...ends.keys()].sort((a, b) => a - b);
  return froms.every((from, i) => i === 0 || ends.get(froms[i - 1]!)! <= from);
}

export function* indicesOf(ranges: Ranges): Generator<number> {
  for (let i = 0; i < ranges.length; i += 2) {
    const end = ranges[i]! + ranges[i + 1]!;
    for (let index = ranges[i]!; index < end; index++) yield index;
  }
}

/**
 * A queue of ranges. Entries may go stale (a task was cancelled or expired while it waited): whoever takes
 * checks each task's state, so that leaving the queue early costs nothing.
 */
export class ReadyQueue {
  private pairs: number[] = [];
  private head = 0;

  get isEmpty(): boolean {
    return this.head >= this.pairs.length;
  }

  push(from: number, count: number): void {
    if (count === 0) return;
    const last = this.pairs.length - 2;
    if (last >= this.head && this.pairs[last]! + this.pairs[last + 1]! === from) this.pairs[last + 1]! += count;
    else this.pairs.push(from, count);
  }

  /** Back to the front: what was handed back goes first. */
  unshift(from: number, count: number): void {
    if (count === 0) return;
    if (!this.isEmpty && from + count === this.pairs[this.head]) {
      this.pairs[this.head] = from;
      this.pairs[this.head + 1]! += count;
    } else if (this.head >= 2) {
      this.head -= 2;
      this.pairs[this.head] = from;
      this.pairs[this.head + 1] = count;
    } else {
      this.pairs.unshift(from, count);
    }
  }

  /** Length of the range at the front; 0 when empty. */
  get frontCount(): number {
    return this.isEmpty ? 0 : this.pairs[this.head + 1]!;
  }

  get front(): number {
    return this.pairs[this.head]!;
  }

  /** Removes the first `count` indices of the front range. */
  advance(count: number): void {
    if (count < this.pairs[this.head + 1]!) {
      this.pairs[this.head]! += count;
      this.pairs[this.head + 1]! -= count;
      return;
    }
    this.head += 2;
    if (this.head === this.pairs.length) {
      this.pairs = [];
      this.head = 0;
    } else if (this.head > 1024 && this.head * 2 > this.pairs.length) {
      this.pairs = this.pairs.slice(this.head);
      this.head = 0;
    }
  }

  clear(): void {
    this.pairs = [];
    this.head = 0;
  }

  /** What is queued and `more` below `end` together: by index, each once. */
  mergeBelow(end: number, more: Ranges): void {
    const all = [...this.ranges()];
    for (let r = 0; r < more.length; r += 2) {
      const count = Math.min(more[r + 1]!, end - more[r]!);
      if (count > 0) all.push([more[r]!, count]);
    }
    all.sort(([a], [b]) => a - b);
    this.clear();
    let next = 0;
    for (const [from, count] of all) {
      const first = Math.max(from, next);
      this.push(first, Math.max(0, from + count - first));
      next = Math.max(next, from + count);
    }
  }

  *ranges(): Generator<[from: number, count: number]> {
    for (let i = this.head; i < this.pairs.length; i += 2) yield [this.pairs[i]!, this.pairs[i + 1]!];
  }
}
