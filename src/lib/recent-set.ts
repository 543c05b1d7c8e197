/**
 * The values that were added last: a set with a bound, from which the oldest goes. An iterator over a Set of which the first
 * are always deleted passes over the places of all of them, tens of microseconds each time; so their order is kept apart.
 */
export class RecentSet<T> {
  readonly #values = new Set<T>();
  readonly #order: T[] = [];
  readonly #max: number;
  /** Where in `order` the oldest is, once it is full. */
  #oldest = 0;

  constructor(max: number) {
    this.#max = max;
  }

  has(value: T): boolean {
    return this.#values.has(value);
  }

  /** Gives the value that went for it. One that is there stays where it is. */
  add(value: T): T | undefined {
    if (this.#values.has(value)) return undefined;
    this.#values.add(value);
    if (this.#order.length < this.#max) {
      this.#order.push(value);
      return undefined;
    }
    const oldest = this.#order[this.#oldest]!;
    this.#order[this.#oldest] = value;
    this.#oldest = (this.#oldest + 1) % this.#max;
    this.#values.delete(oldest);
    return oldest;
  }

  /** Should it be added again, it may go earlier than its turn. */
  delete(value: T): void {
    this.#values.delete(value);
  }

  clear(): void {
    this.#values.clear();
    this.#order.length = 0;
    this.#oldest = 0;
  }
}
