/**
 * A work as its host sees it: what was told of each position, and in which of the stage's indices positions are.
 * `untold` reaches 0 exactly when each index was told once.
 */
import { RangeList } from '../../core/ranges.ts';
import type { Runs } from '../runtime/channel.ts';
import { indexAt } from '../runtime/context.ts';
import type { Ranges, Work } from './executor.ts';

/**
 * - `open`: nothing was told.
 * - `told`: told, and over.
 * - `aborted`: to be told as released when it is over.
 * - `expired`: told as failed, but not over: the task still occupies its lane.
 */
export const Told = { open: 0, told: 1, aborted: 2, expired: 3 } as const;

export class Posted {
  readonly work: Work;
  readonly count: number;
  readonly told: Uint8Array;
  untold: number;
  /** A position was aborted or ran out of time: what the runtime tells must be looked at one by one. */
  isOverruled = false;
  /** What is left of it was called off, before it began. */
  isUnwanted = false;
  /** So many tasks may run side by side with its own. */
  readonly lanes: number;
  /** Which half of the board's claims it has; undefined: claims of its own. */
  half: 0 | 1 | undefined;
  /** Shared with the runtime, where that is possible. */
  claims: { bytes: Uint8Array; at: number } | undefined;

  constructor(work: Work) {
    this.work = work;
    this.lanes = work.concurrency ?? 1;
    this.count = 0;
    for (let i = 1; i < work.ranges.length; i += 2) this.count += work.ranges[i]!;
    this.told = new Uint8Array(this.count);
    this.untold = this.count;
  }

  indexOf(position: number): number {
    return indexAt(this.work.ranges, position);
  }

  /** A whole work of one range, and what is told of it in order, are by far the most. */
  rangesOf(runs: Runs): Ranges {
    const { ranges } = this.work;
    if (ranges.length === 2 && runs.length === 2) return Uint32Array.of(ranges[0]! + runs[0]!, runs[1]!);
    const list = new RangeList();
    for (let i = 0; i < runs.length; i += 2) {
      for (let left = runs[i + 1]!, position = runs[i]!; left > 0; ) {
        const { index, count } = this.stretchAt(position);
        const taken = Math.min(count, left);
        list.addRange(index, taken);
        position += taken;
        left -= taken;
      }
    }
    return list.take();
  }

  /** Positions of those of the given indices that are in this work. */
  runsOf(indices: Ranges): number[] {
    const runs: number[] = [];
    const { ranges } = this.work;
    for (let i = 0, position = 0; i < ranges.length; position += ranges[i + 1]!, i += 2) {
      const from = ranges[i]!;
      const end = from + ranges[i + 1]!;
      for (let j = 0; j < indices.length; j += 2) {
        const first = Math.max(from, indices[j]!);
        const last = Math.min(end, indices[j]! + indices[j + 1]!);
        if (last > first) runs.push(position + first - from, last - first);
      }
    }
    return runs;
  }

  markTold(runs: Runs): void {
    for (let i = 0; i < runs.length; i += 2) {
      this.told.fill(Told.told, runs[i]!, runs[i]! + runs[i + 1]!);
      this.untold -= runs[i + 1]!;
    }
  }

  /** Changes what is known of positions without telling anything. */
  mark(runs: Runs, state: number): void {
    if (state !== Told.told) this.isOverruled = true;
    for (let i = 0; i < runs.length; i += 2) this.told.fill(state, runs[i]!, runs[i]! + runs[i + 1]!);
  }

  /** Positions out of `runs` (all, without) whose state is one of these, and which `choose`. */
  select(states: readonly number[], runs: Runs = [0, this.count], choose: (position: number) => boolean = () => true): number[] {
    const selected: number[] = [];
    for (let i = 0; i < runs.length; i += 2) {
      const end = runs[i]! + runs[i + 1]!;
      for (let position = runs[i]!; position < end; position++) {
        if (!states.includes(this.told[position]!) || !choose(position)) continue;
        const last = selected.length - 2;
        if (last >= 0 && selected[last]! + selected[last + 1]! === position) selected[last + 1]! += 1;
        else selected.push(position, 1);
      }
    }
    return selected;
  }

  private stretchAt(position: number): { index: number; count: number } {
    const { ranges } = this.work;
    let left = position;
    for (let i = 0; i < ranges.length; i += 2) {
      if (left < ranges[i + 1]!) return { index: ranges[i]! + left, count: ranges[i + 1]! - left };
      left -= ranges[i + 1]!;
    }
    throw new RangeError(`position ${position} is outside of its work`);
  }
}
