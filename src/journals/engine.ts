/**
 * What a database has to do so that `on-engine.ts` can make a Journal of it: put-if-absent of one row for each entry, and
 * ways to read it back.
 *
 * An adapter knows its client library and its server, and nothing else. What all of them need alike is `on-engine.ts`'s:
 * deadlines, trying again, cutting large entries into pieces, pages and slices, remembering what was confirmed.
 *
 * Every call is one try. It rejects with a ShoalError for what trying again won't mend (a conflict, no room, no rights),
 * with anything else for what it may: the server is away, busy, in between. When its `signal` aborts nobody waits for it
 * any more: the connection that it hangs on is given up.
 */
import { ShoalError } from '../lib/errors.ts';
import type { Finding } from '../lib/finding.ts';
import type { Journal } from './journal.ts';

/** An entry as it is stored: what of it lies in its own row, and how much there is in all. */
export interface Row {
  seq: number;
  writer: string;
  /** The first `pieceBytesMax` of it; what is beyond is in the pieces −1, −2, … */
  head: Uint8Array;
  headBytes: number;
  /** The first `pieceBytesMax` of it, empty if only heads were asked for; what is beyond is in the pieces 1, 2, … */
  body: Uint8Array;
  bodyBytes: number;
}

export interface NewRow extends Row {
  stream: string;
  /** The entry before this one was confirmed. Where it is missing the server has lost what it confirmed (SH4011). */
  follows: boolean;
}

/** Of an entry that is too large for its row; stored before it, so that the row commits the whole entry. */
export interface Piece {
  stream: string;
  seq: number;
  /** Pieces of a writer who then found the place taken must not become those of the other. */
  writer: string;
  part: number;
  bytes: Uint8Array;
}

/** Bytes `from` to `to` of a piece; piece 0 is the body in the row. */
export interface PieceRange {
  seq: number;
  part: number;
  from: number;
  to: number;
}

export interface EngineOptions {
  /** As the user gave it, credentials within. Never in an error's text. */
  url: URL;
  /** Hosts beyond the URL's own, `HOST` or `HOST:PORT`. */
  otherHosts: readonly string[];
  /** Whose streams these are: several clusters may share what stores them. `[a-z0-9-]{1,64}` */
  cluster: string;
  /** How long a connection may take to come about. */
  deadlineMs: number;
  /** Aborts when nobody waits for the opening any more: whatever it hangs on is given up (`heeding`). */
  signal: AbortSignal;
}

/** Rejects with a ShoalError, by 10 s or once its signal aborts. The client library is imported within (see `lib/peer.ts`). */
export type OpenEngine = (options: EngineOptions) => Promise<Engine>;

export interface Engine {
  /** As errors name it: `the PostgreSQL journal`. */
  readonly what: string;
  readonly durability: Journal['durability'];
  /** What one row or piece takes, of head and of body each. Part of the format: never changed. */
  readonly pieceBytesMax: number;
  /** At most one row a stream. Durable on return; atomic for each row. ConflictError, JournalFullError: none was stored. */
  append(rows: readonly NewRow[], signal: AbortSignal): Promise<void>;
  /** Pieces that are there already stay. Of a closed stream none need be stored: the row won't be either. */
  putPieces(pieces: readonly Piece[], signal: AbortSignal): Promise<void>;
  /** Rows of seqs `from` to `to` (exclusive) in order; those behind a hole may be left out. */
  rows(stream: string, range: { from: number; to: number; part: 'head' | 'all' }, signal: AbortSignal): Promise<readonly Row[]>;
  /** What there is of each range, shorter where the piece ends; undefined without the row or the piece. */
  pieces(stream: string, ranges: readonly PieceRange[], signal: AbortSignal): Promise<readonly (Uint8Array | undefined)[]>;
  /** All that is stored of the streams goes, and they stay closed. */
  drop(streams: readonly string[], signal: AbortSignal): Promise<void>;
  /** Reads only, and needs no more rights than the rest. */
  inspect(): Promise<readonly Finding[]>;
  /** Leaves no timer and no socket behind; called once, when no call is awaited any more. */
  close(): Promise<void>;
}

/** Rejects once nobody waits any more, whatever becomes of `work`. */
export function heeding<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** SH4010: nobody knows when it comes back; whoever asked may ask again. */
export function unreachableError(what: string, why: string, cause?: unknown): ShoalError {
  return new ShoalError('SH4010', `${what} does not answer`, {
    why,
    hint: 'see whether the server runs, whether its address is right, and whether this machine may reach it',
    cause,
  });
}

/** SH4011 (S07): going on would put new facts on top of a hole. */
export function journalLostError(what: string, stream: string, seq: number): ShoalError {
  return new ShoalError('SH4011', `${what} has lost entry ${seq} of stream ${stream}, which it had confirmed`, {
    why: 'it came back with older data: a replica that was behind took over, it restarted without what it had in memory, or a backup was restored',
    hint: 'nothing was written on top of it: bring the newer data back if there is any, else start again and run what is missing',
  });
}

/** SH4012: it would lose entries sooner or later. */
export function settingRefusedError(what: string, { setting, meaning, fix }: Finding): ShoalError {
  return new ShoalError('SH4012', `${what} has ${setting}: ${meaning}`, { hint: fix });
}

/** SH4013: the server knows this user, or not, and says no. */
export function forbiddenError(what: string, why: string, hint: string): ShoalError {
  return new ShoalError('SH4013', `${what} does not let this user in, or do what is needed`, { why, hint });
}
