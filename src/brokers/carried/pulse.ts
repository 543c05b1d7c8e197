/**
 * Whether the carrier still carries: a probe goes round once a second, and the carrier is silent when one did not come
 * back in time (N01). Where traffic moves both ways meanwhile, the probe is only waiting its turn behind it.
 *
 * A process that stood still itself (SIGSTOP, a long computation) gives the carrier its time anew.
 *
 * Silence that begins just after a probe went round is the latest to be noticed: the next probe, `silentMs`, and a tick for each
 * of both are 4.75 s, of the 5 s that are promised.
 */
export interface PulseOptions {
  probeEveryMs: number;
  silentMs: number;
  probe: (number: number) => void;
  onSilent: () => void;
}

export const pulseDefaults = { probeEveryMs: 1_000, silentMs: 3_250 } as const;

const ticksPerProbe = 4;

export class Pulse {
  private readonly options: PulseOptions;
  private timer: NodeJS.Timeout | undefined;
  private number = 0;
  private sentMs: number | undefined;
  private tickMs = 0;
  private lastProbeMs = 0;
  private heardMs = 0;
  private takenMs = 0;
  private readonly round: (() => void)[] = [];

  constructor(options: PulseOptions) {
    this.options = options;
  }

  /** Sends the first probe; resolves when one went round. Never resolves after `stop`. */
  start(): Promise<void> {
    const came = new Promise<void>((resolve) => this.round.push(resolve));
    this.tickMs = performance.now();
    this.send(this.tickMs);
    this.timer = setInterval(() => this.tick(performance.now()), this.options.probeEveryMs / ticksPerProbe);
    this.timer.unref();
    return came;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  cameBack(number: number): void {
    if (number !== this.number) return;
    this.sentMs = undefined;
    for (const resolve of this.round.splice(0)) resolve();
  }

  /** Anything was delivered. */
  heard(): void {
    this.heardMs = performance.now();
  }

  /** Anything was taken. */
  taken(): void {
    this.takenMs = performance.now();
  }

  private send(nowMs: number): void {
    this.sentMs = nowMs;
    this.lastProbeMs = nowMs;
    this.number = (this.number + 1) >>> 0;
    this.options.probe(this.number);
  }

  private tick(nowMs: number): void {
    const { probeEveryMs, silentMs } = this.options;
    const stoodStill = nowMs - this.tickMs > 2 * probeEveryMs;
    this.tickMs = nowMs;
    if (this.sentMs === undefined) {
      if (nowMs - this.lastProbeMs >= probeEveryMs) this.send(nowMs);
      return;
    }
    if (stoodStill) this.sentMs = nowMs;
    const lastSignMs = Math.max(this.sentMs, Math.min(this.heardMs, this.takenMs));
    if (nowMs - lastSignMs < silentMs) return;
    this.stop();
    this.options.onSilent();
  }
}
