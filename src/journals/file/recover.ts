/**
 * Opens a journal directory: takes it from whoever had it, reads all that counts, and leaves a new segment to write to.
 *
 * The order is the fence (DESIGN H19): first the next segment is created, which no two openers can both do and after
 * which no earlier writer confirms anything; then the last segment is read to its end. The new
 * segment's header then seals what was read: a torn tail, and whatever an earlier writer may still add, lie behind the seal
 * and count no more.
 */
import { basename, join } from 'node:path';
import { ShoalError } from '../../lib/errors.ts';
import { JournalCorruptError, JournalFullError } from '../journal.ts';
import { type Disk, type DiskFile, errorCode, isFull } from './disk.ts';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  headerBytesOf,
  isHeaderStart,
  RECORD_REMOVED,
  SEGMENT_BYTES_MAX,
  type SegmentHeader,
  segmentFileName,
} from './format.ts';
import { Ledger } from './ledger.ts';
import type { Reserve } from './reserve.ts';
import { findRecordWithoutHeader, type ScannedRecord, scanRecords, whyNotTorn } from './scan.ts';
import { createSegmentFile, type Segment, Segments, segmentNumbers } from './segments.ts';

export interface Opened {
  ledger: Ledger;
  active: Segment;
}

export interface OpenContext {
  directory: string;
  disk: Disk;
  reserve: Reserve;
  newSalt: () => number;
}

export async function openSegments(context: OpenContext): Promise<Opened> {
  const ledger = new Ledger(new Segments(context.directory, context.disk));
  const mine = await createNext(context);
  const older = segmentNumbers(context.disk, context.directory).filter((number) => number < mine.number);
  const header = await recover(context, ledger, older, mine.number)
    .then(() => writeHeader(context, ledger, mine))
    .catch(async (error: unknown) => {
      await mine.handle.close();
      // Nothing was taken over: whoever had the journal may go on, and the next opener finds no litter. Unless a failing disk
      // took the header all the same: then it may count for another opener already.
      if (!(error instanceof HeaderInDoubt)) await unlinkIfThere(context, mine.number);
      throw error instanceof HeaderInDoubt ? error.cause : error;
    });
  const counted = new Set(ledger.segments.all().map(({ number }) => number));
  const active = ledger.segments.add({ ...header, handle: mine.handle });
  try {
    // Together: file systems with a journal of their own make one commit of the two.
    await Promise.all([context.disk.sync(mine.handle), context.disk.syncDirectory(context.directory)]);
    // An opener that came later may count what we don't. It creates its segment before it reads, so it is seen here, or
    // has seen our header.
    if (isSuperseded(context, mine.number)) throw takenError(context);
    for (const number of older) {
      // Never finished by its opener, or removed by a process that ended before it could.
      if (!counted.has(number)) await unlinkIfThere(context, number);
    }
  } catch (error) {
    // The file stays: with its header it may count for another opener already.
    await mine.handle.close();
    throw error;
  }
  return { ledger, active };
}

function isSuperseded(context: OpenContext, number: number): boolean {
  return segmentNumbers(context.disk, context.directory).at(-1) !== number;
}

function takenError({ directory }: OpenContext): ShoalError {
  return new ShoalError('SH4006', `the journal in ${directory} was opened by another process at the same time`, {
    hint: 'one process at a time may use a file journal',
  });
}

async function createNext(context: OpenContext): Promise<{ number: number; handle: DiskFile }> {
  for (;;) {
    const number = (segmentNumbers(context.disk, context.directory).at(-1) ?? 0) + 1;
    const handle = await createSegmentFile(context.disk, context.directory, number);
    // Else another opener was faster: it reads, and we supersede it.
    if (handle !== undefined) return { number, handle };
  }
}

/** The disk failed, and may have taken the header all the same. */
class HeaderInDoubt extends Error {}

/** Writes the header that seals what was read. From here on the older segments' ends are fixed. */
async function writeHeader(
  context: OpenContext,
  ledger: Ledger,
  { number, handle }: { number: number; handle: DiskFile },
): Promise<{ number: number; salt: number; headerBytes: number; bytes: number }> {
  const { disk, directory, reserve } = context;
  const salt = context.newSalt();
  const header = encodeHeader({ number, salt, seals: ledger.segments.seals() });
  for (;;) {
    try {
      await disk.write(handle, [header], 0);
      return { number, salt, headerBytes: header.length, bytes: header.length };
    } catch (error) {
      if (!isFull(error)) throw new HeaderInDoubt('', { cause: error });
      // Even what the reserve gave may be gone already, to somebody else who writes on this disk.
      if (!(await reserve.release())) throw new JournalFullError(`no space left to open the journal in ${directory}`, error);
    }
  }
}

