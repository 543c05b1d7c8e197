/**
 * The election by a lease in a store. Owns all that elections have in common: terms, deadlines, jitter, the pause between
 * campaigns; a store only answers. DESIGN.md says why each is as it is.
 *
 * Invariants: 1. take, renew and release name their term, and the store acts on that term alone. 2. Every call has a deadline.
 * 3. What may have been taken is released on every way out but a kill.
 */
import { ShoalError } from '../lib/errors.ts';
import { linkedAbort } from '../lib/linked-abort.ts';
import { type Outside, realOutside } from '../lib/outside.ts';
import { Calls, isRefused } from './calls.ts';
import type { Candidate, Election, Leadership } from './election.ts';
import { HeldLease } from './leadership.ts';

/** One campaign, and the leadership that it may win. */
export interface Term {
  /** Of this campaign alone. */
  readonly id: string;
  /** What the store keeps for others to read; holds the id. */
  readonly record: string;
}

/** What one term does in the store. Calls come one at a time, but `release` may overtake one that missed its deadline. */
export interface Claim {
  /** The ttl granted in ms if the lease was free or this term's already; undefined if another holds it. */
  take(signal: AbortSignal): Promise<number | undefined>;
  /** False if the lease is surely this term's no more. */
  renew(signal: AbortSignal): Promise<boolean>;
  /** If it is this term's; idempotent. Also after a `take` that nobody knows the outcome of. */
  release(signal: AbortSignal): Promise<void>;
  /** Resolves when the lease may have become free; never rejects. Where it is missing, standbys ask often. */
  freed?(signal: AbortSignal): Promise<void>;
}

export interface LeaseStore {
  /** Where it is, without secrets. */
  readonly name: string;
  claim(term: Term): Claim;
  /** The record of who holds the lease. */
  holder(signal: AbortSignal): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface ElectionOptions {
  /** Elections of other clusters in the same store are others. */
  cluster: string;
  onWarning?: ((line: string) => void) | undefined;
  /** How long others wait for a leader that says nothing. */
  ttlMs?: number | undefined;
  /** Time and chance; tests bring their own. */
  outside?: Outside | undefined;
}

export const defaultTtlMs = 2_000;
const pollMs = 200;

export function leaseElection(store: LeaseStore, options: ElectionOptions): Election {
  return new LeaseElection(store, options);
}

class LeaseElection implements Election {
  private readonly store: LeaseStore;
  private readonly outside: Outside;
  private readonly ttlMs: number;
  private readonly calls: Calls;
  private readonly closing = new AbortController();
  private readonly leaderships = new Set<HeldLease>();
  private readonly campaigns = new Set<Promise<unknown>>();
  private readonly releases = new Set<Promise<void>>();
  private closed: Promise<void> | undefined;
  /** No campaign asks before; later than the end of the last leadership, or of one that came too late (C10). */
  private notBeforeMs = 0;

  constructor(store: LeaseStore, options: ElectionOptions) {
    this.store = store;
    this.outside = options.outside ?? realOutside;
    this.ttlMs = options.ttlMs ?? defaultTtlMs;
    this.calls = new Calls({ name: store.name, outside: this.outside, onWarning: options.onWarning ?? (() => undefined) });
  }

  async campaign(me: Candidate, signal: AbortSignal): Promise<Leadership> {
    const { controller, unlink } = linkedAbort(signal, this.closing.signal);
    controller.signal.throwIfAborted();
    const running = this.run(me, controller.signal);
    this.campaigns.add(running);
    try {
      return await running;
    } finally {
      unlink();
      this.campaigns.delete(running);
    }
  }

  async leader(): Promise<Candidate | undefined> {
    this.closing.signal.throwIfAborted();
    const record = await this.calls.make(this.ttlMs / 3, (signal) => this.store.holder(signal));
    return record === undefined ? undefined : candidateOf(record);
  }

  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    this.closing.abort(new ShoalError('SH3012', `the election at ${this.store.name} was closed`));
    await Promise.allSettled(this.campaigns);
    await Promise.all([...this.leaderships].map((leadership) => leadership.resign()));
    await Promise.all(this.releases);
    await this.store.close();
  }

