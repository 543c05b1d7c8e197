/**
 * Set arithmetic on ranges of task indices, for the rare cases (aborts, revokes) in which part of what is held
 * goes another way than the rest. The order of the first operand is kept: columns lie in that order.
 */

import type { Ranges } from '../core/messages.ts';
import { RangeList } from '../core/ranges.ts';

/** Tells each stretch of `ranges`, in order, that lies inside or outside of `by`. */
export function splitEach(
  ranges: ArrayLike<number>,
  by: ArrayLike<number>,
  each: (from: number, count: number, isInside: boolean) => void,
): void {
  const sorted = sortedRanges(by);
  for (let i = 0; i < ranges.length; i += 2) {
    let from = ranges[i]!;
    const end = from + ranges[i + 1]!;
    for (let at = firstEndingAfter(sorted, from); from < end; at += 2) {
      const insideFrom = Math.min(end, sorted[at] ?? end);
      if (insideFrom > from) each(from, insideFrom - from, false);
      const insideEnd = Math.min(end, at < sorted.length ? sorted[at]! + sorted[at + 1]! : end);
      from = Math.max(from, insideFrom);
      if (insideEnd > from) each(from, insideEnd - from, true);
      from = Math.max(from, insideEnd);
    }
  }
}

export function splitRanges(ranges: ArrayLike<number>, by: ArrayLike<number>): { inside: Ranges; outside: Ranges } {
  const inside = new RangeList();
  const outside = new RangeList();
  splitEach(ranges, by, (from, count, isInside) => (isInside ? inside : outside).addRange(from, count));
  return { inside: inside.take(), outside: outside.take() };
}

/** By first index, joined where they touch or overlap. */
function sortedRanges(ranges: ArrayLike<number>): number[] {
  const pairs: [from: number, count: number][] = [];
  for (let i = 0; i < ranges.length; i += 2) if (ranges[i + 1]! > 0) pairs.push([ranges[i]!, ranges[i + 1]!]);
  pairs.sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [from, count] of pairs) {
    const last = out.length - 2;
    const lastEnd = last >= 0 ? out[last]! + out[last + 1]! : -1;
    if (from <= lastEnd) out[last + 1] = Math.max(lastEnd, from + count) - out[last]!;
    else out.push(from, count);
  }
  return out;
}

/** Position of the first range that ends after `index`. */
function firstEndingAfter(sorted: readonly number[], index: number): number {
  let low = 0;
  let high = sorted.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[2 * middle]! + sorted[2 * middle + 1]! > index) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}
