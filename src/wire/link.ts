/**
 * A line of messages over one WebSocket, the same at both ends: what the `ws:` broker and the client's session travel on.
 *
 * 1. Messages arrive whole, and those of up to `chunkBytes` in the order in which they were sent; all of them on a line that
 *    `isOrdered`.
 * 2. A larger one goes in chunks, of which few are in the socket at a time, so that what is small (a heartbeat) never
 *    waits behind 100 MB (N12). On an ordered line only pings overtake.
 * 3. What waits to be written is counted. Above `highWaterBytes` the owner should wait for room; a peer that takes
 *    nothing for `stalledMs` while something waits is cut off, so that memory stays flat (N10).
 * 4. Both ends ping. One that was not heard of for two intervals is gone, whatever TCP believes (N11). What arrived while this
 *    process was busy is read before that is judged (K05).
 *
 * ```
 * u8 0   whole: the message, to the end
 * u8 1   first chunk: u32 id, u32 bytes in all, then bytes       (little endian)
 * u8 2   next chunk: u32 id, then bytes
 * ```
 */
import type { WebSocket } from 'ws';
import { printableLine } from '../lib/printable.ts';
import { chunkBytes, IncomingChunks, kinds, OutgoingChunks } from './chunks.ts';

export const protocolVersion = 1;

export interface LinkOptions {
  /** Called from a clean stack; the bytes are the listener's own. */
  onMessage(message: Uint8Array): void;
  /** Once. `why` is one line for people. */
  onClose(why: string, code?: number): void;
  /** One message, in either direction; a larger one ends the line. */
  messageBytesMax: number;
  /** What is sent arrives in that order, also behind large messages: for ends that say one thing after another. Default false. */
  isOrdered?: boolean;
  highWaterBytes?: number;
  pingMs?: number;
  stalledMs?: number;
}

export interface Link {
  readonly isOpen: boolean;
  /** Bytes that wait to be written, in the socket's buffer and before it. */
  readonly queuedBytes: number;
  /** Takes it in any case; dropped when the line is closed. The caller leaves the chunks unchanged. */
  send(chunks: readonly Uint8Array[]): void;
  /** When `queuedBytes` is below the high-water mark, or the line is closed. */
  room(): Promise<void>;
  /** Stops reading from the socket, so that the peer has to wait; while paused the peer's silence is not held against it. */
  pause(): void;
  resume(): void;
  /** Hears nothing more, sends what waits, within a second, then closes. */
  close(code?: number, reason?: string): void;
}

/** Chunks of large messages are written while less than this waits in the socket. */
const socketBytesMax = 1024 * 1024;
/** Below this a message is copied, so that whoever keeps it does not keep all that was read together with it. */
const copyBytesMax = 4 * 1024;
/** After a close: how long a peer may take nothing, and how long all that waits for it may take. */
const closeWaitMs = 1_000;
const closeWaitMsMax = 30_000;
/** A close frame has room for so much. */
const reasonBytesMax = 120;
/** What `ws` must let through: a chunk and its head. */
export const frameBytesMax = chunkBytes + 1024;

/** `socket` is open, or was a moment ago; one that is paused is read from now on. */
export function openLink(socket: WebSocket, options: LinkOptions): Link {
  return new SocketLink(socket, options);
}

class SocketLink implements Link {
  private readonly socket: WebSocket;
  private readonly options: LinkOptions;
  private readonly highWaterBytes: number;
  private readonly pingMs: number;
  private readonly outgoing: OutgoingChunks;
  private readonly incoming: IncomingChunks;
  private isOver = false;
  private isPaused = false;
  private isPumping = false;
  /** What the socket is closed with, behind all that waits. */
  private farewell: { code: number; reason: Buffer } | undefined;
  private heardMs = performance.now();
  private movedMs = performance.now();
  private lookedMs = performance.now();
  private readonly pinger: NodeJS.Timeout;
  private judge: NodeJS.Timeout | undefined;
  private waiting: (() => void)[] = [];

