/**
 * The journal of `file:DIR`: durable on the local disk, for one process at a time. This file puts the parts together:
 *
 *   recover.ts   opens the directory and reads the log into the ledger      lock.ts      tells a second opener who is there
 *   ledger.ts    what all records add up to                                 streams.ts   where each entry lies
 *   committer.ts writes, one fdatasync for all that came meanwhile          read.ts      entries and slices
 *   reclaim.ts   gives back the room of dropped streams                     format.ts    the bytes
 */
import { randomBytes } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { ShoalError } from '../../lib/errors.ts';
import { makeFolder } from '../../lib/make-folder.ts';
import { checkEntries, checkName, entryRefusedError, journalClosedError } from '../checks.ts';
import type { BodySlice, Entry, Journal } from '../journal.ts';
import { Committer } from './committer.ts';
import { type Disk, errorCode, nodeDisk } from './disk.ts';
import { RECORD_DROP, RECORD_ENTRY, SEGMENT_BYTES_MAX } from './format.ts';
import type { Ledger } from './ledger.ts';
import { type Lock, lockDirectory, type TakeOver } from './lock.ts';
import { readEntries, readSlices } from './read.ts';
import { Reclaimer } from './reclaim.ts';
import { openSegments } from './recover.ts';
import { Reserve } from './reserve.ts';

export interface FileJournalOptions {
  /** A segment file grows to about this, then the next one begins. Default 64 MiB. */
  segmentBytes?: number;
  /** Default 64 MiB. */
  maxEntryBytes?: number;
  /**
   * Open although a living process holds the directory, for a coordinator that was elected while the last one
   * hangs. That one's next append conflicts. `elected`: only if that one was opened so as well. Default false: refuse with
   * SH4006.
   */
  takeOver?: TakeOver;
}

export interface FileJournal extends Journal {
  readonly directory: string;
  /** Resolves when the room of all that was dropped so far is given back, or can't be. */
  reclaimed(): Promise<void>;
}

const MEBIBYTE = 1024 * 1024;
const SEGMENT_BYTES_DEFAULT = 64 * MEBIBYTE;
const ENTRY_BYTES_DEFAULT = 256 * MEBIBYTE;

/** `disk` is for tests that stand between the journal and its files. */
export async function openFileJournal(path: string, options: FileJournalOptions = {}, disk: Disk = nodeDisk): Promise<FileJournal> {
  const directory = resolve(path);
  const segmentBytes = options.segmentBytes ?? SEGMENT_BYTES_DEFAULT;
  if (!(segmentBytes > 0 && segmentBytes <= SEGMENT_BYTES_MAX / 2)) {
    throw entryRefusedError(`a segment has 1 to ${SEGMENT_BYTES_MAX / 2} bytes, not ${segmentBytes}`);
  }
  await makeDirectory(directory, disk);
  return openFiles({
    directory,
    disk,
    lock: await lockDirectory(directory, { takeOver: options.takeOver ?? false }),
    newSalt: () => randomBytes(4).readUInt32LE(),
    segmentBytes,
    maxEntryBytes: options.maxEntryBytes ?? ENTRY_BYTES_DEFAULT,
  });
}

export interface OpenFiles {
  directory: string;
  disk: Disk;
  /** Released when the journal is closed, or can't be opened. */
  lock: Lock;
  /** 32 random bits, for each segment its own. */
  newSalt: () => number;
  segmentBytes: number;
  maxEntryBytes: number;
}

/** The journal of a directory that is there and locked, as far as a lock goes: here it touches nothing but `disk`. */
export async function openFiles({ directory, disk, lock, newSalt, segmentBytes, maxEntryBytes }: OpenFiles): Promise<FileJournal> {
  try {
    const reserve = new Reserve(directory, disk);
    const { ledger, active } = await openSegments({ directory, disk, reserve, newSalt });
    const committer: Committer = new Committer({
      directory,
      disk,
      ledger,
      reserve,
      active,
      segmentBytes,
      newSalt,
      onGarbage: () => reclaimer.wake(),
    });
    const reclaimer = new Reclaimer({ disk, ledger, committer, reserve, segmentBytes });
    await reserve.restore();
    reclaimer.wake();
    return new OpenJournal(directory, maxEntryBytes, { ledger, committer, reclaimer, lock });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Creates what is missing of the path, durably. SH4009 where that can't be done. */
async function makeDirectory(directory: string, disk: Disk): Promise<void> {
  let first: string | undefined;
  try {
    first = makeFolder(directory);
  } catch (error) {
    const cause = error as Error;
    throw new ShoalError('SH4009', `the journal can't be kept in ${directory}`, {
      why: errorCode(cause) === 'EEXIST' ? 'it is no directory' : cause.message,
      hint: 'give it a directory that this user may write to, or one that is yet to be made: file:DIR',
      cause,
    });
  }
  if (first === undefined) return;
  for (let path = directory; path !== dirname(first); path = dirname(path)) await disk.syncDirectory(dirname(path));
}

interface Parts {
  ledger: Ledger;
  committer: Committer;
  reclaimer: Reclaimer;
  lock: Lock;
}

class OpenJournal implements FileJournal {
  readonly directory: string;
  readonly maxEntryBytes: number;
  readonly durability = 'host';
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  constructor(directory: string, maxEntryBytes: number, parts: Parts) {
    this.directory = directory;
    this.maxEntryBytes = maxEntryBytes;
    this.#parts = parts;
  }

  async append(entries: readonly Entry[]): Promise<void> {
    this.#checkOpen();
    checkEntries(entries, this.maxEntryBytes);
    await this.#parts.committer.commit(
      entries.map(({ stream, seq, writer, head, body }) => ({ kind: RECORD_ENTRY, stream, seq, writer, head, body })),
    );
  }

  async *read(stream: string, range: { from: number; to?: number; part: 'head' | 'all' }): AsyncGenerator<readonly Entry[]> {
    this.#checkOpen();
    for await (const entries of readEntries(this.#parts.ledger, stream, range)) {
      yield entries;
      this.#checkOpen();
    }
  }

  async readBodies(stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
    this.#checkOpen();
    return readSlices(this.#parts.ledger, stream, slices);
  }

  async drop(stream: string): Promise<void> {
    this.#checkOpen();
    checkName('stream', stream);
    const record = { kind: RECORD_DROP, stream, seq: 0, writer: '', head: new Uint8Array(0), body: [] } as const;
    await this.#parts.committer.commit([record], { makesRoom: true });
  }

  reclaimed(): Promise<void> {
    return this.#parts.reclaimer.idle();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { ledger, committer, reclaimer, lock } = this.#parts;
    try {
      await committer.drain();
      await reclaimer.stop();
      await committer.drain();
      await ledger.segments.close();
    } finally {
      await lock.release();
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw journalClosedError();
  }
}
