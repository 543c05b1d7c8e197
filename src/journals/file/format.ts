/**
 * The bytes of the file journal: this file owns their layout and knows nothing of files.
 *
 * A segment is a header, then records one after another, all numbers little-endian.
 *
 *   header   0 magic(8)  8 format u32  12 needs(16 ASCII)  28 prefixCrc u32 (of 0..28)
 *           32 salt u32  36 number u32  40 seals u32  44 zero u32  48 headerCrc u32 (of 32..48 and the seals)
 *           52 per seal: number u32, bytes u32
 *   record   0 frameCrc u32 (of 4..44, seeded with the segment's salt)
 *            4 at u32 (the record's own offset)  8 writtenFrom u32  12 kind u8, moreFollow u8 (0 or 1), zero(2)
 *           16 streamBytes u16, writerBytes u16  20 headBytes u32  24 bodyBytes u32
 *           28 seq u32 low, u32 high  36 headCrc u32 (of stream, writer, head)  40 bodyCrc u32
 *           44 stream, writer, head, body
 *
 * Invariants
 *  F1 The first 32 bytes of a segment mean the same in every format, so that any version can tell which
 *     one it needs (V03).
 *  F2 A frame is believed only where it says that it lies (`at`) and under its own segment's salt: a journal
 *     file kept as the payload of an entry is never taken for records.
 *  F3 Lengths are believed only after frameCrc, names and head after headCrc: nothing is allocated for a
 *     flipped length.
 *  F4 `writtenFrom` is where the write began that carried the record. All before it was confirmed
 *     when the record was written, so damage there is no torn write. All but the last record of a write say that
 *     more follow: without these nothing of the write was confirmed, and its writer may still take it back.
 *  F5 A segment's seals name every older segment that still counts, and how many of its bytes do.
 */
import { crc32 } from 'node:zlib';
import { ShoalError } from '../../lib/errors.ts';

const FORMAT = 1;
/** The first release of this package that reads FORMAT. */
const NEEDS = '0.1.0';

const MAGIC = Buffer.from('shoaljnl', 'latin1');
const PREFIX_BYTES = 32;
export const HEADER_BYTES = 52;
const SEAL_BYTES = 8;
export const FRAME_BYTES = 44;

/** Offsets are 32 bits; the rest is room for one append beyond a full segment. */
export const SEGMENT_BYTES_MAX = 2 ** 31;

export const RECORD_ENTRY = 1;
/** Closes the stream that it names. */
export const RECORD_DROP = 2;
/** Closes many streams: its head is their 8-byte hashes. What compaction makes of old drops. */
export const RECORD_CLOSED = 3;
/** Segment `seq` counts no more, though an older header may name it. */
export const RECORD_REMOVED = 4;
/** Beside the kind. */
const MORE_FOLLOW = 1 << 8;

export type RecordKind = typeof RECORD_ENTRY | typeof RECORD_DROP | typeof RECORD_CLOSED | typeof RECORD_REMOVED;

/** How much of an older segment counts. What lies behind was never confirmed to anyone. */
export interface Seal {
  number: number;
  bytes: number;
}

export interface SegmentHeader {
  number: number;
  salt: number;
  seals: readonly Seal[];
  bytes: number;
}

/** A record's frame; `bytes` is the whole record's length. */
export interface Frame {
  at: number;
  writtenFrom: number;
  kind: RecordKind;
  moreFollow: boolean;
  streamBytes: number;
  writerBytes: number;
  headBytes: number;
  bodyBytes: number;
  seq: number;
  headCrc: number;
  bodyCrc: number;
  bytes: number;
}

export function encodeHeader(header: { number: number; salt: number; seals: readonly Seal[] }): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + header.seals.length * SEAL_BYTES);
  bytes.set(MAGIC, 0);
  bytes.writeUInt32LE(FORMAT, 8);
  bytes.write(NEEDS, 12, 16, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  bytes.writeUInt32LE(header.salt, 32);
  bytes.writeUInt32LE(header.number, 36);
  bytes.writeUInt32LE(header.seals.length, 40);
  let at = HEADER_BYTES;
  for (const seal of header.seals) {
    bytes.writeUInt32LE(seal.number, at);
    bytes.writeUInt32LE(seal.bytes, at + 4);
    at += SEAL_BYTES;
  }
  bytes.writeUInt32LE(headerCrc(bytes), 48);
  return bytes;
}

function headerCrc(bytes: Uint8Array): number {
  return crc32(bytes.subarray(HEADER_BYTES), crc32(bytes.subarray(PREFIX_BYTES, 48)));
}

/** How many bytes the whole header has, as far as its first HEADER_BYTES can tell. */
export function headerBytesOf(start: Buffer): number {
  return HEADER_BYTES + start.readUInt32LE(40) * SEAL_BYTES;
}