  private async run(me: Candidate, ended: AbortSignal): Promise<Leadership> {
    let claim = this.store.claim(this.term(me));
    try {
      for (;;) {
        await this.pause(this.notBeforeMs - this.outside.nowMs(), ended);
        const outcome = await this.attempt(claim);
        if (outcome instanceof HeldLease) {
          if (!ended.aborted) return outcome;
          await outcome.resign();
        }
        ended.throwIfAborted();
        if (outcome === 'not kept') {
          this.letOthersTry();
          await this.release(claim);
          claim = this.store.claim(this.term(me));
        } else await (outcome === 'held by another' ? this.untilFreed(claim, ended) : this.pause(this.jittered(pollMs), ended));
      }
    } catch (error) {
      await this.release(claim);
      throw error;
    }
  }

  /** Rejects if asking again can't help. */
  private async attempt(claim: Claim): Promise<HeldLease | 'held by another' | 'unknown' | 'not kept'> {
    const startMs = this.outside.nowMs();
    try {
      const ttlMs = await this.calls.make((this.ttlMs * 2) / 3, (signal) => claim.take(signal));
      if (ttlMs === undefined) return 'held by another';
      return this.outside.nowMs() - startMs < ttlMs / 3 ? this.lead(claim, ttlMs, startMs) : await this.confirm(claim, ttlMs);
    } catch (error) {
      if (isRefused(error)) throw error;
      return 'unknown';
    }
  }

  /** Granted so late that a renewal which takes as long would be too late. To take may be more work than to renew: that is tried. */
  private async confirm(claim: Claim, ttlMs: number): Promise<HeldLease | 'not kept'> {
    const startMs = this.outside.nowMs();
    try {
      if (!(await this.calls.make((this.ttlMs * 2) / 3, (signal) => claim.renew(signal)))) return 'not kept';
    } catch (error) {
      if (isRefused(error)) throw error;
      return 'not kept';
    }
    const tookMs = this.outside.nowMs() - startMs;
    if (tookMs < ttlMs / 3) return this.lead(claim, ttlMs, startMs);
    this.calls.tooSlow(tookMs, ttlMs / 3);
    return 'not kept';
  }

  private lead(claim: Claim, ttlMs: number, startMs: number): HeldLease {
    const { calls, outside } = this;
    calls.soonEnough();
    const onOver = (): void => {
      this.leaderships.delete(leadership);
      this.letOthersTry();
    };
    const leadership = new HeldLease({ claim, calls, outside, ttlMs, startMs, release: () => this.release(claim), onOver });
    this.leaderships.add(leadership);
    return leadership;
  }

  private letOthersTry(): void {
    this.notBeforeMs = this.outside.nowMs() + this.ttlMs / 4 + this.outside.randomBelow(Math.ceil(this.ttlMs / 4));
  }

  /** Who can't be told finds out by itself. */
  private release(claim: Claim): Promise<void> {
    const releasing = this.calls
      .make(this.ttlMs / 3, (signal) => claim.release(signal))
      .catch(() => undefined)
      .finally(() => this.releases.delete(releasing));
    this.releases.add(releasing);
    return releasing;
  }

  private async untilFreed(claim: Claim, ended: AbortSignal): Promise<void> {
    if (!claim.freed) return this.pause(this.jittered(pollMs), ended);
    const { controller, unlink } = linkedAbort(ended);
    try {
      await Promise.race([claim.freed(controller.signal), this.pause(this.jittered(this.ttlMs / 2), controller.signal)]);
    } finally {
      unlink();
      controller.abort();
    }
  }

  private jittered(ms: number): number {
    return ms * (0.75 + this.outside.randomBelow(1_000) / 2_000);
  }

  private pause(ms: number, ended: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (ended.aborted) return reject(ended.reason);
      if (ms <= 0) return resolve();
      const onEnded = (): void => {
        timer.cancel();
        reject(ended.reason);
      };
      const timer = this.outside.after(ms, () => {
        ended.removeEventListener('abort', onEnded);
        resolve();
      });
      ended.addEventListener('abort', onEnded, { once: true });
    });
  }

  private term({ id, url, address }: Candidate): Term {
    const term = `${id}.${Buffer.from(this.outside.randomBytes(8)).toString('hex')}`;
    return { id: term, record: JSON.stringify({ term, id, ...(url === undefined ? {} : { url }), address }) };
  }
}

/** What others left there, or no candidate's record at all (C22). */
function candidateOf(record: string): Candidate | undefined {
  try {
    const { id, url, address } = JSON.parse(record) as Partial<Candidate>;
    if (typeof id !== 'string' || typeof address !== 'string') return undefined;
    return { id, address, ...(typeof url === 'string' ? { url } : {}) };
  } catch {
    return undefined;
  }
}
