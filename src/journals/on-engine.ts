/**
 * A Journal on a database: what all engines need alike, around what is particular to one (`engine.ts`).
 *
 * 1. Every call ends by a deadline (S10). An append that got no answer until then is an OutcomeUnknownError; until then it
 *    is tried again by itself, which put-if-absent by the same writer allows. A read is patient for longer: a server that
 *    is away for ten seconds ends no coordinator (S09).
 * 2. An entry that is too large for a row is cut; its pieces are stored before the row that makes them an entry.
 * 3. It remembers the last entry of each stream that was confirmed or read, and says so with the next one: a server that
 *    has lost it since is found out before anything is put on top (S07).
 */
import { setTimeout as later } from 'node:timers/promises';
import { concatBytes } from '../lib/bytes.ts';
import { ShoalError } from '../lib/errors.ts';
import { checkEntries, checkName, journalClosedError } from './checks.ts';
import {
  type Engine,
  type EngineOptions,
  type NewRow,
  type OpenEngine,
  type Piece,
  type Row,
  settingRefusedError,
  unreachableError,
} from './engine.ts';
import { type BodySlice, type Entry, type Journal, OutcomeUnknownError } from './journal.ts';
import { BodyPlan } from './slices.ts';

export interface EngineJournalOptions {
  url: URL;
  otherHosts?: readonly string[];
  /** Whose streams these are. Default `shoal`. */
  cluster?: string;
  /** How long an append may stay without an answer. */
  deadlineMs?: number;
  /** How long the opening may take. Default 10 000. */
  openMs?: number;
  /** One line for the log of this process: settings that do less than one may think. */
  onWarning?: (line: string) => void;
}

const openMsDefault = 10_000;
const deadlineMsDefault = 5_000;
/** Large entries have longer: a line that is slower than this is of no use. */
const bytesPerMsMin = 4_096;
/** How many deadlines a read may take. */
const readTries = 6;
const retryMsMin = 20;
const retryMsMax = 500;

const pageBytes = 4 * 1024 * 1024;
const pageRowsMax = 1_000;
const pageRowsFirst = { head: 64, all: 4 };

const noBytes = new Uint8Array();

/** SH4010, SH4012, SH4013, SH1304 if it can't be used. */
export async function openEngineJournal(open: OpenEngine, options: EngineJournalOptions): Promise<Journal> {
  const { url, otherHosts = [], cluster = 'shoal', deadlineMs = deadlineMsDefault, openMs, onWarning } = options;
  const engine = await openEngine(open, { url, otherHosts, cluster, deadlineMs, ...(openMs !== undefined && { openMs }) });
  try {
    for (const finding of await engine.inspect()) {
      if (finding.level === 'refuse') throw settingRefusedError(engine.what, finding);
      if (finding.level === 'warning') onWarning?.(`${engine.what} has ${finding.setting}: ${finding.meaning}`);
    }
  } catch (error) {
    await engine.close();
    throw error;
  }
  return new EngineJournal(engine, deadlineMs);
}

