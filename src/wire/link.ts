/**
 * A line of messages over one WebSocket, the same at both ends: what the `ws:` broker and the client's session travel on.
 *
 * 1. Messages arrive whole, and those of up to `chunkBytes` in the order in which they were sent.
 * 2. A larger one goes in chunks, of which few are in the socket at a time, so that what is small (a heartbeat) never
 *    waits behind 100 MB (N12).
 * 3. What waits to be written is counted. Above `highWaterBytes` the owner should wait for room; a peer that takes
 *    nothing for `stalledMs` while something waits is cut off, so that memory stays flat (N10).
 * 4. Both ends ping. One that was not heard of for two intervals is gone, whatever TCP believes (N11).
 *
 * ```
 * u8 0   whole: the message, to the end
 * u8 1   first chunk: u32 id, u32 bytes in all, then bytes       (little endian)
 * u8 2   next chunk: u32 id, then bytes
 * ```
 */
import type { WebSocket } from 'ws';

export const protocolVersion = 1;

/** Of a message in one WebSocket frame; larger ones are cut. */
export const chunkBytes = 256 * 1024;

export interface LinkOptions {
  /** Called from a clean stack; the bytes are the listener's own. */
  onMessage(message: Uint8Array): void;
  /** Once. `why` is one line for people. */
  onClose(why: string): void;
  /** One message; a larger one ends the line. */
  messageBytesMax: number;
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
  /** Sends what waits, within a second, then closes. */
  close(code?: number, reason?: string): void;
}

const kinds = { whole: 0, first: 1, next: 2 } as const;
const firstHeadBytes = 9;
const nextHeadBytes = 5;
/** Chunks of large messages are written while less than this waits in the socket. */
const lanesBytesMax = 1024 * 1024;
const unfinishedMax = 64;
/** Below this a message is copied, so that whoever keeps it does not keep all that was read together with it. */
const copyBytesMax = 4 * 1024;
const closeWaitMs = 1_000;
/** What `ws` must let through: a chunk and its head. */
export const frameBytesMax = chunkBytes + 1024;

/** `socket` is open, or is about to be. */
export function openLink(socket: WebSocket, options: LinkOptions): Link {
  return new SocketLink(socket, options);
}

/** A large message on its way out. */
interface Outgoing {
  id: number;
  chunks: readonly Uint8Array[];
  bytes: number;
  sent: number;
  /** Where in `chunks` it goes on. */
  chunk: number;
  offset: number;
}

/** A large message on its way in: memory grows with what has arrived. */
interface Incoming {
  bytes: number;
  arrived: number;
  parts: Buffer[];
}

class SocketLink implements Link {
  private readonly socket: WebSocket;
  private readonly options: LinkOptions;
  private readonly highWaterBytes: number;
  private readonly outgoing: Outgoing[] = [];
  private readonly incoming = new Map<number, Incoming>();
  private incomingBytes = 0;
  /** Of large messages, not in the socket yet. */
  private laneBytes = 0;
  private nextId = 0;
  private isOver = false;
  private isPaused = false;
  private heardMs = performance.now();
  private movedMs = performance.now();
  private lookedMs = performance.now();
  private readonly pinger: NodeJS.Timeout;
  private waiting: (() => void)[] = [];
  private isPumping = false;

