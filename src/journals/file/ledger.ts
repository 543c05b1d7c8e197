/**
 * What the journal's records add up to: the streams' entries, the closed streams, and how much of each segment is
 * still alive. Recovery and the committer apply every record here, in the order of the log, so that a journal that was
 * opened again knows the same as one that never closed.
 *
 * Alive are the entries of open streams, where they were last copied to, and whatever closes a stream.
 */
import { HASH_BYTES } from './closed.ts';
import { RECORD_CLOSED, RECORD_DROP, RECORD_ENTRY, type RecordKind } from './format.ts';
import type { Segments } from './segments.ts';
import { emptyPlace, Streams } from './streams.ts';

export interface AppliedRecord {
  kind: RecordKind;
  stream: string;
  seq: number;
  writer: string;
  head: Uint8Array;
  headBytes: number;
  bodyBytes: number;
  /** The whole record. */
  bytes: number;
}

export class Ledger {
  readonly streams = new Streams();
  readonly segments: Segments;
  readonly #place = emptyPlace();

  constructor(segments: Segments) {
    this.segments = segments;
  }

  /** False if another writer's entry lies there: two writers got past put-if-absent, which must never be. */
  apply(record: AppliedRecord, segment: number, at: number): boolean {
    switch (record.kind) {
      case RECORD_ENTRY:
        return this.#applyEntry(record, segment, at);
      case RECORD_DROP:
        this.#close(record.stream);
        break;
      case RECORD_CLOSED:
        this.#closeHashes(record.head);
        break;
      default:
        return true;
    }
    this.segments.changeLive(segment, record.bytes);
    return true;
  }

  /** After recovery: a hash that closes a stream may have come to lie before that stream's entries were seen. */
  closeStreamsBySavedHashes(): void {
    for (const stream of [...this.streams.names()]) {
      if (this.streams.closed.has(stream)) this.#close(stream);
    }
  }

  #applyEntry(record: AppliedRecord, segment: number, at: number): boolean {
    const place = this.#place;
    if (this.streams.find(record.stream, record.seq, place)) {
      if (place.writer !== record.writer) return false;
      this.segments.changeLive(place.segment, -record.bytes);
    } else if (this.streams.isClosed(record.stream)) {
      return true;
    }
    const { headBytes, bodyBytes, writer } = record;
    this.streams.set(record.stream, record.seq, { segment, at, headBytes, bodyBytes, writer });
    this.segments.changeLive(segment, record.bytes);
    return true;
  }

  #close(stream: string): void {
    this.streams.close(stream, (segment, bytes) => this.segments.changeLive(segment, -bytes));
  }

  #closeHashes(head: Uint8Array): void {
    const hashes = Buffer.from(head.buffer, head.byteOffset, head.length);
    for (let at = 0; at + HASH_BYTES <= hashes.length; at += HASH_BYTES) this.streams.closed.add(hashes, at);
  }
}
