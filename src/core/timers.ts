/**
 * The core's one set of timers, driven by `tick`: a binary heap by time, equal times in order of setting.
 * There is no cancelling: whoever is woken looks whether the reason still holds.
 */
export class Timers<T> {
  private readonly heap: { atMs: number; order: number; what: T }[] = [];
  private order = 0;

  get size(): number {
    return this.heap.length;
  }

  /** Infinity when none is set. */
  get nextMs(): number {
    return this.heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  set(atMs: number, what: T): void {
    const heap = this.heap;
    heap.push({ atMs, order: this.order++, what });
    let i = heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.before(i, parent)) break;
      this.swap(i, parent);
      i = parent;
    }
  }

  /** The next one that is due, removed; undefined when none is. */
  takeDue(nowMs: number): T | undefined {
    const heap = this.heap;
    const top = heap[0];
    if (!top || top.atMs > nowMs) return undefined;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      let i = 0;
      for (;;) {
        const left = 2 * i + 1;
        if (left >= heap.length) break;
        const right = left + 1;
        const child = right < heap.length && this.before(right, left) ? right : left;
        if (!this.before(child, i)) break;
        this.swap(i, child);
        i = child;
      }
    }
    return top.what;
  }

  private before(a: number, b: number): boolean {
    const x = this.heap[a]!;
    const y = this.heap[b]!;
    return x.atMs < y.atMs || (x.atMs === y.atMs && x.order < y.order);
  }

  private swap(a: number, b: number): void {
    const x = this.heap[a]!;
    this.heap[a] = this.heap[b]!;
    this.heap[b] = x;
  }
}
