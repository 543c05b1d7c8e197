/**
 * One listener's messages: handed over in batches, one handle at a time. A handle that throws gets the same batch once
 * more, after that it is dropped. While more than `highWaterBytes` wait, the lines that bring more are held.
 */
import type { Line } from './line.ts';

type Handle = (messages: readonly Uint8Array[]) => void | Promise<void>;

const highWaterBytes = 16 * 1024 * 1024;

export class Inbox {
  private readonly handle: Handle;
  private messages: Uint8Array[] = [];
  private bytes = 0;
  private phase: 'idle' | 'due' | 'busy' = 'idle';
  private isClosed = false;
  private readonly held = new Set<Line>();
  private onIdle: (() => void)[] = [];

  constructor(handle: Handle) {
    this.handle = handle;
  }

  push(message: Uint8Array, from: Line): void {
    if (this.isClosed) return;
    this.messages.push(message);
    this.bytes += message.length;
    if (this.bytes > highWaterBytes && !this.held.has(from)) {
      this.held.add(from);
      from.hold();
    }
    if (this.phase !== 'idle') return;
    this.phase = 'due';
    queueMicrotask(this.deliver);
  }

  /** Resolves when no handle is under way. */
  close(): Promise<void> {
    this.isClosed = true;
    this.messages = [];
    this.bytes = 0;
    this.release();
    if (this.phase !== 'busy') return Promise.resolve();
    return new Promise((resolve) => this.onIdle.push(resolve));
  }

  private readonly deliver = (): void => {
    if (this.isClosed) {
      this.phase = 'idle';
      return;
    }
    const batch = this.messages;
    this.messages = [];
    this.phase = 'busy';
    this.hand(batch, true);
  };

  private hand(batch: readonly Uint8Array[], again: boolean): void {
    try {
      const pending = this.handle(batch);
      if (pending === undefined) return this.done(batch);
      pending.then(
        () => this.done(batch),
        () => this.failed(batch, again),
      );
    } catch {
      this.failed(batch, again);
    }
  }

  private failed(batch: readonly Uint8Array[], again: boolean): void {
    if (again && !this.isClosed) this.hand(batch, false);
    else this.done(batch);
  }

  private done(batch: readonly Uint8Array[]): void {
    this.phase = 'idle';
    if (this.isClosed) {
      for (const resolve of this.onIdle.splice(0)) resolve();
      return;
    }
    for (const message of batch) this.bytes -= message.length;
    if (this.bytes <= highWaterBytes) this.release();
    if (this.messages.length === 0) return;
    this.phase = 'due';
    queueMicrotask(this.deliver);
  }

  private release(): void {
    for (const line of this.held) line.letGo();
    this.held.clear();
  }
}
