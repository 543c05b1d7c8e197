/**
 * The Election plug: who should lead. Liveness only: safety is the journal's (a stale leader's append
 * conflicts). `lost` fires at a local monotonic deadline, 2/3 of the time to live. DESIGN.md has the reasons.
 */
export interface Candidate {
  /** Unique per process start: conditions renewing and resigning (C09). */
  id: string;
  url?: string;
  address: string;
}

export interface Leadership {
  /** `lost.aborted` is exact whenever it is read: it asks the clock. Not aborted by resigning. */
  readonly lost: AbortSignal;
  /** Infinity where nobody else can ever lead. */
  readonly ttlMs: number;
  /** Lets the next one lead at once. Idempotent; resolves even if nobody could be told. */
  resign(): Promise<void>;
}

export interface Election {
  /**
   * Waits until `me` leads. Rejects with the signal's reason, SH3011 if the server refuses us, SH3012 if the election is closed;
   * a server that can't be reached is tried again.
   */
  campaign(me: Candidate, signal: AbortSignal): Promise<Leadership>;
  /** May be stale. Rejects with SH3010 if the server can't be reached. */
  leader(): Promise<Candidate | undefined>;
  /** Ends campaigns and resigns. Idempotent. */
  close(): Promise<void>;
}
