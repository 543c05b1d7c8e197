/**
 * One carrier, from its opening to its end: subscriptions, outboxes and the pulse belong to it and end with it.
 */

import { BrokerUnavailableError } from '../broker.ts';
import type { Carrier, Subscription } from '../carrier.ts';
import { Outbox, type Sending } from './outbox.ts';
import type { Piece } from './payload.ts';
import { Pulse } from './pulse.ts';

export interface ConnectionOptions {
  carrier: Carrier;
  probeInbox: string;
  probeEveryMs: number;
  silentMs: number;
  roomBytes: number;
  publishDeadlineMs: number;
  seal: (inbox: string, pieces: readonly Piece[]) => Uint8Array;
  /** What an adapter's error says, without credentials. */
  textOf: (error: unknown) => string;
  hear: (inbox: string, payloads: readonly Uint8Array[]) => Promise<void>;
  /** It is over, once. */
  onOver: (why: string) => void;
}

const goodbyeMs = 1_000;

export class Connection {
  readonly carrier: Carrier;
  readonly pulse: Pulse;
  private readonly options: ConnectionOptions;
  private readonly subscriptions = new Map<string, Promise<Subscription>>();
  private readonly ending = new Map<string, Promise<void>>();
  private readonly outboxes = new Map<string, Outbox>();
  private whyOver: string | undefined;
  private readonly idle: (() => void)[] = [];

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.carrier = options.carrier;
    this.pulse = new Pulse({
      probeEveryMs: options.probeEveryMs,
      silentMs: options.silentMs,
      probe: (number) => this.push(options.probeInbox, { kind: 'probe', number, chunks: [], bytes: 0, settle: () => undefined }),
      onSilent: () => this.end(`connected, but silent: a probe did not come back within ${options.silentMs} ms`),
    });
  }

  get isOver(): boolean {
    return this.whyOver !== undefined;
  }

  /** A subscription that fails is the end of the connection: nothing is heard of what it was for. */
  async subscribe(inbox: string): Promise<void> {
    const known = this.subscriptions.get(inbox);
    if (known) return void (await known);
    const hear = (payloads: readonly Uint8Array[]): Promise<void> => {
      if (this.isOver) return Promise.resolve();
      this.pulse.heard();
      return this.options.hear(inbox, payloads);
    };
    // An older one may still take what is meant for the new one.
    const older = this.ending.get(inbox) ?? Promise.resolve();
    const subscription = older.then(() => this.carrier.subscribe(inbox, hear));
    this.subscriptions.set(inbox, subscription);
    try {
      await subscription;
    } catch (error) {
      this.end(`it does not let us listen: ${this.options.textOf(error)}`);
      throw error;
    }
  }

  unsubscribe(inbox: string): Promise<void> {
    const subscription = this.subscriptions.get(inbox);
    if (!subscription) return Promise.resolve();
    this.subscriptions.delete(inbox);
    const ended = subscription
      .then((subscribed) => subscribed.close())
      .catch(() => undefined)
      .then(() => {
        if (this.ending.get(inbox) === ended) this.ending.delete(inbox);
      });
    this.ending.set(inbox, ended);
    return ended;
  }

  push(inbox: string, sending: Sending): void {
    if (this.whyOver !== undefined) return sending.settle(new BrokerUnavailableError(this.whyOver));
    let outbox = this.outboxes.get(inbox);
    if (!outbox) {
      const { roomBytes, publishDeadlineMs: deadlineMs } = this.options;
      const publish = (payloads: readonly (readonly Piece[])[]): Promise<void> => this.publish(inbox, payloads);
      outbox = new Outbox({ roomBytes, deadlineMs, publish, onIdle: () => this.emptied(inbox) });
      this.outboxes.set(inbox, outbox);
    }
    outbox.push(sending);
  }

  /** The carrier is gone, or has to go: nothing more is heard, and what waits to be sent fails. */
  end(why: string): void {
    if (this.whyOver !== undefined) return;
    this.stop(why);
    // First: what waits for room is refused then, and is not let in to a connection that is over.
    this.options.onOver(why);
    this.refuse(why);
  }

  /** Lets out what was sent last (a goodbye), for a moment, and goes. */
  async close(): Promise<void> {
    if (!this.isOver && this.outboxes.size > 0) await Promise.race([new Promise<void>((resolve) => this.idle.push(resolve)), passed()]);
    if (!this.isOver) await Promise.race([Promise.all([...this.subscriptions.keys()].map((inbox) => this.unsubscribe(inbox))), passed()]);
    if (!this.isOver) this.stop('the broker was closed');
    this.refuse('the broker was closed');
    await Promise.race([this.carrier.close(), passed()]);
  }

  private stop(why: string): void {
    this.whyOver = why;
    void this.carrier.close().catch(() => undefined);
    this.pulse.stop();
  }

  private refuse(why: string): void {
    const error = new BrokerUnavailableError(why);
    for (const outbox of this.outboxes.values()) outbox.end(error);
    for (const resolve of this.idle.splice(0)) resolve();
  }

  private async publish(inbox: string, payloads: readonly (readonly Piece[])[]): Promise<void> {
    try {
      await this.carrier.publish(
        inbox,
        payloads.map((pieces) => this.options.seal(inbox, pieces)),
      );
    } catch (error) {
      throw new BrokerUnavailableError(this.options.textOf(error), error);
    }
    this.pulse.taken();
  }

  private emptied(inbox: string): void {
    this.outboxes.delete(inbox);
    if (this.outboxes.size === 0) for (const resolve of this.idle.splice(0)) resolve();
  }
}

function passed(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, goodbyeMs).unref());
}
