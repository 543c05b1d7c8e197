/**
 * Chance, all of it from one seed: a stream of numbers of its own for each purpose (a link, a node, a task …), so that a
 * change in one place does not reshuffle the others, and a failing seed stays near its failure while faults are taken away.
 */
export class Dice {
  private state: number;

  constructor(seed: number, purpose: string) {
    // FNV-1a over the purpose, then mixed with the seed (splitmix32's finalizer).
    let hash = 0x811c9dc5 ^ seed;
    for (let i = 0; i < purpose.length; i++) hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
    hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
    this.state = hash ^ (hash >>> 15);
  }

  /** In [0, 1): mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  chance(share: number): boolean {
    return share > 0 && this.next() < share;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }
}
