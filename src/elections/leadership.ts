/**
 * A lease that is held: renews it, and ends by itself at a deadline that is counted from the start of the attempt that last
 * succeeded. Time is judged wherever it matters, not only when a timer gets its turn.
 */
import { ShoalError } from '../lib/errors.ts';
import type { Outside, Timer } from '../lib/outside.ts';
import type { Calls } from './calls.ts';
import type { Leadership } from './election.ts';
import type { Claim } from './lease.ts';

export interface HeldLeaseOptions {
  claim: Claim;
  calls: Calls;
  outside: Outside;
  ttlMs: number;
  /** When the attempt that won it began. */
  startMs: number;
  release: () => Promise<void>;
  /** Lost or resigned. */
  onOver: () => void;
}

export class HeldLease implements Leadership {
  readonly lost: AbortSignal;
  readonly ttlMs: number;
  private readonly options: HeldLeaseOptions;
  private readonly losing = new AbortController();
  private deadlineMs: number;
  private alarm: Timer | undefined;
  private renewal: Timer | undefined;
  private isLost = false;
  /** Why the last renewal failed. */
  private trouble: string | undefined;
  private resigned: Promise<void> | undefined;

  constructor(options: HeldLeaseOptions) {
    this.options = options;
    this.ttlMs = options.ttlMs;
    this.deadlineMs = options.startMs + (this.ttlMs * 2) / 3;
    // After a pause, sockets are heard before timers: whoever asks must not be told what was true before it.
    this.lost = Object.defineProperty(this.losing.signal, 'aborted', { get: () => this.isOverdue() });
    this.setAlarm();
    this.renewAt(options.startMs + this.ttlMs / 3);
  }

  resign(): Promise<void> {
    this.resigned ??= this.isOverdue() ? Promise.resolve() : this.letGo();
    return this.resigned;
  }

  private async letGo(): Promise<void> {
    this.over();
    await this.options.release();
  }

  private get isOver(): boolean {
    return this.isLost || this.resigned !== undefined;
  }

  private over(): void {
    this.alarm?.cancel();
    this.renewal?.cancel();
    this.options.onOver();
  }

  private isOverdue(): boolean {
    if (!this.isOver && this.options.outside.nowMs() >= this.deadlineMs)
      this.lose(`it was not renewed in time${this.trouble ? `: ${this.trouble}` : ''}`);
    return this.isLost;
  }

  private lose(why: string): void {
    this.isLost = true;
    this.over();
    this.losing.abort(new ShoalError('SH3013', 'this coordinator leads no more', { why }));
    // Whatever is left of the lease would only keep the others waiting.
    void this.options.release();
  }

  private setAlarm(): void {
    const { outside } = this.options;
    this.alarm = outside.after(Math.max(1, this.deadlineMs - outside.nowMs()), () => {
      if (!this.isOverdue() && !this.isOver) this.setAlarm();
    });
  }

  private renewAt(whenMs: number): void {
    const { outside } = this.options;
    this.renewal = outside.after(Math.max(0, whenMs - outside.nowMs()), () => void this.renew());
  }

  private async renew(): Promise<void> {
    if (this.isOver || this.isOverdue()) return;
    const { claim, calls, outside } = this.options;
    const startMs = outside.nowMs();
    try {
      const isHeld = await calls.make(this.deadlineMs - startMs, (signal) => claim.renew(signal));
      if (this.isOver || this.isOverdue()) return;
      if (!isHeld) return this.lose('another took the lease, or it was removed');
      this.trouble = undefined;
      this.deadlineMs = startMs + (this.ttlMs * 2) / 3;
      this.renewAt(startMs + this.ttlMs / 3);
    } catch (error) {
      // Warned of once by `calls`; the alarm ends it.
      this.trouble = (error as ShoalError).why;
      if (!this.isOver) this.renewAt(outside.nowMs() + this.ttlMs / 20);
    }
  }
}