  constructor(socket: WebSocket, options: LinkOptions) {
    this.socket = socket;
    this.options = options;
    this.highWaterBytes = options.highWaterBytes ?? 8 * 1024 * 1024;
    this.pingMs = options.pingMs ?? 2_000;
    this.outgoing = new OutgoingChunks(options.messageBytesMax, options.isOrdered ? 1 : undefined);
    this.incoming = new IncomingChunks(options.messageBytesMax);
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer, isBinary: boolean) => this.hear(data, isBinary));
    socket.on('ping', () => this.heard());
    socket.on('pong', () => this.heard());
    socket.on('error', (error) => this.over(error.message));
    socket.on('close', (code, reason) => this.over(reason.length > 0 ? printableLine(reason.toString()) : closeText(code), code));
    this.pinger = setInterval(() => this.look(options.stalledMs ?? 30_000), this.pingMs);
    this.pinger.unref();
    if (socket.readyState === socket.CLOSED) setImmediate(() => this.over(closeText(1006)));
    else socket.resume();
  }

  get isOpen(): boolean {
    return !this.isOver;
  }

  get queuedBytes(): number {
    return this.outgoing.queuedBytes + this.socket.bufferedAmount;
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.isOver) return;
    if (this.queuedBytes === 0) this.movedMs = performance.now();
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    const { messageBytesMax, isOrdered } = this.options;
    if (bytes <= chunkBytes && !(isOrdered && this.outgoing.queuedBytes > 0)) return this.write(whole(chunks, bytes));
    if (bytes > messageBytesMax) return this.refuse(1009, `a message of ${bytes} bytes exceeds the limit of ${messageBytesMax}`);
    this.outgoing.push(chunks, bytes);
    this.pump();
  }

  room(): Promise<void> {
    if (this.isOver || this.queuedBytes < this.highWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  pause(): void {
    if (this.isOver) return;
    this.isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.heard();
    this.socket.resume();
  }

  close(code = 1000, reason = ''): void {
    if (this.isOver) return;
    this.farewell = { code, reason: Buffer.from(reason.replace(/[^ -~]/g, '?')).subarray(0, reasonBytesMax) };
    this.end(reason === '' ? 'closed' : reason);
    this.movedMs = performance.now();
    this.endWithin(this.movedMs + closeWaitMsMax);
    // The answer to the close frame is to be read.
    this.resume();
    this.pump();
  }

  /** What was taken before the close goes out for as long as it moves. */
  private endWithin(deadlineMs: number): void {
    const leftMs = Math.min(this.movedMs + closeWaitMs, deadlineMs) - performance.now();
    if (leftMs <= 0) return this.socket.terminate();
    // Behind what arrived meanwhile: this process may be what stood still.
    setTimeout(() => setImmediate(() => this.endWithin(deadlineMs)), leftMs).unref();
  }

  // ---- out ----

  private readonly onWritten = (): void => {
    this.movedMs = performance.now();
    if (this.outgoing.queuedBytes > 0) this.pump();
    if (this.waiting.length > 0 && this.queuedBytes < this.highWaterBytes) this.release();
  };

  private write(frame: Buffer): void {
    this.socket.send(frame, { binary: true, compress: false }, this.onWritten);
  }

  private pump(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    while (this.socket.readyState === this.socket.OPEN && this.socket.bufferedAmount < socketBytesMax) {
      const frame = this.outgoing.next();
      if (!frame) break;
      this.write(frame);
    }
    this.isPumping = false;
    if (this.farewell && this.outgoing.queuedBytes === 0) this.socket.close(this.farewell.code, this.farewell.reason);
  }

  private release(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  // ---- in ----

  private hear(data: Buffer, isBinary: boolean): void {
    if (this.isOver) return;
    this.heard();
    if (!isBinary || data.length === 0) return this.refuse(1003, 'only binary messages are understood');
    const kind = data[0];
    if (kind === kinds.whole) this.options.onMessage(data.length < copyBytesMax ? new Uint8Array(data.subarray(1)) : data.subarray(1));
    else if (kind === kinds.first || kind === kinds.next) this.hearChunk(data);
    else this.refuse(1002, 'a frame makes no sense');
  }

  private hearChunk(data: Buffer): void {
    const arrived = this.incoming.take(data);
    if (!arrived) return;
    if ('message' in arrived) this.options.onMessage(arrived.message);
    else this.refuse(arrived.offence.code, arrived.offence.reason);
  }

  /** Closes at once: nothing that waits is worth sending to whom we do not understand. */
  private refuse(code: number, reason: string): void {
    this.outgoing.clear();
    this.close(code, reason);
  }

  // ---- life ----

  private heard(): void {
    this.heardMs = performance.now();
  }

  private look(stalledMs: number): void {
    const nowMs = performance.now();
    // We stood still ourselves: what was said meanwhile has not been heard yet (K05).
    if (nowMs - this.lookedMs > 2 * this.pingMs) this.heardMs = nowMs;
    this.lookedMs = nowMs;
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (this.queuedBytes === 0) this.movedMs = nowMs;
    else if (nowMs - this.movedMs > stalledMs) return this.cut(`took nothing for ${Math.round(nowMs - this.movedMs)} ms`);
    const silentMs = nowMs - this.heardMs;
    if (silentMs >= this.pingMs / 2) this.suspect(2 * this.pingMs - silentMs);
    this.socket.ping();
  }

  /** After the time that is left the peer has been silent for two intervals, unless it is heard of. */
  private suspect(leftMs: number): void {
    clearTimeout(this.judge);
    this.judge = setTimeout(() => {
      // Timers come before sockets in the event loop's round; what waits in the socket counts.
      setImmediate(() => {
        const silentMs = performance.now() - this.heardMs;
        if (!this.isPaused && silentMs >= 2 * this.pingMs) this.cut(`silent for ${Math.round(silentMs)} ms`);
      });
    }, leftMs);
    this.judge.unref();
  }

  private cut(why: string): void {
    if (this.isOver) return;
    this.socket.terminate();
    this.over(why);
  }

  /** Nothing more comes or goes. */
  private over(why: string, code?: number): void {
    this.outgoing.clear();
    this.end(why, code);
  }

  /** Nothing more comes, or is taken. */
  private end(why: string, code?: number): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.pinger);
    clearTimeout(this.judge);
    this.incoming.clear();
    this.release();
    this.options.onClose(why, code);
  }
}

function whole(chunks: readonly Uint8Array[], bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(1 + bytes);
  frame[0] = kinds.whole;
  let at = 1;
  for (const chunk of chunks) {
    frame.set(chunk, at);
    at += chunk.length;
  }
  return frame;
}

/** Codes of RFC 6455 that peers close without a reason. */
function closeText(code: number): string {
  if (code === 1006) return 'the connection broke';
  return code === 1001 || code === 1000 || code === 1005 ? 'the other end closed' : `closed with code ${code}`;
}
