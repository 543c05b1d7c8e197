/**
 * Reads one segment's records from first to last and checks every byte of them; and, where they end too early,
 * tells a torn write from a flipped bit.
 *
 * The judgement (FAULTS S01, S05). A write that was cut off by a crash was not confirmed to anyone, and is cut. Damage to
 * what was confirmed is never skipped: it is refused. For the last segment, damage at D is a torn write only if
 *  - no readable record after D was written by a later write (F4: that write began after D was confirmed), and
 *  - bytes are missing as a crash makes them miss: the file ends inside the record, or a disk sector of the record (its
 *    part of it) reads as zeros, because the file grew, or lay ready with zeros, and the sector never arrived. In the
 *    midst of a record such a part is a whole sector, at its begin it may be smaller.
 * So any flipped bit of a whole record is refused, the final one's too, with one exception that no checksum can tell:
 * in the records of the last write, when the damaged record also holds such a part of zeros.
 */
import { crc32 } from 'node:zlib';
import type { DiskFile } from './disk.ts';
import { decodeFrame, emptyFrame, FRAME_BYTES, type Frame, RECORD_ENTRY, RECORD_REMOVED } from './format.ts';

/** Reading begins with little, for most segments of a small journal are small. */
const WINDOW_BYTES_MIN = 64 * 1024;
const WINDOW_BYTES_MAX = 4 * 1024 * 1024;
const SECTOR_BYTES = 512;

const NO_BYTES = Buffer.alloc(0);

/** One record under the reader's eyes; the same object for each, valid until `visit` returns. */
export interface ScannedRecord extends Frame {
  stream: string;
  writer: string;
  head: Buffer;
  body: Buffer;
}

export interface Damage {
  /** Where the damaged record begins. */
  at: number;
  /** The frame was whole, so the record's end is known: it lies beyond the end of the file. */
  isCutShort: boolean;
}

/** Where the whole writes end, and which record is damaged where the readable ones do, if any is. */
export interface ScanEnd {
  end: number;
  damage: Damage | undefined;
}

/** Visits the readable records in [from, to), those of an unfinished write at the end, too. `to` may lie beyond the file's end. */
export async function scanRecords(
  file: DiskFile,
  bounds: { from: number; to: number; salt: number },
  visit: (record: ScannedRecord) => void,
): Promise<ScanEnd> {
  const window = new Window(file, bounds.from, bounds.to);
  const record: ScannedRecord = { ...emptyFrame(), stream: '', writer: '', head: NO_BYTES, body: NO_BYTES };
  const names = { stream: new NameReader(), writer: new NameReader() };
  let end = bounds.from;
  const damaged = (at: number, isCutShort: boolean): ScanEnd => ({ end, damage: { at, isCutShort } });
  for (;;) {
    if (window.available < FRAME_BYTES && (await window.fill(FRAME_BYTES)) < FRAME_BYTES) {
      return window.available === 0 ? { end, damage: undefined } : damaged(window.at, true);
    }
    const at = window.at;
    if (!decodeFrame(window.buffer, window.start, at, bounds.salt, record) || !isKnown(record)) return damaged(at, false);
    if (window.available < record.bytes && (await window.fill(record.bytes)) < record.bytes) return damaged(at, true);
    const namesAt = window.start + FRAME_BYTES;
    const headAt = namesAt + record.streamBytes + record.writerBytes;
    const bodyAt = headAt + record.headBytes;
    const { buffer } = window;
    if (crc32(buffer.subarray(namesAt, bodyAt)) !== record.headCrc) return damaged(at, false);
    if (record.bodyBytes > 0 && crc32(buffer.subarray(bodyAt, bodyAt + record.bodyBytes)) !== record.bodyCrc) return damaged(at, false);
    record.stream = names.stream.read(buffer, namesAt, record.streamBytes);
    record.writer = names.writer.read(buffer, namesAt + record.streamBytes, record.writerBytes);
    record.head = buffer.subarray(headAt, bodyAt);
    record.body = buffer.subarray(bodyAt, bodyAt + record.bodyBytes);
    visit(record);
    window.skip(record.bytes);
    if (!record.moreFollow) end = window.at;
  }
}

function isKnown({ kind, bodyBytes, bodyCrc }: Frame): boolean {
  return kind >= RECORD_ENTRY && kind <= RECORD_REMOVED && (bodyBytes > 0 || bodyCrc === 0);
}

/** A piece of the file that moves forward, and grows for a record that is larger than it. */
class Window {
  buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES_MIN);
  /** Where in `buffer` the unread bytes begin and end. */
  start = 0;
  #end = 0;
  /** The file offset of `start`. */
  at: number;
  readonly #file: DiskFile;
  readonly #to: number;

  constructor(file: DiskFile, from: number, to: number) {
    this.#file = file;
    this.at = from;
    this.#to = to;
  }

  get available(): number {
    return this.#end - this.start;
  }

  skip(bytes: number): void {
    this.start += bytes;
    this.at += bytes;
  }

  /** Reads on until `bytes` are there or the file ends; answers with how many are. */
  async fill(bytes: number): Promise<number> {
    this.#makeRoom(bytes);
    while (this.available < bytes) {
      const position = this.at + this.available;
      const length = Math.min(this.buffer.length - this.#end, this.#to - position);
      if (length <= 0) break;
      const { bytesRead } = await this.#file.read(this.buffer, this.#end, length, position);
      if (bytesRead === 0) break;
      this.#end += bytesRead;
    }
    return this.available;
  }

  #makeRoom(bytes: number): void {
    const old = this.buffer;
    const isFirst = this.#end === 0;
    const wanted = Math.max(bytes, isFirst ? 0 : Math.min(WINDOW_BYTES_MAX, old.length * 4));
    if (wanted > old.length) this.buffer = Buffer.allocUnsafeSlow(wanted);
    old.copy(this.buffer, 0, this.start, this.#end);
    this.#end -= this.start;
    this.start = 0;
  }
}

