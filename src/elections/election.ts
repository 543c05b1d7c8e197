/**
 * The Election plug: who should lead. Liveness only: safety is the journal's (a stale leader's append
 * conflicts). `lost` fires at a local monotonic deadline, 2/3 of the time to live.
 */
export interface Candidate {
  /** Unique per process start: conditions renewing and resigning (C09). */
  id: string;
  url?: string;
  address: string;
}

export interface Leadership {
  readonly lost: AbortSignal;
  /** Infinity where nobody else can ever lead. */
  readonly ttlMs: number;
  resign(): Promise<void>;
}

export interface Election {
  campaign(me: Candidate, signal: AbortSignal): Promise<Leadership>;
  /** May be stale. */
  leader(): Promise<Candidate | undefined>;
  close(): Promise<void>;
}