  constructor(socket: WebSocket, options: LinkOptions) {
    this.socket = socket;
    this.options = options;
    this.highWaterBytes = options.highWaterBytes ?? 8 * 1024 * 1024;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer, isBinary: boolean) => this.hear(data, isBinary));
    socket.on('ping', () => this.heard());
    socket.on('pong', () => this.heard());
    socket.on('error', (error) => this.over(error.message));
    socket.on('close', (code, reason) => this.over(reason.length > 0 ? reason.toString() : closeText(code)));
    const pingMs = options.pingMs ?? 2_000;
    this.pinger = setInterval(() => this.look(pingMs, options.stalledMs ?? 30_000), pingMs);
    this.pinger.unref();
  }

  get isOpen(): boolean {
    return !this.isOver;
  }

  get queuedBytes(): number {
    return this.laneBytes + this.socket.bufferedAmount;
  }

  send(chunks: readonly Uint8Array[]): void {
    if (this.isOver) return;
    if (this.queuedBytes === 0) this.movedMs = performance.now();
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (bytes <= chunkBytes) {
      const frame = Buffer.allocUnsafe(1 + bytes);
      frame[0] = kinds.whole;
      let at = 1;
      for (const chunk of chunks) {
        frame.set(chunk, at);
        at += chunk.length;
      }
      this.write(frame);
      return;
    }
    this.outgoing.push({ id: this.nextId++ >>> 0, chunks, bytes, sent: 0, chunk: 0, offset: 0 });
    this.laneBytes += bytes;
    this.pump();
  }

  room(): Promise<void> {
    if (this.isOver || this.queuedBytes < this.highWaterBytes) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  pause(): void {
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
    // Behind what waits in the socket; a reason may have 123 bytes.
    this.socket.close(code, Buffer.from(reason).subarray(0, 120));
    setTimeout(() => this.socket.terminate(), closeWaitMs).unref();
    this.over(reason === '' ? 'closed' : reason);
  }

  // ---- out ----

  private readonly onWritten = (): void => {
    this.movedMs = performance.now();
    if (this.outgoing.length > 0) this.pump();
    if (this.waiting.length > 0 && this.queuedBytes < this.highWaterBytes) this.release();
  };

  private write(frame: Buffer): void {
    this.socket.send(frame, { binary: true, compress: false }, this.onWritten);
  }

  /** Large messages take turns, a chunk each, so that none waits for another. */
  private pump(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    while (this.outgoing.length > 0 && !this.isOver && this.socket.bufferedAmount < lanesBytesMax) {
      const message = this.outgoing.shift()!;
      this.write(this.nextChunk(message));
      if (message.sent < message.bytes) this.outgoing.push(message);
    }
    this.isPumping = false;
  }

  private nextChunk(message: Outgoing): Buffer {
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
      if (message.offset === chunk.length) {
        message.chunk++;
        message.offset = 0;
      }
    }
    message.sent += bytes;
    this.laneBytes -= bytes;
    return frame;
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
    else if (kind === kinds.first && data.length > firstHeadBytes) this.begin(data);
    else if (kind === kinds.next && data.length > nextHeadBytes) this.goOn(data.readUInt32LE(1), data.subarray(nextHeadBytes));
    else this.refuse(1002, 'a frame makes no sense');
  }

  private begin(data: Buffer): void {
    const id = data.readUInt32LE(1);
    const bytes = data.readUInt32LE(5);
    const { messageBytesMax } = this.options;
    if (bytes > messageBytesMax) return this.refuse(1009, `a message of ${bytes} bytes exceeds the limit of ${messageBytesMax}`);
    if (this.incoming.has(id)) return this.refuse(1002, 'a message begins twice');
    if (this.incoming.size >= unfinishedMax) return this.refuse(1008, 'too many large messages at once');
    this.incoming.set(id, { bytes, arrived: 0, parts: [] });
    this.goOn(id, data.subarray(firstHeadBytes));
  }

  private goOn(id: number, part: Buffer): void {
    const message = this.incoming.get(id);
    if (!message) return this.refuse(1002, 'a chunk belongs to no message');
    message.arrived += part.length;
    this.incomingBytes += part.length;
    if (message.arrived > message.bytes) return this.refuse(1002, 'a message is longer than it said');
    // All lines together are bounded by their number; one line by this.
    if (this.incomingBytes > 2 * this.options.messageBytesMax) return this.refuse(1009, 'too much is under way at once');
    message.parts.push(part);
    if (message.arrived < message.bytes) return;
    this.incoming.delete(id);
    this.incomingBytes -= message.bytes;
    this.options.onMessage(message.parts.length === 1 ? part : Buffer.concat(message.parts, message.bytes));
  }

  private refuse(code: number, reason: string): void {
    this.close(code, reason);
  }

  // ---- life ----

  private heard(): void {
    this.heardMs = performance.now();
  }

  private look(pingMs: number, stalledMs: number): void {
    const nowMs = performance.now();
    // We stood still ourselves: what was said meanwhile has not been heard yet (K05).
    if (nowMs - this.lookedMs > 2 * pingMs) this.heardMs = nowMs;
    this.lookedMs = nowMs;
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (!this.isPaused && nowMs - this.heardMs > 2 * pingMs) return this.cut(`silent for ${Math.round(nowMs - this.heardMs)} ms`);
    if (this.queuedBytes === 0) this.movedMs = nowMs;
    else if (nowMs - this.movedMs > stalledMs) return this.cut(`took nothing for ${Math.round(nowMs - this.movedMs)} ms`);
    this.socket.ping();
  }

  private cut(why: string): void {
    this.socket.terminate();
    this.over(why);
  }

  private over(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.pinger);
    this.outgoing.length = 0;
    this.incoming.clear();
    this.laneBytes = 0;
    this.release();
    this.options.onClose(why);
  }
}

/** Codes of RFC 6455 that peers close without a reason. */
function closeText(code: number): string {
  if (code === 1006) return 'the connection broke';
  return code === 1001 || code === 1000 || code === 1005 ? 'the other end closed' : `closed with code ${code}`;
}
