/**
 * What was said about tasks and is not acknowledged as durable (rule 8): numbered from 1 without a gap, kept
 * until the number is acknowledged, said again when nothing is heard for a while.
 *
 * Numbers start anew with each term: a leader acknowledges by "everything up to n", and the one that takes over
 * knows nothing of what its predecessor acknowledged. Frames of the older term cannot be mistaken for these,
 * they name it and are dropped.
 */
import type { NumberedMessage } from '../core/messages.ts';
import type { HeldAssignment } from './held.ts';

export interface Said {
  message: NumberedMessage;
  held: HeldAssignment;
  bytes: number;
  /** Undefined: not yet. */
  sentMs: number | undefined;
}

/** Said again at once: as much as fits one turn; the rest follows with the next tick. */
const resendMessagesMax = 64;
const resendBytesMax = 4 * 1024 * 1024;
const resendPausesMax = 8;

export class Outbox {
  private entries: Said[] = [];
  private first = 1;
  /** The number that the next message has to carry. */
  next = 1;
  /** Grows while nothing is acknowledged. */
  private pauses = 1;
  bytes = 0;

  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  /** `message` carries the number `next`. */
  add(held: HeldAssignment, message: NumberedMessage): Said {
    let bytes = 0;
    if ('body' in message) for (const chunk of message.body) bytes += chunk.length;
    const said: Said = { message, held, bytes, sentMs: undefined };
    this.next += 1;
    this.bytes += bytes;
    this.entries.push(said);
    return said;
  }

  /** What the acknowledgement covers. A repeated or late one covers nothing. */
  acknowledge(number: number): Said[] {
    const count = Math.min(number, this.next - 1) - this.first + 1;
    if (count <= 0) return [];
    const done = this.entries.splice(0, count);
    this.first += count;
    this.pauses = 1;
    for (const said of done) this.bytes -= said.bytes;
    return done;
  }

  /** What has to be said (again) now, oldest first. */
  due(nowMs: number, resendMs: number): NumberedMessage[] {
    const messages: NumberedMessage[] = [];
    let bytes = 0;
    let isRepeated = false;
    for (const said of this.entries) {
      if (said.sentMs !== undefined && nowMs - said.sentMs < resendMs * this.pauses) continue;
      if (messages.length === resendMessagesMax || (messages.length > 0 && bytes + said.bytes > resendBytesMax)) break;
      isRepeated ||= said.sentMs !== undefined;
      said.sentMs = nowMs;
      bytes += said.bytes;
      messages.push(said.message);
    }
    if (isRepeated) this.pauses = Math.min(this.pauses * 2, resendPausesMax);
    return messages;
  }

  /** For a new term: all of it is unsaid, under new numbers. */
  renumber(): void {
    this.first = 1;
    this.next = 1;
    this.pauses = 1;
    for (const said of this.entries) {
      said.message = { ...said.message, number: this.next };
      said.sentMs = undefined;
      this.next += 1;
    }
  }

  clear(): void {
    this.entries = [];
    this.bytes = 0;
    this.renumber();
  }
}