/** Neighbours mostly have the same writer, and often the same stream: a name is decoded when it changes. */
class NameReader {
  #bytes = Buffer.alloc(0);
  #name = '';

  read(from: Buffer, at: number, length: number): string {
    if (length !== this.#bytes.length || from.compare(this.#bytes, 0, length, at, at + length) !== 0) {
      this.#bytes = Buffer.from(from.subarray(at, at + length));
      this.#name = this.#bytes.toString('utf8');
    }
    return this.#name;
  }
}

/** undefined: a torn write, to be cut at `damage.at`. Otherwise why it can't be one. */
export async function whyNotTorn(file: DiskFile, damage: Damage, salt: number): Promise<string | undefined> {
  const rest = await readRest(file, damage.at);
  const writtenBytes = lengthWithoutZeros(rest);
  // Nothing was written here, or nothing of it arrived.
  if (writtenBytes === 0) return undefined;
  const follower = findRecord(rest, damage.at, salt);
  if (follower !== undefined && follower.writtenFrom > damage.at) {
    return `a record that was written later is whole at offset ${follower.at}`;
  }
  if (follower === undefined && damage.isCutShort) return undefined;
  const length = follower ? follower.at - damage.at : (wholeFrameBytes(rest, damage.at, salt) ?? Math.max(writtenBytes, FRAME_BYTES));
  if (hasMissingSector(rest, damage.at, Math.min(length, rest.length))) return undefined;
  return 'all of its bytes are there, and they are not those that were written';
}

/** Up to the last byte that is not zero. */
function lengthWithoutZeros(bytes: Buffer): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length -= 1;
  return length;
}

/** How long the record at the beginning of `rest` says that it is, if its frame can be believed. */
function wholeFrameBytes(rest: Buffer, at: number, salt: number): number | undefined {
  const frame = emptyFrame();
  return rest.length >= FRAME_BYTES && decodeFrame(rest, 0, at, salt, frame) ? frame.bytes : undefined;
}

/** Where a record can be made out behind a header that can't: then the salt is unknown, and the other checks must do. */
export async function findRecordWithoutHeader(file: DiskFile): Promise<number | undefined> {
  const rest = await readRest(file, 0);
  const frame = emptyFrame();
  for (let at = 0; at + FRAME_BYTES <= rest.length; at += 1) {
    if (rest.readUInt32LE(at + 4) !== at) continue;
    // The frame's own checksum hides the salt; the head's does not.
    readUnsalted(rest, at, frame);
    if (isKnown(frame) && frame.streamBytes > 0 && isHeadWhole(rest, at, frame)) return at;
  }
  return undefined;
}

function readUnsalted(rest: Buffer, at: number, frame: Frame): void {
  const copy = Buffer.from(rest.subarray(at, at + FRAME_BYTES));
  copy.writeUInt32LE(crc32(copy.subarray(4), 0), 0);
  decodeFrame(copy, 0, at, 0, frame);
}

function isHeadWhole(rest: Buffer, at: number, frame: Frame): boolean {
  const end = at + frame.bytes - frame.bodyBytes;
  return end <= rest.length && crc32(rest.subarray(at + FRAME_BYTES, end)) === frame.headCrc;
}

/** The last record after the damage whose frame and head are whole; `rest` begins at file offset `from`. */
function findRecord(rest: Buffer, from: number, salt: number): { at: number; writtenFrom: number } | undefined {
  const frame = emptyFrame();
  let first: { at: number; writtenFrom: number } | undefined;
  for (let index = 1; index + FRAME_BYTES <= rest.length; index += 1) {
    if (!decodeFrame(rest, index, from + index, salt, frame)) continue;
    if (!isHeadWhole(rest, index, frame)) continue;
    first ??= { at: frame.at, writtenFrom: frame.writtenFrom };
    // One that was written later says more than the nearest one.
    if (frame.writtenFrom > from) return { at: frame.at, writtenFrom: frame.writtenFrom };
  }
  return first;
}

/** Whether a sector's share of the record reads as zeros; for its last share the rest of that sector does, too. */
function hasMissingSector(rest: Buffer, from: number, length: number): boolean {
  for (let index = 0; index < length; ) {
    const sectorEnd = Math.min(rest.length, (Math.floor((from + index) / SECTOR_BYTES) + 1) * SECTOR_BYTES - from);
    if (rest.subarray(index, sectorEnd).every((byte) => byte === 0)) return true;
    index = sectorEnd;
  }
  return false;
}

async function readRest(file: DiskFile, from: number): Promise<Buffer> {
  const { size } = await file.stat();
  const rest = Buffer.alloc(Math.max(0, size - from));
  let filled = 0;
  while (filled < rest.length) {
    const { bytesRead } = await file.read(rest, filled, rest.length - filled, from + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return rest.subarray(0, filled);
}
