/**
 * The one writer of a journal directory. Owns the queue of what is to be written, the group commit, rolling to the next
 * segment, and the fence against other openers.
 *
 * One append costs one write and one fdatasync; all that arrive while those are under way share the next ones. A small
 * write by itself, to a disk that lately answered at once, is done on this thread, into zeros that lie there already: so
 * it waits for no other thread, and the file system has nothing but the bytes themselves to make durable.
 *
 * Invariants
 *  C1 What is decided (conflict or not) is decided against what is durable: a write holds no two records of which
 *     one decides the other.
 *  C2 Nothing is confirmed before its fdatasync, and then only while no newer segment of another opener exists: an opener
 *     creates its segment before it reads ours, so whatever we confirm it has read (DESIGN H19).
 *  C3 A full disk leaves nothing behind: the file is cut back, durably, before anyone is told (S02, S03).
 *  C4 After any other failed write or sync nothing is ever written again: what a failed fdatasync left on
 *     disk can't be known, and trying it again would confirm what may be lost (S04).
 *  C5 Where a file can't be opened for want of descriptors nothing was done to it: that is tried until there are some. What
 *     was written meanwhile waits, and is not confirmed unseen (C2).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ShoalError } from '../../lib/errors.ts';
import { entryRefusedError } from '../checks.ts';
import { ConflictError, JournalFullError, OutcomeUnknownError } from '../journal.ts';
import { type Disk, type DiskFile, isFull, isOutOfDescriptors } from './disk.ts';
import { Fence } from './fence.ts';
import { encodeHeader, RECORD_DROP, RECORD_ENTRY, RECORD_REMOVED, SEGMENT_BYTES_MAX } from './format.ts';
import type { Ledger } from './ledger.ts';
import { copiedBytes, type EncodedSizes, RecordBuffer, type RecordFields, sizesOf } from './record-buffer.ts';
import { RESERVE_BYTES, type Reserve } from './reserve.ts';
import { createSegmentFile, type Segment } from './segments.ts';
import { emptyPlace } from './streams.ts';

/** A write is kept short, so that what arrives meanwhile waits short; one call larger than this is a write of its own. */
const WRITE_BYTES_MAX = 8 * 1024 * 1024;
/** What is written on this thread, and how long a sync may take there. */
const QUICK_BYTES_MAX = 4 * 1024;
const QUICK_SYNC_MS_MAX = 0.5;
const descriptorsPauseMs = 100;
/** Zeros that are written ahead of small writes. */
const AHEAD = Buffer.alloc(256 * 1024);

export interface CommitItem extends RecordFields {
  /** Set on the copy of a stored entry: it is written only while the entry still lies there. */
  copyOf?: { segment: number; at: number };
}

export interface CommitOptions {
  /** It makes room in the end, so it may use the reserve. */
  makesRoom?: boolean;
  /** This segment is to be finished first, if it is still the one that is written to. */
  finish?: number;
}

interface SizedItem {
  record: CommitItem;
  sizes: EncodedSizes;
}

/** One call: all of its records go with one write. */
interface Work {
  items: readonly SizedItem[];
  bytes: number;
  /** It was part of a write that found no room, and gets a write of its own now. */
  isAlone: boolean;
  options: CommitOptions;
  resolve: () => void;
  reject: (error: Error) => void;
}

interface Batch {
  works: Work[];
  items: SizedItem[];
  bytes: number;
}

export interface CommitterOptions {
  directory: string;
  disk: Disk;
  ledger: Ledger;
  reserve: Reserve;
  active: Segment;
  segmentBytes: number;
  newSalt: () => number;
  /** A segment was finished, or a stream was dropped: there may be something to reclaim. */
  onGarbage: () => void;
}

