/**
 * The core's one set of timers, driven by `tick`: a heap by time, equal times in order of setting.
 * There is no cancelling (wakes.ts): whoever is woken looks whether the reason still holds.
 */
import { Heap } from '../lib/heap.ts';

export class Timers<T> {
  private readonly heap = new Heap<{ atMs: number; order: number; what: T }>(
    (a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order),
  );
  private order = 0;

  get size(): number {
    return this.heap.size;
  }

  /** Infinity when none is set. */
  get nextMs(): number {
    return this.heap.first?.atMs ?? Number.POSITIVE_INFINITY;
  }

  set(atMs: number, what: T): void {
    this.heap.push({ atMs, order: this.order++, what });
  }

  retain(isKept: (what: T) => boolean): void {
    this.heap.retain(({ what }) => isKept(what));
  }

  /** In no order. */
  *all(): Generator<T> {
    for (const { what } of this.heap) yield what;
  }

  /** The next one that is due, removed; undefined when none is. */
  takeDue(nowMs: number): T | undefined {
    return this.nextMs <= nowMs ? this.heap.pop()?.what : undefined;
  }
}
