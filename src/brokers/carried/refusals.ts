/** Payloads that were not heard: counted, and told in lines that are few however many there are. */
import type { Refused } from './payload.ts';

const lineMs = 10_000;

const meanings: Record<Refused, string> = {
  unsigned: 'its sender has no cluster secret; give it the one of this process (--cluster-secret-file)',
  'unexpectedly signed': 'its sender has a cluster secret and this process has none (--cluster-secret-file)',
  'wrong signature': 'it was forged or changed on its way, or its sender has another cluster secret',
  'seen before': 'it came before: a repetition of the broker’s, or a recorded one',
  senseless: 'it is no message of this cluster, or of another release of shoal',
};

/** What a sender hears of it. */
const hints: Record<Refused, string> = {
  unsigned: 'it has a cluster secret and this process has none (--cluster-secret-file)',
  'unexpectedly signed': 'it has no cluster secret; give it the one of this process (--cluster-secret-file)',
  'wrong signature': 'it has another cluster secret (--cluster-secret-file)',
  'seen before': 'it takes it for repetitions',
  senseless: 'it does not understand it: run the same release of shoal on both sides',
};

interface Told {
  atMs: number;
  since: number;
}

export class Refusals {
  readonly counts: Record<Refused, number> = {
    unsigned: 0,
    'unexpectedly signed': 0,
    'wrong signature': 0,
    'seen before': 0,
    senseless: 0,
  };
  private readonly isSigned: boolean;
  private readonly onWarning: (line: string) => void;
  private readonly told = new Map<string, Told>();

  constructor(isSigned: boolean, onWarning: (line: string) => void) {
    this.isSigned = isSigned;
    this.onWarning = onWarning;
  }

  /** True if it was told, so that its sender may be, too. */
  refuse(why: Refused, inbox: string, nowMs: number): boolean {
    this.counts[why] += 1;
    // Brokers repeat; only where somebody might want to is it worth a line.
    if (why === 'seen before' && !this.isSigned) return false;
    return this.tell(why, nowMs, (count) => `refused ${count === 1 ? 'a message' : `${count} messages`} to ${inbox}: ${meanings[why]}`);
  }

  /** Another process says that it does not hear us. */
  heardOf(why: Refused, nowMs: number): void {
    this.tell(`heard of ${why}`, nowMs, () => `another process of this cluster does not hear this one: ${hints[why]}`);
  }

  private tell(key: string, nowMs: number, line: (count: number) => string): boolean {
    const told = this.told.get(key) ?? { atMs: Number.NEGATIVE_INFINITY, since: 0 };
    this.told.set(key, told);
    told.since += 1;
    if (nowMs - told.atMs < lineMs) return false;
    this.onWarning(line(told.since));
    told.atMs = nowMs;
    told.since = 0;
    return true;
  }
}
