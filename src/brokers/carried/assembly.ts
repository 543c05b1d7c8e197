/**
 * Large messages, put together again from their parts, whatever order those come in.
 *
 * 1. What is not complete is held for a while and up to a bound, for each sender and in all; beyond that the message that
 *    waited longest is given up. The protocol above repeats what matters.
 * 2. A part that contradicts the others of its message is not taken.
 */

export interface Part {
  number: number;
  bytesTotal: number;
  offset: number;
  bytes: Uint8Array;
}

export interface AssemblyOptions {
  messageBytesMax: number;
  /** Of all senders together. */
  bytesMax: number;
  /** Since its last part came. */
  deadlineMs: number;
  /** A message that will not be complete. */
  onGivenUp: (why: string) => void;
}

interface Incomplete {
  key: string;
  sender: string;
  bytesTotal: number;
  bytes: number;
  heardMs: number;
  parts: Map<number, Uint8Array>;
}

/** Of one sender: it says one message after another to each inbox. */
const incompletePerSenderMax = 4;
const partsMax = 16_384;

export class Assembly {
  private readonly options: AssemblyOptions;
  /** Longest silent first. */
  private readonly incomplete = new Map<string, Incomplete>();
  private bytes = 0;

  constructor(options: AssemblyOptions) {
    this.options = options;
  }

  /** The message that this part completes. */
  add(sender: string, inbox: string, part: Part, nowMs: number): Uint8Array | undefined {
    const { number, bytesTotal, offset, bytes } = part;
    if (bytes.length === 0 || offset + bytes.length > bytesTotal || bytesTotal > this.options.messageBytesMax) return undefined;
    const key = `${sender} ${inbox} ${number}`;
    const entry = this.incomplete.get(key) ?? { key, sender, bytesTotal, bytes: 0, heardMs: nowMs, parts: new Map() };
    if (entry.bytesTotal !== bytesTotal || entry.parts.has(offset) || entry.parts.size >= partsMax) return undefined;
    entry.heardMs = nowMs;
    entry.parts.set(offset, bytes);
    entry.bytes += bytes.length;
    this.bytes += bytes.length;
    this.incomplete.delete(key);
    if (entry.bytes < bytesTotal) {
      this.incomplete.set(key, entry);
      this.bound(entry);
      return undefined;
    }
    this.bytes -= entry.bytes;
    return joined(entry);
  }

  /** Called now and then. */
  expire(nowMs: number): void {
    for (const entry of this.incomplete.values()) {
      if (nowMs - entry.heardMs < this.options.deadlineMs) return;
      this.giveUp(entry, 'its other parts did not come in time');
    }
  }

  private bound({ sender, key }: Incomplete): void {
    const others = [...this.incomplete.values()].filter((other) => other.sender === sender && other.key !== key);
    if (others.length >= incompletePerSenderMax) this.giveUp(others[0]!, 'its sender began too many others');
    while (this.bytes > this.options.bytesMax) this.giveUp(this.incomplete.values().next().value!, 'too much waited for other parts');
  }

  private giveUp({ key, bytes, bytesTotal }: Incomplete, why: string): void {
    this.incomplete.delete(key);
    this.bytes -= bytes;
    this.options.onGivenUp(`a message of ${bytesTotal} bytes is given up: ${why}`);
  }
}

/** Undefined where parts overlap: none of them is believed. */
function joined({ parts, bytesTotal }: Incomplete): Uint8Array | undefined {
  const message = Buffer.allocUnsafeSlow(bytesTotal);
  let at = 0;
  for (const [offset, bytes] of [...parts].sort(([a], [b]) => a - b)) {
    if (offset !== at) return undefined;
    message.set(bytes, at);
    at += bytes.length;
  }
  return message;
}
