/**
 * One listener of an inbox on NATS: pulls where messages wait for it, and hands over together what arrived while a handle
 * was under way. Of a plain subject it holds so much and loses the rest, with a warning.
 */
import type { Msg, Subscription as NatsSubscription } from '@nats-io/transport-node';
import type { Subscription } from '../carrier.ts';

const fetchCount = 64;
/** Of a consumer, fetched by listeners that died a moment ago, too. */
export const unacknowledgedMax = 4 * fetchCount;
/** After so long the next listener gets what a dead one had. */
export const acknowledgeMs = 6_000;
const underWayEveryMs = 2_000;
const pullMs = 5_000;
const pullGraceMs = 3_000;
const heldBytesMax = 64 * 1024 * 1024;

export interface Pulls {
  /** Where messages come, and why there are none. */
  answers: string;
  ask: (batch: number, expiresMs: number) => void;
}

export interface ListeningOptions {
  inbox: string;
  handle: (payloads: readonly Uint8Array[]) => Promise<void>;
  /** Undefined for a plain subject. */
  pulls: Pulls | undefined;
  onWarning: (line: string) => void;
  onLost: (why: string) => void;
}

const underWay = new TextEncoder().encode('+WPI');
const acknowledged = new TextEncoder().encode('+ACK');

/** One listener's messages, those that arrive while a handle is under way gathered for the next one. */
export class Listening implements Subscription {
  private readonly options: ListeningOptions;
  private waiting: Msg[] = [];
  private waitingBytes = 0;
  private under: readonly Msg[] = [];
  private pumping: Promise<void> | undefined;
  private isClosed = false;
  private subscription: NatsSubscription | undefined;
  private onEnd: (() => void) | undefined;
  /** Messages that the request under way may still bring. */
  private asked = 0;
  private askedMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private hasWarned = false;

  constructor(options: ListeningOptions) {
    this.options = options;
  }

  start(subscription: NatsSubscription, onEnd: () => void): void {
    this.subscription = subscription;
    this.onEnd = onEnd;
    if (!this.options.pulls) return;
    this.pull();
    // Through the poll phase first, where answers are heard that came while this process stood still.
    this.timer = setInterval(() => setImmediate(() => this.tick()), underWayEveryMs);
    this.timer.unref();
  }

  arrived(message: Msg): void {
    if (this.isClosed) return;
    if (this.options.pulls) {
      if (!message.reply?.startsWith('$JS.ACK.')) return this.answered(message);
      this.asked -= 1;
    } else if (this.waitingBytes + message.data.length > heldBytesMax) {
      return this.overflow();
    }
    this.waiting.push(message);
    this.waitingBytes += message.data.length;
    this.pumping ??= this.pump();
  }

  /** What arrived and was not handed over is not acknowledged: it comes to the next listener. */
  async close(): Promise<void> {
    this.end();
    this.subscription?.unsubscribe();
    await this.pumping;
  }

  end(): void {
    this.isClosed = true;
    this.waiting = [];
    this.waitingBytes = 0;
    clearInterval(this.timer);
    this.onEnd?.();
  }

  private async pump(): Promise<void> {
    // All that came in one piece from the socket is handed over together.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      this.under = this.waiting;
      this.waiting = [];
      this.waitingBytes = 0;
      await this.options.handle(this.under.map(({ data }) => data));
      if (this.options.pulls) for (const message of this.under) this.tell(message, acknowledged);
      this.under = [];
      this.hasWarned = false;
      this.pull();
    }
    this.pumping = undefined;
  }

  private pull(): void {
    const { pulls } = this.options;
    const held = this.waiting.length + this.under.length;
    if (!pulls || this.isClosed || this.asked > 0 || held > fetchCount / 2) return;
    this.asked = fetchCount - held;
    this.askedMs = performance.now();
    pulls.ask(this.asked, pullMs);
  }

  /** A request ended without (all of) its messages. */
  private answered({ headers }: Msg): void {
    const code = headers?.code ?? 0;
    const isOrdinary = code === 404 || code === 408 || (code === 409 && /batch|leadership|maxbytes/i.test(headers?.description ?? ''));
    if (code === 100) return;
    if (!isOrdinary) return this.options.onLost(`${this.options.inbox} is served no more: ${code} ${headers?.description ?? ''}`.trim());
    this.asked = 0;
    this.pull();
  }

  private tick(): void {
    if (this.isClosed) return;
    for (const message of [...this.under, ...this.waiting]) this.tell(message, underWay);
    if (this.asked > 0 && performance.now() - this.askedMs > pullMs + pullGraceMs) this.options.onLost('JetStream does not answer');
  }

  private tell(message: Msg, word: Uint8Array): void {
    // A connection that is over takes no words, and needs none.
    if (!this.isClosed || word === acknowledged) {
      try {
        message.respond(word);
      } catch {}
    }
  }

  private overflow(): void {
    if (this.hasWarned) return;
    this.hasWarned = true;
    const { inbox, onWarning } = this.options;
    onWarning(`${inbox} gets more than it takes: what exceeds ${heldBytesMax} bytes is lost, and has to be said again`);
  }
}