/** By a deadline, 10 s by default. */
export function openEngine(open: OpenEngine, options: Omit<EngineOptions, 'signal'> & { openMs?: number }): Promise<Engine> {
  const { openMs = openMsDefault, ...place } = options;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${openMs / 1000} s`)), openMs);
  return open({ ...place, signal: late.signal }).finally(() => clearTimeout(timer));
}

class EngineJournal implements Journal {
  readonly maxEntryBytes = 256 * 1024 * 1024;
  readonly durability: Journal['durability'];
  readonly #engine: Engine;
  readonly #deadlineMs: number;
  #isClosed = false;
  #closing: Promise<void> | undefined;
  readonly #underWay = new Set<Promise<unknown>>();
  /** The greatest seq of each stream that was confirmed or read here. */
  readonly #heads = new Map<string, number>();
  /** Streams that go together, and when they are gone. */
  #doomed: string[] = [];
  #dropping: Promise<void> | undefined;

  constructor(engine: Engine, deadlineMs: number) {
    this.#engine = engine;
    this.durability = engine.durability;
    this.#deadlineMs = deadlineMs;
  }

  async append(entries: readonly Entry[]): Promise<void> {
    this.#checkOpen();
    checkEntries(entries, this.maxEntryBytes);
    if (entries.length > 0) await this.#begun(this.#append(entries));
  }

  async #append(entries: readonly Entry[]): Promise<void> {
    const rows: NewRow[] = [];
    const pieces: Piece[] = [];
    let bytes = 0;
    for (const entry of entries) {
      const row = cut(entry, this.#engine.pieceBytesMax, pieces);
      row.follows = this.#heads.get(entry.stream) === entry.seq - 1;
      rows.push(row);
      bytes += row.headBytes + row.bodyBytes;
    }
    await this.#tried(
      this.#deadlineMs + bytes / bytesPerMsMin,
      1,
      (why, cause) => new OutcomeUnknownError(why, cause),
      async (signal) => {
        if (pieces.length > 0) await this.#engine.putPieces(pieces, signal);
        await this.#engine.append(rows, signal);
      },
    );
    for (const { stream, seq } of entries) this.#saw(stream, seq);
  }

  async *read(stream: string, range: { from: number; to?: number; part: 'head' | 'all' }): AsyncGenerator<readonly Entry[]> {
    const { from, to = Number.MAX_SAFE_INTEGER, part } = range;
    let at = from;
    let count: number = pageRowsFirst[part];
    while (at < to) {
      this.#checkOpen();
      const asked = { from: at, to: Math.min(to, at + count), part };
      const { entries, bytes, isLast } = await this.#begun(this.#page(stream, asked));
      if (entries.length > 0) {
        this.#saw(stream, at + entries.length - 1);
        yield entries;
      }
      if (isLast) return;
      at += entries.length;
      count = Math.max(1, Math.min(pageRowsMax, count * 4, Math.floor((pageBytes * entries.length) / (bytes + 1))));
    }
  }

  async #page(
    stream: string,
    asked: { from: number; to: number; part: 'head' | 'all' },
  ): Promise<{ entries: Entry[]; bytes: number; isLast: boolean }> {
    const rows = await this.#answer((signal) => this.#engine.rows(stream, asked, signal));
    const entries: Entry[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (row.seq !== asked.from + entries.length) break;
      const entry = await this.#whole(stream, row, asked.part);
      entries.push(entry);
      bytes += entry.head.length + (asked.part === 'all' ? row.bodyBytes : 0);
    }
    return { entries, bytes, isLast: entries.length < asked.to - asked.from };
  }

  async #whole(stream: string, row: Row, part: 'head' | 'all'): Promise<Entry> {
    const head = [row.head];
    if (row.headBytes > row.head.length) head.push(...(await this.#beyond(stream, row.seq, row.headBytes, -1)));
    const body: Uint8Array[] = [];
    if (part === 'all' && row.bodyBytes > 0) body.push(row.body);
    if (part === 'all' && row.bodyBytes > row.body.length) body.push(...(await this.#beyond(stream, row.seq, row.bodyBytes, 1)));
    return { stream, seq: row.seq, writer: row.writer, head: concatBytes(head), body };
  }

  /** What is not in the row, of a head (−1) or of a body (1). */
  async #beyond(stream: string, seq: number, bytes: number, direction: 1 | -1): Promise<Uint8Array[]> {
    const { pieceBytesMax } = this.#engine;
    const pieces: Uint8Array[] = [];
    for (let from = pieceBytesMax, part = direction; from < bytes; from += pieceBytesMax, part += direction) {
      const length = Math.min(pieceBytesMax, bytes - from);
      const [piece] = await this.#answer((signal) => this.#engine.pieces(stream, [{ seq, part, from: 0, to: length }], signal));
      // Dropped while it was read, unless it was damaged: in either case there is no such entry.
      if (piece?.length !== length) throw new BodyPlan(stream, pieceBytesMax).missing({ seq, offset: from, length });
      pieces.push(piece);
    }
    return pieces;
  }

  async readBodies(stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
    this.#checkOpen();
    return this.#begun(this.#slices(stream, slices));
  }

  async #slices(stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
    const plan = new BodyPlan(stream, this.#engine.pieceBytesMax);
    for (const slice of slices) plan.add(slice);
    for (const ranges of plan.batches()) plan.take(ranges, await this.#answer((signal) => this.#engine.pieces(stream, ranges, signal)));
    return plan.bytes();
  }

  async drop(stream: string): Promise<void> {
    this.#checkOpen();
    checkName('stream', stream);
    this.#doomed.push(stream);
    // Whatever is dropped in the same moment goes in one call.
    this.#dropping ??= Promise.resolve().then(() => {
      const streams = [...new Set(this.#doomed)];
      this.#doomed = [];
      this.#dropping = undefined;
      return this.#tried(this.#deadlineMs, 1, this.#silent, (signal) => this.#engine.drop(streams, signal));
    });
    await this.#begun(this.#dropping);
    this.#heads.delete(stream);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#closing ??= (async () => {
      await Promise.allSettled(this.#underWay);
      await this.#engine.close();
    })();
    return this.#closing;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw journalClosedError();
  }

  #saw(stream: string, seq: number): void {
    if (seq > (this.#heads.get(stream) ?? -1)) this.#heads.set(stream, seq);
  }

  /** `close` waits for it. */
  #begun<T>(call: Promise<T>): Promise<T> {
    this.#underWay.add(call);
    const forget = (): void => void this.#underWay.delete(call);
    call.then(forget, forget);
    return call;
  }

  readonly #silent = (why: string, cause: unknown): ShoalError => unreachableError(this.#engine.what, why, cause);

  #answer<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#tried(this.#deadlineMs, readTries, this.#silent, ask);
  }

  /** Until it is answered, at most `deadlines` times as long as one try may take. */
  async #tried<T>(
    deadlineMs: number,
    deadlines: number,
    silence: (why: string, cause: unknown) => ShoalError,
    ask: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const endMs = performance.now() + deadlineMs * deadlines;
    for (let retryMs = retryMsMin; ; retryMs = Math.min(2 * retryMs, retryMsMax)) {
      const leftMs = endMs - performance.now();
      try {
        return await byDeadline(Math.min(deadlineMs, leftMs), ask);
      } catch (error) {
        if (error instanceof ShoalError) throw error;
        if (performance.now() + retryMs >= endMs) throw silence(error instanceof Error ? error.message : String(error), error);
      }
      await later(retryMs);
    }
  }
}

async function byDeadline<T>(deadlineMs: number, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${Math.round(deadlineMs)} ms`));
      controller.abort();
    }, deadlineMs);
  });
  try {
    return await Promise.race([ask(controller.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What does not fit into the row goes to `pieces`. */
function cut(entry: Entry, pieceBytesMax: number, pieces: Piece[]): NewRow {
  const { stream, seq, writer } = entry;
  const body = concatBytes(entry.body);
  const beyond = (bytes: Uint8Array, direction: 1 | -1): void => {
    for (let from = pieceBytesMax, part = direction; from < bytes.length; from += pieceBytesMax, part += direction) {
      pieces.push({ stream, seq, writer, part, bytes: bytes.subarray(from, from + pieceBytesMax) });
    }
  };
  beyond(entry.head, -1);
  beyond(body, 1);
  return {
    stream,
    seq,
    writer,
    head: entry.head.subarray(0, pieceBytesMax),
    headBytes: entry.head.length,
    body: body.length === 0 ? noBytes : body.subarray(0, pieceBytesMax),
    bodyBytes: body.length,
    follows: false,
  };
}
