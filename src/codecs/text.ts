/** UTF-8 in both directions, without letting anything be replaced in silence. */
import { isUtf8 } from 'node:buffer';
import type { ByteSink } from '../lib/bytes.ts';

export function writeText(text: string, bytes: number, into: ByteSink): void {
  into.reserve(bytes);
  into.length += into.buffer.write(text, into.length, bytes, 'utf8');
}

/** undefined where the bytes are no UTF-8. */
export function readText(bytes: Buffer, from: number, to: number): string | undefined {
  const text = bytes.toString('utf8', from, to);
  // What is no UTF-8 was replaced by U+FFFD; a real one is rare enough to look twice.
  return text.includes('\ufffd') && !isUtf8(bytes.subarray(from, to)) ? undefined : text;
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
