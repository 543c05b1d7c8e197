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

/** `socket` is open, or is about to be. */
export declare function openLink(socket: WebSocket, options: LinkOptions): Link;
