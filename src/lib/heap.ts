/** A binary heap: the first comes out first, whatever has come since. */
export class Heap<T> {
  private items: T[] = [];
  private readonly isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.isBefore = isBefore;
  }

  get size(): number {
    return this.items.length;
  }

  get first(): T | undefined {
    return this.items[0];
  }

  push(item: T): void {
    const { items } = this;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  /** The first one, removed. */
  pop(): T | undefined {
    const first = this.items[0];
    const last = this.items.pop();
    if (this.items.length > 0) {
      this.items[0] = last!;
      this.sink(0);
    }
    return first;
  }

  /** The others are dropped, at the cost of a look at all. */
  retain(isKept: (item: T) => boolean): void {
    this.items = this.items.filter(isKept);
    for (let at = (this.items.length >> 1) - 1; at >= 0; at--) this.sink(at);
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items.values();
  }

  private sink(from: number): void {
    const { items } = this;
    const item = items[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.isBefore(items[child + 1]!, items[child]!)) child++;
      if (!this.isBefore(items[child]!, item)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
