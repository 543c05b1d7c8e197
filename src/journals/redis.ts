/**
 * The journal in Redis (6.2 or later, and Valkey). An entry is a field of its stream's hash; a script looks whether it is taken
 * and stores it, in one go (`redis/scripts.ts`).
 *
 * - Bodies are strings of their own, so that a slice of one is read without the rest.
 * - Ids of closed streams stay in a set: no script stores anything in one (C06).
 * - A failover or a restart may bring back older data. Each entry names the one before it, and is refused where that is
 *   missing (S07).
 * - One connection, found anew after each loss: the master of these keys may be another one by then.
 */
import { createHash } from 'node:crypto';
import { ShoalError } from '../lib/errors.ts';
import type { Finding } from '../lib/finding.ts';
import { connectTo, type RedisConnection, type RedisReply } from '../lib/redis.ts';
import {
  type Engine,
  type EngineOptions,
  forbiddenError,
  heeding,
  journalLostError,
  type NewRow,
  type OpenEngine,
  type Piece,
  type PieceRange,
  type Row,
  unreachableError,
} from './engine.ts';
import { ConflictError, type Journal, JournalFullError } from './journal.ts';
import { appendScript, closeScript, dropScript, pieceScript, slicesScript } from './redis/scripts.ts';
import { lookAt, type RedisSettings } from './redis/settings.ts';

const what = 'the Redis journal';
const format = 1;
/** Of one run of a script: others wait for it. */
const scriptBytesMax = 8 * 1024 * 1024;
const scriptRowsMax = 500;

type Argument = string | Uint8Array;

export const openRedisEngine: OpenEngine = async (options) => {
  const engine = new RedisEngine(options);
  try {
    await heeding(options.signal, engine.look());
  } catch (error) {
    await engine.close();
    throw error instanceof ShoalError ? error : unreachableError(what, (error as Error).message, error);
  }
  return engine;
};

