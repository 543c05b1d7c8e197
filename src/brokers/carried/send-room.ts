/**
 * The bound of what is on its way out (N14). A send that finds no room waits, in order, and gives up by a deadline; when
 * too much waits already it is refused at once. A single larger message is taken when nothing else is under way.
 */
import { BrokerUnavailableError } from '../broker.ts';

export interface SendRoomOptions {
  bytesMax: number;
  waitingBytesMax: number;
  deadlineMs: number;
}

interface Waiting {
  bytes: number;
  go: () => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class SendRoom {
  private readonly options: SendRoomOptions;
  private readonly waiting: Waiting[] = [];
  private waitingBytes = 0;
  private bytes = 0;
  private isAdmitting = false;

  constructor(options: SendRoomOptions) {
    this.options = options;
  }

  /** `go` is called at once where there is room. Whoever was let in gives back its bytes by `leave`. */
  enter(bytes: number, go: () => void, reject: (error: Error) => void): void {
    if (this.waiting.length === 0 && this.hasRoom(bytes)) {
      this.bytes += bytes;
      return go();
    }
    const { waitingBytesMax, deadlineMs } = this.options;
    if (this.waitingBytes + bytes > waitingBytesMax && this.waiting.length > 0) {
      return reject(new BrokerUnavailableError('it takes nothing, and too much waits for it already'));
    }
    const timer = setTimeout(() => {
      this.waiting.splice(this.waiting.indexOf(entry), 1);
      this.waitingBytes -= bytes;
      reject(new BrokerUnavailableError(`it took nothing for ${deadlineMs} ms`));
      this.admit();
    }, deadlineMs);
    timer.unref();
    const entry: Waiting = { bytes, go, reject, timer };
    this.waiting.push(entry);
    this.waitingBytes += bytes;
  }

  leave(bytes: number): void {
    this.bytes -= bytes;
    this.admit();
  }

  refuseAll(why: Error): void {
    for (const { timer, reject } of this.waiting.splice(0)) {
      clearTimeout(timer);
      reject(why);
    }
    this.waitingBytes = 0;
  }

  /** Whoever is let in may leave at once, thousands in a row: that is for the loop, and not for the stack. */
  private admit(): void {
    if (this.isAdmitting) return;
    this.isAdmitting = true;
    while (this.waiting.length > 0 && this.hasRoom(this.waiting[0]!.bytes)) {
      const { bytes, go, timer } = this.waiting.shift()!;
      clearTimeout(timer);
      this.waitingBytes -= bytes;
      this.bytes += bytes;
      go();
    }
    this.isAdmitting = false;
  }

  private hasRoom(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes <= this.options.bytesMax;
  }
}
