/**
 * Large messages of a line, cut into chunks on the way out and put together on the way in. The layout is link.ts's.
 *
 * 1. On the way out a few take turns, a chunk each, so that a short one does not wait for a long one; never more of them, nor
 *    more bytes, than the other end lets be under way at once. The others wait for their turn in the order of their sends.
 * 2. On the way in memory grows with what has arrived, never with what was announced, and one line is bounded in both.
 */

/** Of a message in one frame; larger ones are cut. */
export const chunkBytes = 256 * 1024;
export const kinds = { whole: 0, first: 1, next: 2 } as const;

const firstHeadBytes = 9;
const nextHeadBytes = 5;
const takeTurnsMax = 8;
/** What is let in: more than is ever sent, so that ends of different releases get on. */
const unfinishedMax = 64;
/** Of each chunk but a message's last: crumbs would cost more in bookkeeping than they carry. */
const crumbBytes = 16 * 1024;

interface Outgoing {
  id: number;
  chunks: readonly Uint8Array[];
  bytes: number;
  sent: number;
  /** Where in `chunks` it goes on. */
  chunk: number;
  offset: number;
}

export class OutgoingChunks {
  /** Not handed out by `next` yet. */
  queuedBytes = 0;
  private readonly messageBytesMax: number;
  private readonly turnsMax: number;
  private turns: Outgoing[] = [];
  private turnsBytes = 0;
  private waiting: Outgoing[] = [];
  private nextId = 0;

  /** With one turn messages go one after another. */
  constructor(messageBytesMax: number, turnsMax = takeTurnsMax) {
    this.messageBytesMax = messageBytesMax;
    this.turnsMax = turnsMax;
  }

  push(chunks: readonly Uint8Array[], bytes: number): void {
    this.waiting.push({ id: this.nextId++ >>> 0, chunks, bytes, sent: 0, chunk: 0, offset: 0 });
    this.queuedBytes += bytes;
  }

  /** The next frame; undefined if nothing is left. */
  next(): Buffer | undefined {
    this.begin();
    const message = this.turns.shift();
    if (!message) return undefined;
    const frame = cut(message);
    if (message.sent < message.bytes) this.turns.push(message);
    else this.turnsBytes -= message.bytes;
    this.queuedBytes -= frame.length - headBytesOf(frame);
    return frame;
  }

  clear(): void {
    this.turns = [];
    this.waiting = [];
    this.turnsBytes = 0;
    this.queuedBytes = 0;
  }

  private begin(): void {
    while (this.waiting.length > 0 && this.turns.length < this.turnsMax) {
      const { bytes } = this.waiting[0]!;
      if (this.turns.length > 0 && this.turnsBytes + bytes > this.messageBytesMax) return;
      this.turnsBytes += bytes;
      this.turns.push(this.waiting.shift()!);
    }
  }
}

function headBytesOf(frame: Buffer): number {
  return frame[0] === kinds.first ? firstHeadBytes : nextHeadBytes;
}

function cut(message: Outgoing): Buffer {
  const isFirst = message.sent === 0;
  const headBytes = isFirst ? firstHeadBytes : nextHeadBytes;
  const bytes = Math.min(chunkBytes, message.bytes - message.sent);
  const frame = Buffer.allocUnsafe(headBytes + bytes);
  frame[0] = isFirst ? kinds.first : kinds.next;
  frame.writeUInt32LE(message.id, 1);
  if (isFirst) frame.writeUInt32LE(message.bytes, 5);
  let at = headBytes;
  while (at < frame.length) {
    const chunk = message.chunks[message.chunk]!;
    const part = chunk.subarray(message.offset, message.offset + frame.length - at);
    frame.set(part, at);
    at += part.length;
    message.offset += part.length;
    if (message.offset < chunk.length) continue;
    message.chunk++;
    message.offset = 0;
  }
  message.sent += bytes;
  return frame;
}

interface Incoming {
  bytes: number;
  arrived: number;
  parts: Buffer[];
}

/** What the peer did that makes no sense, with the code of RFC 6455 to close with. */
export interface Offence {
  code: number;
  reason: string;
}

/** A message that is whole now, what was wrong, or undefined: more is to come. */
export type Arrived = { message: Uint8Array } | { offence: Offence } | undefined;

export class IncomingChunks {
  private readonly messageBytesMax: number;
  private readonly unfinished = new Map<number, Incoming>();
  private unfinishedBytes = 0;

  constructor(messageBytesMax: number) {
    this.messageBytesMax = messageBytesMax;
  }

  /** A frame of kind first or next. */
  take(frame: Buffer): Arrived {
    const headBytes = headBytesOf(frame);
    if (frame.length <= headBytes) return offence(1002, 'a chunk is empty');
    const id = frame.readUInt32LE(1);
    const refused = frame[0] === kinds.first ? this.begin(id, frame.readUInt32LE(5)) : undefined;
    return refused ?? this.goOn(id, frame.subarray(headBytes));
  }

  clear(): void {
    this.unfinished.clear();
    this.unfinishedBytes = 0;
  }

  private begin(id: number, bytes: number): Arrived {
    if (bytes > this.messageBytesMax) return offence(1009, `a message of ${bytes} bytes exceeds the limit of ${this.messageBytesMax}`);
    if (this.unfinished.has(id)) return offence(1002, 'a message begins twice');
    if (this.unfinished.size >= unfinishedMax) return offence(1008, 'too many large messages at once');
    this.unfinished.set(id, { bytes, arrived: 0, parts: [] });
    return undefined;
  }

  private goOn(id: number, part: Buffer): Arrived {
    const message = this.unfinished.get(id);
    if (!message) return offence(1002, 'a chunk belongs to no message');
    message.arrived += part.length;
    this.unfinishedBytes += part.length;
    if (message.arrived > message.bytes) return offence(1002, 'a message is longer than it said');
    if (this.unfinishedBytes > 2 * this.messageBytesMax) return offence(1009, 'too much is under way at once');
    message.parts.push(part);
    if (message.arrived < message.bytes) return part.length < crumbBytes ? offence(1002, 'a message comes in crumbs') : undefined;
    this.unfinished.delete(id);
    this.unfinishedBytes -= message.bytes;
    return { message: message.parts.length === 1 ? part : Buffer.concat(message.parts, message.bytes) };
  }
}

function offence(code: number, reason: string): Arrived {
  return { offence: { code, reason } };
}
