/** One timer for the next moment at which the core has something to do. It keeps no process alive. */
import type { Outside, Timer } from '../lib/outside.ts';

const timeoutMsMax = 2 ** 31 - 1;

export class Alarm {
  private readonly outside: Outside;
  private readonly ring: () => void;
  private timer: Timer | undefined;
  private atMs = Number.POSITIVE_INFINITY;

  constructor(outside: Outside, ring: () => void) {
    this.outside = outside;
    this.ring = ring;
  }

  /** Instead of the last one; Infinity: never. */
  set(atMs: number): void {
    if (atMs === this.atMs) return;
    this.timer?.cancel();
    this.atMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const inMs = Math.min(timeoutMsMax, Math.max(1, Math.ceil(atMs - this.outside.nowMs())));
    this.timer = this.outside.after(inMs, () => {
      this.atMs = Number.POSITIVE_INFINITY;
      this.ring();
    });
    this.timer.unref();
  }

  cancel(): void {
    this.timer?.cancel();
  }
}