export class Committer {
  readonly #options: CommitterOptions;
  readonly #buffer = new RecordBuffer();
  readonly #place = emptyPlace();
  readonly #fence: Fence;
  #active: Segment;
  /** The file holds zeros from the last record up to here. */
  #zerosEnd = 0;
  /** What a sync takes at present: more at once when one was slow, less by halves. A disk shows that it is quick by ten of them. */
  #syncMs = 1_000 * QUICK_SYNC_MS_MAX;
  #queue: Work[] = [];
  #running: Promise<void> | undefined;
  #stopped: ((work: Work) => ShoalError) | undefined;
  #isOutOfRoom = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#active = options.active;
    this.#fence = new Fence(options.disk, options.directory);
  }

  /** The number of the segment that is written to. */
  get activeNumber(): number {
    return this.#active.number;
  }

  /** The last thing that was refused found no room, and nothing was finished since to make some. */
  get isOutOfRoom(): boolean {
    return this.#isOutOfRoom;
  }

  /** Resolves when all are durable or were so before. All of them go with one write. */
  commit(records: readonly CommitItem[], options: CommitOptions = {}): Promise<void> {
    if (records.length === 0) return Promise.resolve();
    const items = records.map((record) => ({ record, sizes: sizesOf(record) }));
    const bytes = items.reduce((sum, { sizes }) => sum + sizes.bytes, 0);
    return new Promise((resolve, reject) => {
      this.#queue.push({ items, bytes, isAlone: options.finish !== undefined, options, resolve, reject });
      // In a microtask, so that calls made together share the first write already.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  /** Goes on in a new segment, if this one is still the one that is written to. */
  finish(number: number): Promise<void> {
    // A record that says nothing: there is no segment 0.
    const nothing: CommitItem = { kind: RECORD_REMOVED, stream: '', seq: 0, writer: '', head: new Uint8Array(0), body: [] };
    return this.commit([nothing], { makesRoom: true, finish: number });
  }

  /** Resolves when all that was asked for is decided. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Writes nothing any more; every call rejects with this. */
  stop(error: ShoalError): void {
    this.#stopped ??= () => error;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      try {
        if (batch.works.length > 0) await this.#write(batch);
      } catch (error) {
        this.#poison(batch, error);
      }
    }
    this.#running = undefined;
  }

  #nextBatch(): Batch {
    const batch: Batch = { works: [], items: [], bytes: 0 };
    const touched = new Touched();
    let next = 0;
    for (const work of this.#queue) {
      if (batch.works.length > 0 && (!this.#fits(batch, work) || touched.decides(work))) break;
      next += 1;
      const items = this.#admit(work);
      if (items === undefined) continue;
      touched.add(work);
      batch.works.push(work);
      batch.items.push(...items);
      for (const { sizes } of items) batch.bytes += sizes.bytes;
      if (work.isAlone) break;
    }
    this.#queue.splice(0, next);
    return batch;
  }

  #fits(batch: Batch, work: Work): boolean {
    const bytes = batch.bytes + work.bytes;
    return !work.isAlone && bytes <= WRITE_BYTES_MAX && this.#active.bytes + bytes <= this.#options.segmentBytes;
  }

  /** What of a call is to be written; undefined if it is settled already. */
  #admit(work: Work): readonly SizedItem[] | undefined {
    try {
      if (this.#stopped !== undefined) throw this.#stopped(work);
      if (work.bytes > SEGMENT_BYTES_MAX / 2) {
        throw entryRefusedError(`one append of ${work.bytes} bytes is more than a segment can hold; split it`);
      }
      const items = work.items.filter(({ record }) => this.#isNew(record));
      if (items.length > 0) return items;
      work.resolve();
    } catch (error) {
      work.reject(error as Error);
    }
    return undefined;
  }

  #isNew(record: CommitItem): boolean {
    const { streams } = this.#options.ledger;
    if (record.kind === RECORD_DROP) return !streams.isClosed(record.stream);
    if (record.kind !== RECORD_ENTRY) return true;
    const place = this.#place;
    const isStored = streams.find(record.stream, record.seq, place);
    if (record.copyOf !== undefined) return isStored && place.segment === record.copyOf.segment && place.at === record.copyOf.at;
    if (isStored ? place.writer !== record.writer : streams.isClosed(record.stream)) throw new ConflictError(record.stream, record.seq);
    return !isStored;
  }

  async #write(batch: Batch): Promise<void> {
    const { disk, segmentBytes } = this.#options;
    const isTooLarge = this.#active.bytes + batch.bytes > segmentBytes && this.#active.bytes > this.#active.headerBytes;
    const isFinished = batch.works[0]?.options.finish === this.#active.number;
    const isQuick = batch.bytes <= QUICK_BYTES_MAX && this.#queue.length === 0 && this.#syncMs <= QUICK_SYNC_MS_MAX;
    try {
      if ((isTooLarge || isFinished) && !(await this.#roll())) return this.#lose(batch);
      if (isQuick && this.#active.bytes + batch.bytes > this.#zerosEnd) await this.#writeAhead(this.#active);
      await this.#writeRecords(batch, this.#active, isQuick);
    } catch (error) {
      if (!isFull(error)) throw error;
      await this.#refuseFull(batch, error);
      return;
    }
    const startedMs = disk.nowMs();
    await disk.sync(openHandle(this.#active), isQuick);
    const tookMs = disk.nowMs() - startedMs;
    this.#syncMs = Math.max(tookMs, (this.#syncMs + tookMs) / 2);
    const isSuperseded = this.#isSuperseded();
    if (isSuperseded === true || (isSuperseded && (await isSuperseded))) return this.#lose(batch);
    this.#confirm(batch);
  }

  /** Where there is no room for zeros, records go on without. */
  async #writeAhead(segment: Segment): Promise<void> {
    const { disk, segmentBytes } = this.#options;
    const bytes = Math.min(AHEAD.length, segmentBytes - segment.bytes);
    if (bytes <= 0 || this.#isOutOfRoom) return;
    const file = openHandle(segment);
    try {
      await disk.write(file, [AHEAD.subarray(0, bytes)], segment.bytes);
      this.#zerosEnd = segment.bytes + bytes;
    } catch (error) {
      if (!isFull(error)) throw error;
      await this.#cutBack(file, segment.bytes);
    }
  }

  async #writeRecords(batch: Batch, segment: Segment, isQuick: boolean): Promise<void> {
    const { disk } = this.#options;
    const file = openHandle(segment);
    const pieces = this.#encode(batch, segment);
    try {
      await disk.write(file, pieces, segment.bytes, isQuick);
    } catch (error) {
      if (isFull(error)) await this.#cutBack(file, segment.bytes);
      throw error;
    }
  }

  async #cutBack(file: DiskFile, bytes: number): Promise<void> {
    const { disk } = this.#options;
    this.#zerosEnd = 0;
    try {
      await disk.truncate(file, bytes);
      await disk.sync(file);
    } catch (cause) {
      throw new Error(`what a full disk had cut off could not be taken back: ${String(cause)}`, { cause });
    }
  }

  #encode(batch: Batch, segment: Segment): readonly Uint8Array[] {
    this.#buffer.begin(batch.items.reduce((sum, { record, sizes }) => sum + copiedBytes(record, sizes), 0));
    let at = segment.bytes;
    const end = at + batch.bytes;
    for (const { record, sizes } of batch.items) {
      const moreFollow = at + sizes.bytes < end;
      this.#buffer.add(record, sizes, { at, writtenFrom: segment.bytes, salt: segment.salt, moreFollow });
      at += sizes.bytes;
    }
    return this.#buffer.end();
  }

  #confirm(batch: Batch): void {
    const segment = this.#active;
    const { ledger, onGarbage } = this.#options;
    let hasGarbage = false;
    for (const { record, sizes } of batch.items) {
      const { kind, stream, seq, writer, head } = record;
      const { bodyBytes, bytes } = sizes;
      ledger.apply({ kind, stream, seq, writer, head, headBytes: head.length, bodyBytes, bytes }, segment.number, segment.bytes);
      segment.bytes += bytes;
      hasGarbage ||= kind === RECORD_DROP;
    }
    for (const work of batch.works) work.resolve();
    if (hasGarbage) onGarbage();
  }

  /** Goes on in a new segment; false if another opener has it. */
  async #roll(): Promise<boolean> {
    const { disk, directory, ledger, newSalt, onGarbage } = this.#options;
    const number = this.#active.number + 1;
    const handle = await this.#withDescriptors(async () => {
      // Each time: the next number may be free again, had by another one, and given back.
      if (await this.#isSuperseded()) return undefined;
      return createSegmentFile(disk, directory, number);
    });
    if (handle === undefined) return false;
    const salt = newSalt();
    const header = encodeHeader({ number, salt, seals: ledger.segments.seals() });
    try {
      await disk.write(handle, [header], 0);
    } catch (error) {
      await handle.close();
      // A failing disk may have taken the header all the same, and then it may count for another opener already.
      if (isFull(error)) await disk.unlink(ledger.segments.pathOf(number));
      throw error;
    }
    // Together: file systems with a journal of their own make one commit of the two.
    await Promise.all([disk.sync(handle), this.#withDescriptors(() => disk.syncDirectory(directory))]);
    this.#isOutOfRoom = false;
    this.#zerosEnd = 0;
    this.#active = ledger.segments.add({ number, salt, headerBytes: header.length, bytes: header.length, handle });
    onGarbage();
    return true;
  }

  async #refuseFull(batch: Batch, error: unknown): Promise<void> {
    if (await this.#isSuperseded()) return this.#lose(batch);
    const [only, another] = batch.works;
    if (another !== undefined) {
      // Together they had no room; a small one may still find some.
      for (const work of batch.works) work.isAlone = true;
      this.#queue.unshift(...batch.works);
    } else if (this.#mayUseReserve(only) && (await this.#options.reserve.release())) {
      this.#queue.unshift(only);
    } else {
      const { directory } = this.#options;
      this.#isOutOfRoom = true;
      only?.reject(new JournalFullError(`no space left for ${batch.bytes} bytes in ${directory}`, error));
    }
  }

  #mayUseReserve(work: Work | undefined): work is Work {
    return work?.options.makesRoom === true && work.bytes <= RESERVE_BYTES / 2;
  }

  /** A promise only where there is no descriptor to look with. */
  #isSuperseded(): boolean | Promise<boolean> {
    const look = (): boolean => this.#fence.isSuperseded(this.#active.number);
    try {
      return look();
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
      return pause(descriptorsPauseMs).then(() => this.#withDescriptors(look));
    }
  }

  async #withDescriptors<T>(act: () => T | Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        await pause(descriptorsPauseMs);
      }
    }
  }

  #lose(batch: Batch): void {
    this.#stopped = (work) => {
      const { stream, seq } = work.items[0]?.record ?? { stream: '', seq: 0 };
      return new ConflictError(stream, seq);
    };
    for (const work of batch.works) work.reject(this.#stopped(work));
  }

  #poison(batch: Batch, cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause);
    const { directory } = this.#options;
    this.stop(
      new OutcomeUnknownError(`a write to ${directory} failed: ${why}; nothing more is written until the journal is opened again`, cause),
    );
    for (const work of batch.works) if (this.#stopped !== undefined) work.reject(this.#stopped(work));
  }
}

/** The streams and entries that a write already holds, to keep those apart from it that it would decide (C1). */
class Touched {
  readonly #works: Work[] = [];
  readonly #keys = new Set<string>();

  add(work: Work): void {
    this.#works.push(work);
  }

  /** Most writes hold one call: its keys are made only when a second one comes. */
  decides(work: Work): boolean {
    for (const added of this.#works.splice(0)) {
      for (const { record } of added.items) this.#keys.add(keyOf(record));
    }
    return work.items.some(({ record }) => this.#keys.has(keyOf(record)) || this.#keys.has(`drop ${record.stream}`));
  }
}

function keyOf({ kind, seq, stream }: RecordFields): string {
  return kind === RECORD_DROP ? `drop ${stream}` : `${kind} ${seq} ${stream}`;
}

function openHandle(segment: Segment): DiskFile {
  if (segment.handle === undefined) throw new Error(`segment ${segment.number} is not open for writing`);
  return segment.handle;
}
