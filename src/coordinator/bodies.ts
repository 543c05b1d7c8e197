/**
 * Payload bytes of recent entries, by reference, so that a result that is read at once, or an input that is
 * dispatched at once, never goes through the journal again. Bounded in bytes; the oldest go first.
 */
import type { Slice } from '../core/turn.ts';

interface Kept {
  stream: string;
  seq: number;
  chunks: readonly Uint8Array[];
  bytes: number;
}

export class Bodies {
  private readonly streams = new Map<string, Map<number, Kept>>();
  private order: Kept[] = [];
  /** Of `order`, at most so many belong to streams that are gone. */
  private dropped = 0;
  private head = 0;
  private bytes = 0;
  private readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Entries that are kept, and those that were and are not swept yet. */
  get places(): number {
    return this.order.length - this.head;
  }

  put(stream: string, seq: number, chunks: readonly Uint8Array[], bytes: number): void {
    if (bytes === 0) return;
    const kept: Kept = { stream, seq, chunks, bytes };
    let entries = this.streams.get(stream);
    if (!entries) this.streams.set(stream, (entries = new Map()));
    entries.set(seq, kept);
    this.order.push(kept);
    this.bytes += bytes;
    while (this.bytes > this.bytesMax && this.head < this.order.length - 1) this.forgetOldest();
    if (this.dropped > 1024 && this.dropped * 2 > this.order.length) this.sweep();
  }

  private forgetOldest(): void {
    const { stream, seq, bytes, chunks } = this.order[this.head++]!;
    if (chunks.length === 0) this.dropped--;
    if (this.streams.get(stream)?.delete(seq)) this.bytes -= bytes;
    if (this.head > 1024 && this.head * 2 > this.order.length) {
      this.order.splice(0, this.head);
      this.head = 0;
    }
  }

  drop(stream: string): void {
    for (const kept of this.streams.get(stream)?.values() ?? []) {
      this.bytes -= kept.bytes;
      // Its place in the order stays until it is swept; its bytes go now.
      kept.chunks = [];
      this.dropped++;
    }
    this.streams.delete(stream);
  }

  private sweep(): void {
    const left = this.order.slice(this.head).filter(({ chunks }) => chunks.length > 0);
    this.order = left;
    this.head = 0;
    this.dropped = 0;
  }

  /** The slices' bytes as views, or undefined if any of them is not here. */
  read(stream: string, slices: readonly Slice[]): Uint8Array[] | undefined {
    if (slices.length === 0) return [];
    const entries = this.streams.get(stream);
    if (!entries) return undefined;
    const out: Uint8Array[] = [];
    for (const slice of slices) {
      const kept = entries.get(slice.seq);
      if (!kept) return undefined;
      cut(kept.chunks, slice.offset, slice.length, out);
    }
    return out;
  }
}

function cut(chunks: readonly Uint8Array[], offset: number, length: number, out: Uint8Array[]): void {
  let skip = offset;
  let left = length;
  for (let i = 0; left > 0; i++) {
    const chunk = chunks[i]!;
    if (skip >= chunk.length) {
      skip -= chunk.length;
      continue;
    }
    const part = chunk.subarray(skip, Math.min(chunk.length, skip + left));
    out.push(part);
    left -= part.length;
    skip = 0;
  }
}
