/**
 * The Journal plug: append-only streams of entries with put-if-absent on (stream, seq). That is all
 * that safety needs (DESIGN.md, rules 1–3): the coordinator's single-writer rule is built on conflicts.
 *
 * Contract, tested by `journal.suite.ts` on every adapter:
 * - `seq` counts from 0 in each stream; an append of seq n to a stream whose next free seq is not n is a
 *   ConflictError when n is taken by another writer, success when it is taken by the same `writer`
 *   (the same bytes, tried again). A gap (n beyond the next free seq) is stored as given; readers stop at the hole.
 * - One call takes at most one entry per stream and is atomic per entry only. On return all are durable.
 * - `head` is what takeover folds; `body` is payload that is only ever read by slices.
 * - The caller leaves all given bytes unchanged for ever; the journal may keep references.
 */
import { ShoalError } from '../lib/errors.ts';

export interface Entry {
  stream: string;
  seq: number;
  /** Who writes: a unique id per coordinator start. */
  writer: string;
  head: Uint8Array;
  /** The payload, in chunks, so that nothing needs to be copied together. */
  body: readonly Uint8Array[];
}

/** `offset` counts in the entry's body, chunks joined. */
export interface BodySlice {
  seq: number;
  offset: number;
  length: number;
}

export interface Journal {
  /** head + body of one entry together must not exceed this. */
  readonly maxEntryBytes: number;
  /**
   * What a confirmed append survives: none = nothing, it ends with its process; process = every end of the coordinator, but
   * not a crash of the machine or server that stores it; host = that, too, and a loss of power; replicated = a machine.
   */
  readonly durability: 'none' | 'process' | 'host' | 'replicated';
  /** ConflictError: some others may be stored. OutcomeUnknownError: any subset, now or later. JournalFullError: none. */
  append(entries: readonly Entry[]): Promise<void>;
  /** Entries in order from `from`, up to `to` (exclusive) or the first hole. part 'head' leaves `body` empty. An unknown or dropped stream is empty. */
  read(stream: string, range: { from: number; to?: number; part: 'head' | 'all' }): AsyncIterable<readonly Entry[]>;
  /** The bytes of each slice, in the order asked. A slice that does not exist is a JournalCorruptError. */
  readBodies(stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]>;
  /** Idempotent. The stream stays closed for ever: append is ConflictError. Its space is reclaimed. */
  drop(stream: string): Promise<void>;
  /** Idempotent; any call afterwards rejects with SH4005. */
  close(): Promise<void>;
}

/** SH4001: another writer has written here. */
export class ConflictError extends ShoalError {
  override readonly name = 'ConflictError';
  readonly stream: string;
  readonly seq: number;
  constructor(stream: string, seq: number) {
    super('SH4001', `stream ${stream} has an entry ${seq} of another writer, or is closed`);
    this.stream = stream;
    this.seq = seq;
  }
}

/** SH4002: stored or not, now or later, nobody knows; try the same bytes again. */
export class OutcomeUnknownError extends ShoalError {
  override readonly name = 'OutcomeUnknownError';
  constructor(why: string, cause?: unknown) {
    super('SH4002', `the journal did not confirm an append`, { why, cause });
  }
}

/** SH4003: no room; nothing was stored. */
export class JournalFullError extends ShoalError {
  override readonly name = 'JournalFullError';
  constructor(why: string, cause?: unknown) {
    super('SH4003', `the journal has no room left`, { why, cause, hint: 'free some space; running work is kept and goes on by itself' });
  }
}

/** SH4004: what is stored is damaged; never skipped in silence. */
export class JournalCorruptError extends ShoalError {
  override readonly name = 'JournalCorruptError';
  constructor(what: string, hint?: string, cause?: unknown) {
    super('SH4004', what, { hint, cause });
  }
}
