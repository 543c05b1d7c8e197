/**
 * What both ends do with a line.
 *
 * 1. Sends that find no room wait in order, up to a deadline and up to a bound; beyond it they are refused at once (N14).
 * 2. It is read while none of the inboxes that it fills is full.
 */
import type { Link } from '../../wire/link.ts';
import { BrokerUnavailableError, MessageTooLargeError } from '../broker.ts';
import { addressed } from './envelope.ts';

export interface LineOptions {
  messageBytesMax: number;
  highWaterBytes: number;
  sendDeadlineMs?: number | undefined;
}

interface WaitingSend {
  whole: readonly Uint8Array[];
  bytes: number;
  resolve: () => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export const sendDeadlineMsDefault = 10_000;
/** Of all sends of one line that wait for room. */
const waitingBytesMax = 64 * 1024 * 1024;
const taken: Promise<void> = Promise.resolve();

export class Line {
  readonly link: Link;
  private readonly options: LineOptions;
  private readonly waiting: WaitingSend[] = [];
  private waitingBytes = 0;
  private isDraining = false;
  private holds = 0;

  constructor(link: Link, options: LineOptions) {
    this.link = link;
    this.options = options;
  }

  send(address: string, chunks: readonly Uint8Array[]): Promise<void> {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    const { messageBytesMax } = this.options;
    if (bytes > messageBytesMax) return Promise.reject(new MessageTooLargeError(bytes, messageBytesMax));
    const whole = [addressed(address), ...chunks];
    if (this.waiting.length > 0 || !this.hasRoom()) return this.wait(whole, bytes);
    this.link.send(whole);
    return taken;
  }

  hold(): void {
    if (this.holds++ === 0) this.link.pause();
  }

  letGo(): void {
    if (--this.holds === 0) this.link.resume();
  }

  private hasRoom(): boolean {
    return this.link.queuedBytes < this.options.highWaterBytes;
  }

  private wait(whole: readonly Uint8Array[], bytes: number): Promise<void> {
    if (this.waitingBytes + bytes > waitingBytesMax && this.waiting.length > 0) {
      return Promise.reject(new BrokerUnavailableError('the other end takes nothing, and too much waits for it already'));
    }
    const deadlineMs = this.options.sendDeadlineMs ?? sendDeadlineMsDefault;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(send), 1);
        this.waitingBytes -= bytes;
        reject(new BrokerUnavailableError(`the other end took nothing for ${deadlineMs} ms`));
      }, deadlineMs);
      timer.unref();
      const send: WaitingSend = { whole, bytes, resolve, reject, timer };
      this.waiting.push(send);
      this.waitingBytes += bytes;
      if (!this.isDraining) void this.drain();
    });
  }

  private async drain(): Promise<void> {
    this.isDraining = true;
    while (this.waiting.length > 0) {
      await this.link.room();
      while (this.waiting.length > 0 && (!this.link.isOpen || this.hasRoom())) this.settle(this.waiting.shift()!);
    }
    this.isDraining = false;
  }

  private settle({ whole, bytes, resolve, reject, timer }: WaitingSend): void {
    clearTimeout(timer);
    this.waitingBytes -= bytes;
    if (!this.link.isOpen) return reject(new BrokerUnavailableError('the line broke'));
    this.link.send(whole);
    resolve();
  }
}
