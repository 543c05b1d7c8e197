/**
 * Which tasks a reader was given. Its client keeps it and tells it when it goes on after a break, so that it is given the
 * rest, whatever a replay has done meanwhile to what it knows: a task that it was given as failed comes again after more
 * attempts, one that it passed over because it was stopped comes once it has run.
 *
 * Ranges ascend and do not touch: a reader in input order has one, another about as many as there are tasks under way.
 */
import type { Ranges } from './messages.ts';
import { indicesOf } from './ranges.ts';

/** `failed`: of `had` those that were given as failed, as pairs [index, attempts, …]. */
export interface GivenColumns {
  had: Ranges;
  failed?: Uint32Array;
}

/** What it looks at of a delivery. */
interface Delivered {
  indices: Ranges;
  statuses: Uint32Array;
  attempts: Uint32Array;
}

export class Given {
  private readonly starts: number[] = [];
  /** Exclusive. */
  private readonly ends: number[] = [];
  /** Attempts of each that failed. */
  private readonly failed = new Map<number, number>();

  static of({ had, failed }: GivenColumns): Given {
    const given = new Given();
    for (let r = 0; r + 1 < had.length; r += 2) given.addRange(had[r]!, had[r + 1]!);
    for (let i = 0; failed && i + 1 < failed.length; i += 2) given.failed.set(failed[i]!, failed[i + 1]!);
    return given;
  }

  get isEmpty(): boolean {
    return this.starts.length === 0;
  }

  /** Behind all that was given. */
  get end(): number {
    return this.ends.at(-1) ?? 0;
  }

  add({ indices, statuses, attempts }: Delivered): void {
    for (let r = 0; r < indices.length; r += 2) this.addRange(indices[r]!, indices[r + 1]!);
    if (this.failed.size === 0 && !statuses.includes(1)) return;
    let at = 0;
    for (const index of indicesOf(indices)) {
      if (statuses[at] === 1) this.failed.set(index, attempts[at]!);
      else this.failed.delete(index);
      at++;
    }
  }

  /** As it is after so many attempts. */
  has(index: number, attempts: number): boolean {
    const range = this.firstEndingAt(index + 1);
    if (range === this.starts.length || this.starts[range]! > index) return false;
    return (this.failed.get(index) ?? attempts) === attempts;
  }

  columns(): GivenColumns {
    const had = new Uint32Array(2 * this.starts.length);
    for (let r = 0; r < this.starts.length; r++) {
      had[2 * r] = this.starts[r]!;
      had[2 * r + 1] = this.ends[r]! - this.starts[r]!;
    }
    return { had, ...(this.failed.size > 0 && { failed: Uint32Array.from([...this.failed].flat()) }) };
  }

  private addRange(from: number, count: number): void {
    if (count === 0) return;
    const first = this.firstEndingAt(from);
    let start = from;
    let end = from + count;
    let next = first;
    // All that it overlaps or touches becomes one with it.
    for (; next < this.starts.length && this.starts[next]! <= end; next++) {
      start = Math.min(start, this.starts[next]!);
      end = Math.max(end, this.ends[next]!);
    }
    this.starts.splice(first, next - first, start);
    this.ends.splice(first, next - first, end);
  }

  /** The first range that ends at `index` or behind it. */
  private firstEndingAt(index: number): number {
    const { ends } = this;
    const last = ends.length - 1;
    // In order nearly always.
    if (last < 0 || ends[last]! < index) return last + 1;
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
