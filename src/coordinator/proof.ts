/**
 * A leader that writes nothing does not notice that another has taken over: nothing of its own conflicts. So where others may
 * lead it appends a `lease` before it answers a client (that there is no such job, say, which the other one has), and
 * whenever its last append is older than half of its time to live (rules 1 and 4, H18).
 */
import type { Effect } from '../core/turn.ts';

export class Proof {
  private readonly ttlMs: number;
  private provenMs: number;

  /** `ttlMs`: Infinity where nobody else can ever lead. */
  constructor(ttlMs: number, nowMs: number) {
    this.ttlMs = ttlMs;
    this.provenMs = nowMs;
  }

  /** Of a turn that has nothing to write, and these effects. */
  isDue(nowMs: number, effects: readonly Effect[]): boolean {
    if (this.ttlMs === Number.POSITIVE_INFINITY) return false;
    return effects.some(({ effect }) => effect === 'tell' || effect === 'deliver') || nowMs - this.provenMs >= this.ttlMs / 2;
  }

  /** It has shown a moment ago that it leads. */
  isFresh(nowMs: number): boolean {
    return nowMs - this.provenMs < this.ttlMs;
  }

  /** An append was confirmed that began at this time. */
  confirmed(startMs: number): void {
    this.provenMs = startMs;
  }
}