/** Throws SH4007 if a newer version wrote this; false if no header can be made out. */
export function isHeaderStart(start: Buffer, file: string): boolean {
  if (start.length < PREFIX_BYTES || !start.subarray(0, 8).equals(MAGIC)) return false;
  if (start.readUInt32LE(28) !== crc32(start.subarray(0, 28))) return false;
  const format = start.readUInt32LE(8);
  if (format > FORMAT) {
    const needs = start.toString('latin1', 12, 28).replace(/\0+$/, '');
    throw new ShoalError('SH4007', `${file} was written by a newer shoal (journal format ${format}; this one reads up to ${FORMAT})`, {
      hint: `use shoal ${needs} or newer with this journal`,
    });
  }
  return start.length >= HEADER_BYTES;
}

/** undefined: not a whole, undamaged header. */
export function decodeHeader(bytes: Buffer, file: string): SegmentHeader | undefined {
  if (!isHeaderStart(bytes, file) || bytes.length < headerBytesOf(bytes)) return undefined;
  const header = bytes.subarray(0, headerBytesOf(bytes));
  if (header.readUInt32LE(48) !== headerCrc(header)) return undefined;
  const seals: Seal[] = [];
  for (let at = HEADER_BYTES; at < header.length; at += SEAL_BYTES) {
    seals.push({ number: header.readUInt32LE(at), bytes: header.readUInt32LE(at + 4) });
  }
  return { salt: header.readUInt32LE(32), number: header.readUInt32LE(36), seals, bytes: header.length };
}

export interface FrameFields {
  writtenFrom: number;
  kind: RecordKind;
  moreFollow: boolean;
  streamBytes: number;
  writerBytes: number;
  headBytes: number;
  bodyBytes: number;
  seq: number;
  headCrc: number;
  bodyCrc: number;
}

/** Writes a frame at `into[position]` for a record that will lie at `at` in its segment. */
export function encodeFrame(into: Buffer, position: number, at: number, salt: number, fields: FrameFields): void {
  into.writeUInt32LE(at, position + 4);
  into.writeUInt32LE(fields.writtenFrom, position + 8);
  into.writeUInt32LE(fields.kind + (fields.moreFollow ? MORE_FOLLOW : 0), position + 12);
  into.writeUInt16LE(fields.streamBytes, position + 16);
  into.writeUInt16LE(fields.writerBytes, position + 18);
  into.writeUInt32LE(fields.headBytes, position + 20);
  into.writeUInt32LE(fields.bodyBytes, position + 24);
  into.writeUInt32LE(fields.seq % 2 ** 32, position + 28);
  into.writeUInt32LE(Math.floor(fields.seq / 2 ** 32), position + 32);
  into.writeUInt32LE(fields.headCrc, position + 36);
  into.writeUInt32LE(fields.bodyCrc, position + 40);
  into.writeUInt32LE(crc32(into.subarray(position + 4, position + FRAME_BYTES), salt), position);
}

/** Reads the frame at `from[position]` into `frame`; false if it is none that belongs at `at`. */
export function decodeFrame(from: Buffer, position: number, at: number, salt: number, frame: Frame): boolean {
  if (from.readUInt32LE(position + 4) !== at) return false;
  if (from.readUInt32LE(position) !== crc32(from.subarray(position + 4, position + FRAME_BYTES), salt)) return false;
  frame.at = at;
  frame.writtenFrom = from.readUInt32LE(position + 8);
  const kind = from.readUInt32LE(position + 12);
  frame.moreFollow = (kind & MORE_FOLLOW) !== 0;
  frame.kind = (kind & ~MORE_FOLLOW) as RecordKind;
  frame.streamBytes = from.readUInt16LE(position + 16);
  frame.writerBytes = from.readUInt16LE(position + 18);
  frame.headBytes = from.readUInt32LE(position + 20);
  frame.bodyBytes = from.readUInt32LE(position + 24);
  frame.seq = from.readUInt32LE(position + 28) + from.readUInt32LE(position + 32) * 2 ** 32;
  frame.headCrc = from.readUInt32LE(position + 36);
  frame.bodyCrc = from.readUInt32LE(position + 40);
  frame.bytes = FRAME_BYTES + frame.streamBytes + frame.writerBytes + frame.headBytes + frame.bodyBytes;
  return true;
}

export function emptyFrame(): Frame {
  return {
    at: 0,
    writtenFrom: 0,
    kind: RECORD_ENTRY,
    moreFollow: false,
    streamBytes: 0,
    writerBytes: 0,
    headBytes: 0,
    bodyBytes: 0,
    seq: 0,
    headCrc: 0,
    bodyCrc: 0,
    bytes: 0,
  };
}

export function segmentFileName(number: number): string {
  return `${String(number).padStart(8, '0')}.log`;
}

export function segmentNumberOf(fileName: string): number | undefined {
  const match = /^(\d{8,10})\.log$/.exec(fileName);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
