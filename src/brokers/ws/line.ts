/** What both ends do with a line: sends that wait for room, up to a deadline and up to a bound. */
import type { Link } from '../../wire/link.ts';
import { BrokerUnavailableError, MessageTooLargeError } from '../broker.ts';
import { addressed } from './envelope.ts';

export const sendDeadlineMs = 10_000;
/** Of all sends of one line that wait for room; more are refused at once. */
const waitingBytesMax = 64 * 1024 * 1024;
const taken: Promise<void> = Promise.resolve();

export class Line {
  readonly link: Link;
  private waitingBytes = 0;

  constructor(link: Link) {
    this.link = link;
  }

  send(address: string, chunks: readonly Uint8Array[], messageBytesMax: number, highWaterBytes: number): Promise<void> {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (bytes > messageBytesMax) return Promise.reject(new MessageTooLargeError(bytes, messageBytesMax));
    const whole = [addressed(address), ...chunks];
    if (this.link.queuedBytes < highWaterBytes) {
      this.link.send(whole);
      return taken;
    }
    return this.wait(whole, bytes);
  }

  private async wait(whole: readonly Uint8Array[], bytes: number): Promise<void> {
    if (this.waitingBytes > waitingBytesMax)
      throw new BrokerUnavailableError('the other end takes nothing, and too much waits for it already');
    this.waitingBytes += bytes;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new BrokerUnavailableError(`the other end took nothing for ${sendDeadlineMs} ms`)), sendDeadlineMs);
      timer.unref();
    });
    try {
      await Promise.race([this.link.room(), late]);
      if (!this.link.isOpen) throw new BrokerUnavailableError('the line broke');
      this.link.send(whole);
    } finally {
      clearTimeout(timer);
      this.waitingBytes -= bytes;
    }
  }
}
