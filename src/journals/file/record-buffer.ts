/**
 * Turns records into the bytes of one write. Frames, names, heads and small chunks are copied together into one
 * buffer that is used again for each write; large chunks are written from where they lie.
 */
import { crc32 } from 'node:zlib';
import { encodeFrame, FRAME_BYTES, type RecordKind } from './format.ts';

/** From here on a chunk is written from where it lies: copying it would cost more than one more piece in the write. */
const LARGE_CHUNK_BYTES = 16 * 1024;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

export interface RecordFields {
  kind: RecordKind;
  stream: string;
  seq: number;
  writer: string;
  head: Uint8Array;
  body: readonly Uint8Array[];
}

export interface EncodedSizes {
  streamBytes: number;
  writerBytes: number;
  bodyBytes: number;
  /** The whole record. */
  bytes: number;
}

export function sizesOf(record: RecordFields): EncodedSizes {
  const streamBytes = Buffer.byteLength(record.stream);
  const writerBytes = Buffer.byteLength(record.writer);
  let bodyBytes = 0;
  for (const chunk of record.body) bodyBytes += chunk.length;
  return { streamBytes, writerBytes, bodyBytes, bytes: FRAME_BYTES + streamBytes + writerBytes + record.head.length + bodyBytes };
}

export class RecordBuffer {
  #buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #length = 0;
  /** Where in `#buffer` the piece began that is not yet in `#pieces`. */
  #pieceStart = 0;
  #pieces: Uint8Array[] = [];

  /** Begins a write that copies at most `bytes`. What the last one gave is void from here on. */
  begin(bytes: number): void {
    if (bytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(bytes);
    else if (this.#buffer.length > KEPT_BYTES_MAX && bytes <= KEPT_BYTES_MAX) this.#buffer = Buffer.allocUnsafeSlow(KEPT_BYTES_MAX);
    this.#length = 0;
    this.#pieceStart = 0;
    this.#pieces = [];
  }

  /** Adds a record that will lie at `at` in a segment with this salt. */
  add(record: RecordFields, sizes: EncodedSizes, place: { at: number; writtenFrom: number; salt: number; moreFollow: boolean }): void {
    const frameAt = this.#length;
    const buffer = this.#buffer;
    this.#length += FRAME_BYTES;
    this.#length += buffer.write(record.stream, this.#length, 'utf8');
    this.#length += buffer.write(record.writer, this.#length, 'utf8');
    const headCrc = this.#addHead(record.head, frameAt + FRAME_BYTES);
    const bodyCrc = this.#addBody(record.body);
    encodeFrame(buffer, frameAt, place.at, place.salt, {
      writtenFrom: place.writtenFrom,
      kind: record.kind,
      moreFollow: place.moreFollow,
      streamBytes: sizes.streamBytes,
      writerBytes: sizes.writerBytes,
      headBytes: record.head.length,
      bodyBytes: sizes.bodyBytes,
      seq: record.seq,
      headCrc,
      bodyCrc,
    });
  }

  /** The pieces of the write, in order. */
  end(): readonly Uint8Array[] {
    this.#endPiece();
    return this.#pieces;
  }

  #addHead(head: Uint8Array, namesAt: number): number {
    const namesCrc = crc32(this.#buffer.subarray(namesAt, this.#length));
    this.#addChunk(head);
    return head.length === 0 ? namesCrc : crc32(head, namesCrc);
  }

  /** Small chunks are summed where they lie together, for a call per chunk would cost more than the sum. */
  #addBody(body: readonly Uint8Array[]): number {
    let crc = 0;
    let runStart = this.#length;
    const sumRun = (): void => {
      if (this.#length > runStart) crc = crc32(this.#buffer.subarray(runStart, this.#length), crc);
    };
    for (const chunk of body) {
      if (chunk.length < LARGE_CHUNK_BYTES) {
        this.#addChunk(chunk);
        continue;
      }
      sumRun();
      this.#addChunk(chunk);
      crc = crc32(chunk, crc);
      runStart = this.#length;
    }
    sumRun();
    return crc;
  }

  #addChunk(chunk: Uint8Array): void {
    if (chunk.length < LARGE_CHUNK_BYTES) {
      this.#buffer.set(chunk, this.#length);
      this.#length += chunk.length;
      return;
    }
    this.#endPiece();
    this.#pieces.push(chunk);
  }

  #endPiece(): void {
    if (this.#length > this.#pieceStart) this.#pieces.push(this.#buffer.subarray(this.#pieceStart, this.#length));
    this.#pieceStart = this.#length;
  }
}

/** How many bytes of a record are copied. */
export function copiedBytes(record: RecordFields, sizes: EncodedSizes): number {
  let large = record.head.length < LARGE_CHUNK_BYTES ? 0 : record.head.length;
  for (const chunk of record.body) if (chunk.length >= LARGE_CHUNK_BYTES) large += chunk.length;
  return sizes.bytes - large;
}