/** Applies all records that count, oldest first. Afterwards the segments are those that still do. */
async function recover(context: OpenContext, ledger: Ledger, numbers: readonly number[], mine: number): Promise<void> {
  const last = await findLast(context, numbers);
  if (last === undefined) return;
  const missing = new Set<number>();
  const writtenOff = await readRemoved(context, last);
  for (const seal of last.seals) {
    // Its file is gone, or about to go; or it is another one, made since by a writer that was superseded long ago.
    if (writtenOff.has(seal.number)) continue;
    const path = ledger.segments.pathOf(seal.number);
    const isThere = await withFileIfThere(context, path, async (file) => readSealed(ledger, file, path, seal).then(() => true)).catch(
      async (error: unknown) => {
        throw (await readRemoved(context, last)).has(seal.number) ? takenError(context) : error;
      },
    );
    if (isThere !== true) missing.add(seal.number);
  }
  // A writer from whom we take the journal may still remove what it had written off: the last segment says so.
  const removed = await readLast(context, ledger, last, mine);
  for (const number of missing) {
    if (removed.has(number)) continue;
    if (isSuperseded(context, mine)) throw takenError(context);
    throw new JournalCorruptError(`${segmentFileName(number)} is missing from the journal in ${context.directory}`, RESTORE);
  }
  ledger.closeStreamsBySavedHashes();
  for (const { number, liveBytes } of ledger.segments.all()) {
    if (liveBytes === 0 || removed.has(number)) ledger.segments.forget(number);
  }
}

const RESTORE = 'restore the directory from a copy, or move it away and start with an empty journal';

/** The newest segment with a whole header. Those above it were never begun: nothing in them was confirmed. */
async function findLast(context: OpenContext, numbers: readonly number[]): Promise<SegmentHeader | undefined> {
  for (const number of numbers.toReversed()) {
    const path = join(context.directory, segmentFileName(number));
    // A file may have gone since: its opener had no room for the header, or a later opener has no use for it.
    const header = await withFileIfThere(context, path, async (file) => {
      return (await readHeader(file, path, number)) ?? refuseUnlessUnbegun(file, path, number);
    });
    if (header !== undefined) return header;
  }
  return undefined;
}

async function readHeader(file: DiskFile, path: string, number: number): Promise<SegmentHeader | undefined> {
  const start = await readStart(file, HEADER_BYTES);
  if (!isHeaderStart(start, path)) return undefined;
  const { size } = await file.stat();
  const header = headerBytesOf(start) > size ? undefined : decodeHeader(await readStart(file, headerBytesOf(start)), path);
  if (header !== undefined && header.number !== number) {
    throw new JournalCorruptError(`${path} is segment ${header.number} under another name`, 'give it its own name back');
  }
  return header;
}

async function readStart(file: DiskFile, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, 0);
  return buffer.subarray(0, bytesRead);
}

/**
 * A header is durable before the first record is written behind it: records behind a broken one mean damage. Unless the
 * header came after we looked for it: another opener, who has not seen yet that we came after it, was writing just then (S13).
 */
async function refuseUnlessUnbegun(file: DiskFile, path: string, number: number): Promise<SegmentHeader | undefined> {
  const at = await findRecordWithoutHeader(file);
  if (at !== undefined) {
    const late = await readHeader(file, path, number);
    if (late !== undefined) return late;
    throw new JournalCorruptError(`${path} is damaged at offset 0: its header is broken, but records follow (at offset ${at})`, RESTORE);
  }
  const start = await readStart(file, HEADER_BYTES);
  const isBlank = start.every((byte) => byte === 0);
  if (!isBlank && !Buffer.from('shoaljnl').subarray(0, start.length).equals(start.subarray(0, 8))) {
    throw new JournalCorruptError(
      `${path} is no file of a journal`,
      `give the journal a directory of its own; ${basename(path)} may be somebody else's`,
    );
  }
  return undefined;
}

