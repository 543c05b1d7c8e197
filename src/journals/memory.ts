/**
 * The journal of `memory:`: the default of the quick start, the reference for the other adapters and
 * the simulator's disk. It keeps the entries that it is given, copies nothing and waits for nothing.
 *
 * It outlives no process: durability 'none', and `close` lets everything go.
 */
import { RecentSet } from '../lib/recent-set.ts';
import { checkEntries, journalClosedError, missingSliceError } from './checks.ts';
import { type BodySlice, ConflictError, type Entry, type Journal } from './journal.ts';

export interface MemoryJournalOptions {
  maxEntryBytes?: number;
}

const MAX_ENTRY_BYTES_DEFAULT = 256 * 1024 * 1024;

/** How many entries `read` hands out at once. */
const READ_ENTRIES_MAX = 1024;

/** Names of dropped streams that are remembered; the oldest are forgotten, since their ids are never used again (rule 12). */
const DROPPED_MAX = 10_000;

const NO_BYTES = new Uint8Array(0);

/** One for all appends: they are done when they return. */
const DONE = Promise.resolve();

interface Stream {
  /** Entry n at n, up to the first hole. */
  entries: Entry[];
  /** Entries after the first hole; absent where there never was one. */
  beyond: Map<number, Entry> | undefined;
}

export function memoryJournal(options: MemoryJournalOptions = {}): Journal {
  return new MemoryJournal(options.maxEntryBytes ?? MAX_ENTRY_BYTES_DEFAULT);
}

class MemoryJournal implements Journal {
  readonly maxEntryBytes: number;
  readonly durability = 'none';
  readonly #streams = new Map<string, Stream>();
  readonly #dropped = new RecentSet<string>(DROPPED_MAX);
  #isClosed = false;

  constructor(maxEntryBytes: number) {
    this.maxEntryBytes = maxEntryBytes;
  }

  append(entries: readonly Entry[]): Promise<void> {
    try {
      this.#checkOpen();
      checkEntries(entries, this.maxEntryBytes);
      // All are checked before the first is stored: here a conflict means that nothing was.
      for (const entry of entries) this.#checkFree(entry);
    } catch (error) {
      return Promise.reject(error);
    }
    for (const entry of entries) this.#store(entry);
    return DONE;
  }

  async *read(name: string, range: { from: number; to?: number; part: 'head' | 'all' }): AsyncGenerator<readonly Entry[]> {
    this.#checkOpen();
    const to = range.to ?? Number.POSITIVE_INFINITY;
    let at = range.from;
    while (at < to) {
      const entries = this.#streams.get(name)?.entries.slice(at, Math.min(to, at + READ_ENTRIES_MAX));
      if (entries === undefined || entries.length === 0) return;
      yield range.part === 'all' ? entries : entries.map((entry) => ({ ...entry, body: [] }));
      at += entries.length;
      this.#checkOpen();
    }
  }

  readBodies(name: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
    try {
      this.#checkOpen();
      const stream = this.#streams.get(name);
      const cursor = new BodyCursor(name);
      return Promise.resolve(slices.map((slice) => cursor.take(stream && storedAt(stream, slice.seq), slice)));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  drop(name: string): Promise<void> {
    if (this.#isClosed) return Promise.reject(journalClosedError());
    this.#dropped.add(name);
    this.#streams.delete(name);
    return DONE;
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#streams.clear();
    this.#dropped.clear();
    return DONE;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw journalClosedError();
  }

  #checkFree(entry: Entry): void {
    const stream = this.#streams.get(entry.stream);
    const stored = stream && storedAt(stream, entry.seq);
    if (stored === undefined ? this.#dropped.has(entry.stream) : stored.writer !== entry.writer) {
      throw new ConflictError(entry.stream, entry.seq);
    }
  }

  #store(entry: Entry): void {
    let stream = this.#streams.get(entry.stream);
    if (stream === undefined) {
      stream = { entries: [], beyond: undefined };
      this.#streams.set(entry.stream, stream);
    }
    const { entries } = stream;
    if (entry.seq < entries.length) return;
    if (entry.seq > entries.length) {
      stream.beyond ??= new Map();
      if (!stream.beyond.has(entry.seq)) stream.beyond.set(entry.seq, entry);
      return;
    }
    entries.push(entry);
    if (stream.beyond !== undefined) closeHole(stream, stream.beyond);
  }
}

function storedAt(stream: Stream, seq: number): Entry | undefined {
  return stream.entries[seq] ?? stream.beyond?.get(seq);
}

function closeHole(stream: Stream, beyond: Map<number, Entry>): void {
  for (let next = beyond.get(stream.entries.length); next !== undefined; next = beyond.get(stream.entries.length)) {
    beyond.delete(next.seq);
    stream.entries.push(next);
  }
}

/**
 * Finds slices in an entry's chunks. Callers ask for neighbours one after another, so it goes on from
 * the chunk where the last slice began instead of walking from the first each time.
 */
class BodyCursor {
  readonly #stream: string;
  #entry: Entry | undefined;
  #chunk = 0;
  #chunkStart = 0;

  constructor(stream: string) {
    this.#stream = stream;
  }

  take(entry: Entry | undefined, slice: BodySlice): Uint8Array {
    if (entry === undefined || !(slice.offset >= 0 && slice.length >= 0)) throw this.#missing(slice);
    if (entry !== this.#entry || slice.offset < this.#chunkStart) {
      this.#entry = entry;
      this.#chunk = 0;
      this.#chunkStart = 0;
    }
    const { body } = entry;
    let chunk = body[this.#chunk];
    while (chunk !== undefined && slice.offset >= this.#chunkStart + chunk.length) {
      this.#chunkStart += chunk.length;
      this.#chunk += 1;
      chunk = body[this.#chunk];
    }
    const start = slice.offset - this.#chunkStart;
    if (chunk !== undefined && start + slice.length <= chunk.length) {
      return chunk.subarray(start, start + slice.length);
    }
    return this.#across(body, slice);
  }

  /** A slice that begins in one chunk and ends in a later one: the only case that copies. */
  #across(body: readonly Uint8Array[], slice: BodySlice): Uint8Array {
    if (body[this.#chunk] === undefined && slice.offset > this.#chunkStart) throw this.#missing(slice);
    if (slice.length === 0) return NO_BYTES;
    const out = new Uint8Array(slice.length);
    let from = slice.offset - this.#chunkStart;
    let filled = 0;
    for (let index = this.#chunk; filled < slice.length; index += 1) {
      const chunk = body[index];
      if (chunk === undefined) throw this.#missing(slice);
      const part = chunk.subarray(from, from + slice.length - filled);
      out.set(part, filled);
      filled += part.length;
      from = 0;
    }
    return out;
  }

  #missing(slice: BodySlice): Error {
    return missingSliceError(this.#stream, slice);
  }
}
