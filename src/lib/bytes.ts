/**
 * A growing byte buffer that many values are written into one after another, so that a batch of
 * encoded values is one allocation and one contiguous region.
 *
 * Protocol: a writer calls `reserve(n)`, writes at `buffer[length …]`, and advances `length`.
 * `take()` hands the bytes over (a copy of exact size with a buffer of its own, safe to transfer to
 * a thread) and resets the sink to empty.
 */
export class ByteSink {
  buffer: Buffer;
  /** Bytes written so far. */
  length = 0;

  constructor(capacityBytes = 8192) {
    this.buffer = Buffer.allocUnsafeSlow(capacityBytes);
  }

  /** Makes room for `bytes` more; `buffer` may be another object afterwards. */
  reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  take(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.length);
    out.set(this.buffer.subarray(0, this.length));
    this.length = 0;
    return out;
  }
}

/** One region out of many chunks; the chunk itself where there is only one. */
export function concatBytes(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  let total = 0;
  for (const chunk of chunks) total += chunk.length;
  const out = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
