/**
 * A leader that is idle does not notice that another has taken over: nothing of its own conflicts. So where others may lead
 * it appends a `lease` before it says anything, whenever its last append is older than half of its time to live (rule 4, H18).
 */
export class Proof {
  private readonly ttlMs: number;
  private provenMs: number;

  /** `ttlMs`: Infinity where nobody else can ever lead. */
  constructor(ttlMs: number, nowMs: number) {
    this.ttlMs = ttlMs;
    this.provenMs = nowMs;
  }

  isDue(nowMs: number): boolean {
    return nowMs - this.provenMs >= this.ttlMs / 2;
  }

  /** An append was confirmed that began at this time. */
  confirmed(startMs: number): void {
    this.provenMs = startMs;
  }
}
