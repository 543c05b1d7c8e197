/**
 * What is on its way to one inbox. One publish is under way at a time; what is sent meanwhile gathers and goes out
 * together in as few payloads as possible, so that a small message costs far less than a round trip.
 *
 * 1. Order is kept. A message larger than a payload goes in parts, without being copied as a whole.
 * 2. A send settles when the last publish that carries a part of it has; if one fails, the rest of it is not sent.
 * 3. A publish that is not answered in time fails, and with it all that waits and comes until the answer is there: in order
 *    nothing can be sent before.
 */
import { BrokerUnavailableError } from '../broker.ts';
import type { Piece } from './payload.ts';
import { partHeadBytes, pieceBytes } from './payload.ts';

export interface Sending {
  kind: 'message' | 'probe';
  number: number;
  chunks: readonly Uint8Array[];
  bytes: number;
  settle: (error?: Error) => void;
}

export interface OutboxOptions {
  /** Frames of one payload. */
  roomBytes: number;
  publish: (payloads: readonly (readonly Piece[])[]) => Promise<void>;
  /** How long a publish may stay without an answer. */
  deadlineMs: number;
  onIdle: () => void;
}

/** Handed to one publish. */
const publishBytesMax = 4 * 1024 * 1024;

export class Outbox {
  private readonly options: OutboxOptions;
  private queue: Sending[] = [];
  /** Complete with the publish under way. */
  private under: Sending[] = [];
  /** Bytes of the first of the queue that are published already. */
  private offset = 0;
  private isPumping = false;
  private isOver = false;
  /** The connection is over, or a publish is late. */
  private refused: Error | undefined;

  constructor(options: OutboxOptions) {
    this.options = options;
  }

  push(sending: Sending): void {
    const { refused } = this;
    // Later: settling makes room, and lets the next one in.
    if (refused) return queueMicrotask(() => sending.settle(refused));
    this.queue.push(sending);
    if (this.isPumping) return;
    this.isPumping = true;
    queueMicrotask(() => void this.pump());
  }

  /** What waits fails, and what is under way is not waited for. */
  end(why: Error): void {
    this.isOver = true;
    this.refuse(why);
  }

  private refuse(why: Error): void {
    this.refused = why;
    this.offset = 0;
    for (const { settle } of [...this.under.splice(0), ...this.queue.splice(0)]) settle(why);
  }

  private async pump(): Promise<void> {
    while (this.queue.length > 0) {
      const { payloads, complete, begun } = this.pack();
      const { deadlineMs, publish } = this.options;
      this.under = complete;
      const late = setTimeout(() => this.refuse(new BrokerUnavailableError(`not taken within ${deadlineMs / 1000} s`)), deadlineMs).unref();
      try {
        await publish(payloads);
        for (const { settle } of this.under.splice(0)) settle();
      } catch (error) {
        for (const { settle } of this.under.splice(0)) settle(error as Error);
        if (begun && this.queue[0] === begun) {
          this.queue.shift();
          this.offset = 0;
          begun.settle(error as Error);
        }
      }
      clearTimeout(late);
      if (!this.isOver) this.refused = undefined;
    }
    this.isPumping = false;
    this.options.onIdle();
  }

  /** `begun`: the message of which only a part is in these payloads. */
  private pack(): { payloads: Piece[][]; complete: Sending[]; begun: Sending | undefined } {
    const { roomBytes } = this.options;
    const payloads: Piece[][] = [];
    const complete: Sending[] = [];
    let payload: Piece[] = [];
    let room = roomBytes;
    let left = publishBytesMax;
    let taken = 0;
    const next = (): void => {
      if (payload.length > 0) payloads.push(payload);
      payload = [];
      room = roomBytes;
    };
    while (taken < this.queue.length && left > 0) {
      const { kind, number, chunks, bytes } = this.queue[taken]!;
      const whole = pieceBytes(kind, bytes);
      if (whole <= roomBytes) {
        if (whole > room) next();
        payload.push({ kind, number, chunks, bytesTotal: bytes, offset: 0, bytes });
        room -= whole;
        left -= whole;
      } else {
        if (room < roomBytes) next();
        const part = Math.min(bytes - this.offset, roomBytes - partHeadBytes);
        payload.push({ kind: 'part', number, chunks, bytesTotal: bytes, offset: this.offset, bytes: part });
        this.offset += part;
        left -= part;
        next();
        if (this.offset < bytes) continue;
        this.offset = 0;
      }
      complete.push(this.queue[taken]!);
      taken += 1;
    }
    next();
    this.queue = this.queue.slice(taken);
    return { payloads, complete, begun: this.offset > 0 ? this.queue[0] : undefined };
  }
}