class RedisEngine implements Engine {
  readonly what = what;
  readonly pieceBytesMax = 4 * 1024 * 1024;
  readonly #options: EngineOptions;
  readonly #prefix: string;
  readonly #closed: string;
  #settings: RedisSettings = { durability: 'process', findings: [] };
  #connection: RedisConnection | undefined;
  #connecting: Promise<RedisConnection> | undefined;
  #isClosed = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#prefix = `shoal:{${options.cluster}}:journal:`;
    this.#closed = `${this.#prefix}closed`;
  }

  get durability(): Journal['durability'] {
    return this.#settings.durability;
  }

  async look(): Promise<void> {
    const never = new AbortController().signal;
    const written = Number(await this.#command(['GET', `${this.#prefix}format`], never));
    if (written > format) {
      throw new ShoalError('SH4007', `${what} was written by a newer version of Shoal (format ${written})`, {
        hint: 'use that version, or another cluster name',
      });
    }
    this.#settings = await lookAt(await this.#connected(), this.#options.url);
  }

  async append(rows: readonly NewRow[], signal: AbortSignal): Promise<void> {
    for (const some of runs(rows)) await this.#appendRun(some, signal);
  }

  async #appendRun(rows: readonly NewRow[], signal: AbortSignal): Promise<void> {
    const given: Argument[] = [this.#prefix];
    for (const row of rows) {
      const beginning = beginningOf(row.writer);
      given.push(idOf(row.stream), `${row.seq}`, row.follows ? `${row.seq - 1}` : '', beginning, recordOf(row, beginning), row.body);
    }
    const [outcome, at] = (await this.#run(appendScript, [this.#closed, `${this.#prefix}format`], given, signal)) as [Buffer, number];
    const why = outcome.toString();
    if (why === 'ok') return;
    const { stream, seq } = rows[at]!;
    throw why === 'lost' ? journalLostError(what, stream, seq - 1) : new ConflictError(stream, seq);
  }

  async putPieces(pieces: readonly Piece[], signal: AbortSignal): Promise<void> {
    for (const { stream, seq, writer, part, bytes } of pieces) {
      const id = idOf(stream);
      const end = `${seq}:${createHash('sha1').update(writer).digest('hex')}:${part}`;
      await this.#run(pieceScript, [this.#closed, this.#prefix + id], [id, end, bytes], signal);
    }
  }

  async rows(stream: string, { from, to, part }: { from: number; to: number; part: 'head' | 'all' }, signal: AbortSignal): Promise<Row[]> {
    const id = idOf(stream);
    const key = this.#prefix + id;
    const seqs = Array.from({ length: to - from }, (_, index) => `${from + index}`);
    const records = (await this.#command(['HMGET', key, ...seqs], signal)) as (Buffer | null)[];
    const found = records.slice(0, records.indexOf(null) < 0 ? records.length : records.indexOf(null)) as Buffer[];
    const rows = found.map((record, index) => rowOf(record, from + index));
    if (part === 'all' && rows.length > 0) {
      const bodies = (await this.#command(['MGET', ...rows.map(({ seq }) => `${key}:${seq}`)], signal)) as (Buffer | null)[];
      for (const [index, row] of rows.entries()) row.body = bodies[index] ?? row.body;
    }
    // Asked last: what was there before the stream was closed was whole.
    if (rows.length > 0 && (await this.#command(['SISMEMBER', this.#closed, id], signal)) === 1) return [];
    return rows;
  }

  async pieces(stream: string, ranges: readonly PieceRange[], signal: AbortSignal): Promise<(Uint8Array | undefined)[]> {
    const id = idOf(stream);
    const given = ranges.flatMap(({ seq, part, from, to }) => [`${seq}`, `${part}`, `${from}`, `${to - 1}`]);
    const found = await this.#run(slicesScript, [this.#closed, this.#prefix + id], [id, ...given], signal);
    return (found as (Buffer | null)[]).map((bytes) => bytes ?? undefined);
  }

  async drop(streams: readonly string[], signal: AbortSignal): Promise<void> {
    const ids = streams.map(idOf);
    await this.#run(closeScript, [this.#closed, `${this.#prefix}nothing`], ids, signal);
    for (const id of ids) {
      for (const scan of ['HSCAN', 'SSCAN']) {
        let cursor = '0';
        do cursor = String(await this.#run(dropScript, [this.#prefix + id], [scan, cursor], signal));
        while (cursor !== '0');
      }
    }
  }

  async inspect(): Promise<readonly Finding[]> {
    return this.#settings.findings;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connection?.destroy();
  }

  async #run(script: string, keys: readonly string[], given: readonly Argument[], signal: AbortSignal): Promise<RedisReply> {
    const all = [`${keys.length}`, ...keys, ...given];
    try {
      return await this.#command(['EVALSHA', hashOf(script), ...all], signal);
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return this.#command(['EVAL', script, ...all], signal);
    }
  }

  async #command(args: readonly Argument[], signal: AbortSignal): Promise<RedisReply> {
    const connection = await this.#connected();
    const giveUp = (): void => this.#lose(connection);
    signal.addEventListener('abort', giveUp);
    try {
      signal.throwIfAborted();
      return await connection.command(args, 'bytes');
    } catch (error) {
      const { message } = error as Error;
      // It is no longer the master of these keys, or not yet: where they are is found out by connecting anew.
      if (/^(READONLY|MOVED|CLUSTERDOWN|MASTERDOWN)/.test(message)) this.#lose(connection);
      throw known(error) ?? error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  #lose(connection: RedisConnection): void {
    connection.destroy();
    if (this.#connection === connection) this.#connection = undefined;
  }

  #connected(): Promise<RedisConnection> {
    if (this.#connection) return Promise.resolve(this.#connection);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<RedisConnection> {
    const { url, otherHosts, cluster } = this.#options;
    let isLost = false;
    try {
      const { connection } = await connectTo({ url, otherHosts, cluster, forWhat: what }, () => {
        isLost = true;
        this.#connection = undefined;
      });
      if (this.#isClosed) connection.destroy();
      else if (!isLost) this.#connection = connection;
      return connection;
    } catch (error) {
      throw known(error) ?? error;
    }
  }
}

/** As many as one run of the script takes. */
function* runs(rows: readonly NewRow[]): Generator<readonly NewRow[]> {
  let run: NewRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const rowBytes = row.head.length + row.body.length;
    if (run.length === scriptRowsMax || (run.length > 0 && bytes + rowBytes > scriptBytesMax)) {
      yield run;
      run = [];
      bytes = 0;
    }
    run.push(row);
    bytes += rowBytes;
  }
  yield run;
}

/** 128 bits of a hash, which is as good as the name itself. */
function idOf(stream: string): string {
  return createHash('sha256').update(stream).digest().subarray(0, 16).toString('base64url');
}

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const hash = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, hash);
  return hash;
}

/** [u16 bytes of the writer][writer], by which a script knows whose record it is; then [u32 bytes of head][u32 of body][head]. */
function beginningOf(writer: string): Buffer {
  const text = Buffer.from(writer);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(text.length);
  return Buffer.concat([length, text]);
}

function recordOf({ head, headBytes, bodyBytes }: NewRow, beginning: Buffer): Buffer {
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(headBytes);
  sizes.writeUInt32BE(bodyBytes, 4);
  return Buffer.concat([beginning, sizes, head]);
}

function rowOf(record: Buffer, seq: number): Row {
  const at = 2 + record.readUInt16BE(0);
  return {
    seq,
    writer: record.toString('utf8', 2, at),
    headBytes: record.readUInt32BE(at),
    bodyBytes: record.readUInt32BE(at + 4),
    head: record.subarray(at + 8),
    body: new Uint8Array(),
  };
}

/** What trying again won't mend, in our words; undefined for what it may. */
function known(error: unknown): ShoalError | undefined {
  if (error instanceof ShoalError) return error;
  const { message } = error as Error;
  if (/^OOM |No space left on device/.test(message)) return new JournalFullError(message, error);
  if (/^(NOAUTH|WRONGPASS|NOPERM|ERR AUTH)/.test(message)) {
    return forbiddenError(
      what,
      message,
      'look at the user and the password in its URL; docs/how-to/journals.md has the rights that it needs',
    );
  }
  return undefined;
}