async function readSealed(ledger: Ledger, file: DiskFile, path: string, seal: { number: number; bytes: number }): Promise<void> {
  const header = await readHeader(file, path, seal.number);
  if (header === undefined) throw new JournalCorruptError(`${path} is damaged at offset 0: its header is broken`, RESTORE);
  ledger.segments.add({ number: seal.number, salt: header.salt, headerBytes: header.bytes, bytes: seal.bytes });
  const bounds = { salt: header.salt, number: seal.number, from: header.bytes, to: seal.bytes };
  const { end, damage } = await scan(ledger, file, path, bounds, () => undefined);
  if (damage !== undefined || end !== seal.bytes) {
    throw new JournalCorruptError(`${path} is damaged at offset ${end}: ${seal.bytes} bytes of it were confirmed`, RESTORE);
  }
}

/** Reads the last segment to its end, cuts a torn tail, and makes durable what was read: its writer may not have come to that. */
async function readLast(context: OpenContext, ledger: Ledger, header: SegmentHeader, mine: number): Promise<Set<number>> {
  const { number, salt } = header;
  const path = join(context.directory, segmentFileName(number));
  const removed = new Set<number>();
  const segment = ledger.segments.add({ number, salt, headerBytes: header.bytes, bytes: header.bytes });
  const isRead = await withFileIfThere(context, path, async (file) => {
    for (let isAgain = false; ; isAgain = true) {
      const from = segment.bytes;
      const { end, damage } = await scan(ledger, file, path, { salt, number, from, to: SEGMENT_BYTES_MAX }, (seq) => removed.add(seq));
      const why = damage && (await whyNotTorn(file, damage, salt));
      segment.bytes = end;
      if (!damage || why === undefined) break;
      // Whoever had the journal may still write, and have finished meanwhile what looked damaged.
      if (isAgain && end === from) {
        throw new JournalCorruptError(
          `${path} is damaged at offset ${damage.at}: ${why}`,
          `${RESTORE}; this is no write that a crash cut off`,
        );
      }
    }
    await context.disk.sync(file);
    return true;
  });
  // Only a later opener removes the last segment.
  if (isRead !== true && isSuperseded(context, mine)) throw takenError(context);
  if (isRead !== true) throw new JournalCorruptError(`${path} was removed while it was being read`, RESTORE);
  return removed;
}

/** The older segments that the last one has written off so far. */
async function readRemoved({ disk, directory }: OpenContext, header: SegmentHeader): Promise<Set<number>> {
  const removed = new Set<number>();
  if (header.seals.length === 0) return removed;
  await withFileIfThere({ disk }, join(directory, segmentFileName(header.number)), (file) =>
    scanWrites(file, { salt: header.salt, from: header.bytes, to: SEGMENT_BYTES_MAX }, ({ kind, seq }) => {
      if (kind === RECORD_REMOVED) removed.add(seq);
    }),
  );
  return removed;
}

function scan(
  ledger: Ledger,
  file: DiskFile,
  path: string,
  bounds: { salt: number; number: number; from: number; to: number },
  onRemoved: (number: number) => void,
): ReturnType<typeof scanRecords> {
  return scanWrites(file, bounds, (record) => {
    if (record.kind === RECORD_REMOVED) onRemoved(record.seq);
    if (ledger.apply(record, bounds.number, record.at)) return;
    const what = `entry ${record.seq} of stream ${record.stream}`;
    throw new JournalCorruptError(`${path} holds ${what} at offset ${record.at} by a second writer`, RESTORE);
  });
}

/** A write counts when all of it is there: its writer, if it still lives, may take back an unfinished one (S02). */
function scanWrites(
  file: DiskFile,
  bounds: { salt: number; from: number; to: number },
  visit: (record: ScannedRecord) => void,
): ReturnType<typeof scanRecords> {
  const write: ScannedRecord[] = [];
  return scanRecords(file, bounds, (record) => {
    if (record.moreFollow) return void write.push({ ...record, head: Buffer.from(record.head) });
    for (const earlier of write.splice(0)) visit(earlier);
    visit(record);
  });
}

async function withFileIfThere<T>(
  { disk }: Pick<OpenContext, 'disk'>,
  path: string,
  act: (file: DiskFile) => Promise<T>,
): Promise<T | undefined> {
  // For writing too: some systems make only such files durable.
  const file = await disk.open(path, 'r+').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    return await act(file);
  } finally {
    await file.close();
  }
}

async function unlinkIfThere(context: OpenContext, number: number): Promise<void> {
  try {
    await context.disk.unlink(join(context.directory, segmentFileName(number)));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
