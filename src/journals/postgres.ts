/**
 * The journal in PostgreSQL. An entry is a row; the primary key is what refuses a second writer.
 *
 * - `journal_streams` has a row a stream, which stays when the stream is dropped and says that it is closed. An append holds
 *   it FOR SHARE and looks at it again once it has the lock, so that no row appears in a stream that is being dropped, and
 *   no place that was taken is free for a moment (C06).
 * - Streams go by a hash of cluster and name: names may be long and hold any character, keys may not.
 * - Bodies are stored plain (EXTERNAL), so that a slice of one is read without the rest.
 * - A session that finds `synchronous_commit` off switches it on for itself: what is confirmed is on disk.
 *
 * The tables are made at the first append. One statement an append, prepared: one round trip.
 */

import { createHash } from 'node:crypto';
import type { Pool, QueryArrayConfig, QueryArrayResult } from 'pg';
import { ShoalError } from '../lib/errors.ts';
import type { Finding } from '../lib/finding.ts';
import { peer } from '../lib/peer.ts';
import { RecentSet } from '../lib/recent-set.ts';
import {
  type Engine,
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
import { durabilityOf, findings, format, formatText, look, type Server } from './postgres/settings.ts';

const what = 'the PostgreSQL journal';
const openMsMax = 10_000;
const connectionsMax = 3;
const rowsPerStatement = 500;
/** Of one bite of a drop. */
const dropRows = 1_000;
/** Statements with more rows than this are not worth remembering. */
const preparedRowsMax = 16;

/** The URL as libpq takes it, and `schema=NAME` in it: where the tables are, made at the first append if it is missing. */
export const openPostgresEngine: OpenEngine = async ({ url, cluster, deadlineMs, signal }) => {
  const { default: pg } = await peer(what, 'pg', () => import('pg'));
  const address = new URL(url);
  const schema = address.searchParams.get('schema') ?? 'shoal';
  address.searchParams.delete('schema');
  const config = { connectionString: address.href, application_name: 'shoal', keepAlive: true };
  const client = new pg.Client({ ...config, connectionTimeoutMillis: openMsMax });
  client.on('error', () => undefined);
  let server: Server;
  try {
    await heeding(signal, client.connect());
    server = await heeding(signal, look(client, schema));
  } catch (error) {
    throw known(error) ?? unreachableError(what, (error as Error).message, error);
  } finally {
    client.end().catch(() => undefined);
  }
  if (server.format > format) {
    throw new ShoalError('SH4007', `${what} was written by a newer version of Shoal (format ${server.format})`, {
      hint: `use that version, or another schema than ${schema}`,
    });
  }
  const pool = new pg.Pool({
    ...config,
    ...(server.synchronousCommit === 'off' && { options: '-c synchronous_commit=on' }),
    max: connectionsMax,
    connectionTimeoutMillis: deadlineMs,
    allowExitOnIdle: true,
  });
  // A connection that ends, idle or not: whoever asked on it hears of it by its query, the next call opens another.
  pool.on('error', () => undefined);
  pool.on('connect', (each) => void each.on('error', () => undefined));
  return new PostgresEngine(pool, server, cluster, schema, pg.escapeIdentifier(schema));
};

type Query = Omit<QueryArrayConfig, 'rowMode'>;
type Run = (query: Query) => Promise<QueryArrayResult>;

class PostgresEngine implements Engine {
  readonly what = what;
  readonly durability: Journal['durability'];
  readonly pieceBytesMax = 8 * 1024 * 1024;
  readonly #pool: Pool;
  readonly #server: Server;
  readonly #cluster: string;
  readonly #schemaName: string;
  /** Quoted. */
  readonly #schema: string;
  /** Streams whose rows in journal_streams are known to be there. */
  readonly #known = new RecentSet<string>(10_000);

  constructor(pool: Pool, server: Server, cluster: string, schemaName: string, schema: string) {
    this.#pool = pool;
    this.#server = server;
    this.#cluster = cluster;
    this.#schemaName = schemaName;
    this.#schema = schema;
    this.durability = durabilityOf(server);
  }

  append(rows: readonly NewRow[], signal: AbortSignal): Promise<void> {
    return this.#withTables(signal, async () => {
      for (let from = 0; from < rows.length; from += rowsPerStatement)
        await this.#insert(rows.slice(from, from + rowsPerStatement), signal);
    });
  }

  async #insert(rows: readonly NewRow[], signal: AbortSignal): Promise<void> {
    const ids = rows.map(({ stream }) => this.#id(stream));
    const isNew = !ids.every((id) => this.#known.has(id));
    const values: unknown[] = [];
    rows.forEach((row, index) => {
      const { stream, seq, writer, head, headBytes, body, bodyBytes, follows } = row;
      values.push(ids[index], seq, Buffer.from(writer), head, headBytes, body, bodyBytes, follows);
      if (isNew) values.push(this.#cluster, Buffer.from(stream));
    });
    const kind = isNew ? 'first' : 'next';
    const { rowCount } = await this.#query(
      {
        ...(rows.length <= preparedRowsMax && { name: `shoal-append-${kind}-${rows.length}` }),
        text: appendText(this.#schema, rows.length, isNew),
        values,
      },
      signal,
    );
    if (rowCount !== rows.length) await this.#explain(rows, ids, signal);
    for (const id of ids) this.#know(id);
  }

  /** Why some were not stored; no error if it is because they had been. */
  async #explain(rows: readonly NewRow[], ids: readonly string[], signal: AbortSignal): Promise<void> {
    const result = await this.#query(
      {
        text: `SELECT g.at, s.is_open, e.writer,
            EXISTS (SELECT FROM ${this.#schema}.journal_entries p WHERE p.stream = g.stream AND p.seq = g.seq - 1)
          FROM unnest($1::int4[], $2::uuid[], $3::int8[]) AS g(at, stream, seq)
          LEFT JOIN ${this.#schema}.journal_streams s ON s.id = g.stream
          LEFT JOIN ${this.#schema}.journal_entries e ON e.stream = g.stream AND e.seq = g.seq`,
        values: [rows.map((_, index) => index), ids, rows.map(({ seq }) => seq)],
      },
      signal,
    );
    let isUnclear = false;
    let lost: NewRow | undefined;
    for (const [at, isOpen, writer, isPreceded] of result.rows as [number, boolean | null, Buffer | null, boolean][]) {
      const row = rows[at]!;
      if (isOpen === false || (writer && !writer.equals(Buffer.from(row.writer)))) throw new ConflictError(row.stream, row.seq);
      if (writer) continue;
      if (row.follows && !isPreceded) lost ??= row;
      // It came up, or went, in between.
      isUnclear = true;
      this.#known.delete(ids[at]!);
    }
    if (lost) throw journalLostError(what, lost.stream, lost.seq - 1);
    if (isUnclear) throw new Error('some rows were neither stored nor refused');
  }

  putPieces(pieces: readonly Piece[], signal: AbortSignal): Promise<void> {
    return this.#withTables(signal, async () => {
      for (const piece of pieces) await this.#putPiece(piece, signal);
    });
  }

  async #putPiece({ stream, seq, writer, part, bytes }: Piece, signal: AbortSignal): Promise<void> {
    await this.#query(
      {
        name: 'shoal-piece',
        text: `WITH made AS (
              INSERT INTO ${this.#schema}.journal_streams (id, cluster, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING id
            ), held AS (SELECT id FROM ${this.#schema}.journal_streams WHERE id = $1 AND is_open FOR SHARE)
            INSERT INTO ${this.#schema}.journal_pieces (stream, seq, owner, part, bytes)
            SELECT id, $4::int8, $5::bytea, $6::int4, $7::bytea FROM (SELECT id FROM held UNION ALL SELECT id FROM made) AS usable
            ON CONFLICT DO NOTHING`,
        values: [this.#id(stream), this.#cluster, Buffer.from(stream), seq, ownerOf(writer), part, bytes],
      },
      signal,
    );
  }

  async rows(stream: string, { from, to, part }: { from: number; to: number; part: 'head' | 'all' }, signal: AbortSignal): Promise<Row[]> {
    const body = part === 'all' ? 'body' : `''::bytea`;
    const rows = await this.#rowsOf(
      {
        name: `shoal-rows-${part}`,
        text: `SELECT seq, writer, head, head_bytes, ${body}, body_bytes FROM ${this.#schema}.journal_entries
          WHERE stream = $1 AND seq >= $2 AND seq < $3 AND EXISTS (SELECT FROM ${this.#schema}.journal_streams WHERE id = $1 AND is_open)
          ORDER BY seq`,
        values: [this.#id(stream), from, to],
      },
      signal,
    );
    type Columns = [string, Buffer, Buffer, number, Buffer, number];
    return (rows as Columns[]).map(([seq, writer, head, headBytes, bytes, bodyBytes]) => ({
      seq: Number(seq),
      writer: writer.toString(),
      head,
      headBytes,
      body: bytes,
      bodyBytes,
    }));
  }

  async pieces(stream: string, ranges: readonly PieceRange[], signal: AbortSignal): Promise<(Uint8Array | undefined)[]> {
    const rows = await this.#rowsOf(
      {
        name: 'shoal-slices',
        text: `SELECT g.at, CASE g.part WHEN 0 THEN substring(e.body FROM g.start + 1 FOR g.length) ELSE (
              SELECT substring(p.bytes FROM g.start + 1 FOR g.length) FROM ${this.#schema}.journal_pieces p
              WHERE p.stream = e.stream AND p.seq = e.seq AND p.owner = substring(sha256(e.writer) FROM 1 FOR 16) AND p.part = g.part
            ) END
          FROM unnest($2::int4[], $3::int8[], $4::int4[], $5::int4[], $6::int4[]) AS g(at, seq, part, start, length)
          JOIN ${this.#schema}.journal_entries e ON e.stream = $1 AND e.seq = g.seq
          JOIN ${this.#schema}.journal_streams s ON s.id = e.stream AND s.is_open`,
        values: [
          this.#id(stream),
          ranges.map((_, index) => index),
          ranges.map(({ seq }) => seq),
          ranges.map(({ part }) => part),
          ranges.map(({ from }) => from),
          ranges.map(({ from, to }) => to - from),
        ],
      },
      signal,
    );
    const found: (Uint8Array | undefined)[] = ranges.map(() => undefined);
    for (const [at, bytes] of rows as [number, Buffer | null][]) if (bytes) found[at] = bytes;
    return found;
  }

  /** Closed first and for good; what is stored goes in bites, so that a try that ends early was not in vain. */
  async drop(streams: readonly string[], signal: AbortSignal): Promise<void> {
    const ids = streams.map((stream) => this.#id(stream));
    await this.#withTables(signal, () =>
      this.#query(
        {
          text: `INSERT INTO ${this.#schema}.journal_streams (id, cluster, name, is_open)
            SELECT id, $1, name, false FROM unnest($2::uuid[], $3::bytea[]) AS g(id, name) ORDER BY id
            ON CONFLICT (id) DO UPDATE SET is_open = false`,
          values: [this.#cluster, ids, streams.map((stream) => Buffer.from(stream))],
        },
        signal,
      ),
    );
    for (const table of ['journal_pieces', 'journal_entries']) {
      for (let gone = dropRows; gone === dropRows; ) {
        const { rowCount } = await this.#query(
          {
            text: `DELETE FROM ${this.#schema}.${table} WHERE ctid = ANY(ARRAY(
              SELECT ctid FROM ${this.#schema}.${table} WHERE stream = ANY($1::uuid[]) LIMIT ${dropRows}))`,
            values: [ids],
          },
          signal,
        );
        gone = rowCount ?? 0;
      }
    }
  }

  async inspect(): Promise<Finding[]> {
    return findings(this.#server);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  /** 128 bits of a hash, which is as good as the name itself. */
  #id(stream: string): string {
    return createHash('sha256').update(this.#cluster).update('\0').update(stream).digest('hex').slice(0, 32);
  }

  #know(id: string): void {
    this.#known.add(id);
  }

  /** The first one of all makes the tables. */
  async #withTables<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isMissingTable(error)) throw error;
      await this.#session(signal, (run) => createTables(run, this.#schema, this.#schemaName));
      return work();
    }
  }

  /** Where nothing was ever appended there is nothing to read. */
  async #rowsOf(query: Query, signal: AbortSignal): Promise<unknown[][]> {
    try {
      return (await this.#query(query, signal)).rows;
    } catch (error) {
      if (isMissingTable(error)) return [];
      throw error;
    }
  }

  async #query(query: Query, signal: AbortSignal): Promise<QueryArrayResult> {
    return this.#session(signal, (run) => run(query));
  }

  /** One connection for all that `work` does; given up when anything goes wrong, or nobody waits any more. */
  async #session<T>(signal: AbortSignal, work: (run: Run) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw known(error) ?? error;
    });
    let isHeld = true;
    const giveUp = (): void => {
      if (isHeld) client.release(true);
      isHeld = false;
    };
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp);
    try {
      return await work((query) => client.query({ ...query, rowMode: 'array' }));
    } catch (error) {
      giveUp();
      throw known(error) ?? error;
    } finally {
      signal.removeEventListener('abort', giveUp);
      if (isHeld) client.release();
      isHeld = false;
    }
  }
}

/** `isNew`: rows in journal_streams may have to be made. */
function appendText(schema: string, count: number, isNew: boolean): string {
  const width = isNew ? 10 : 8;
  const given = Array.from({ length: count }, (_, index) => {
    const [stream, seq, writer, head, headBytes, body, bodyBytes, follows] = Array.from(
      { length: 8 },
      (_, at) => `$${index * width + at + 1}`,
    );
    return `(${stream}::uuid, ${seq}::int8, ${writer}::bytea, ${head}::bytea, ${headBytes}::int4, ${body}::bytea, ${bodyBytes}::int4, ${follows}::bool)`;
  });
  const ids = Array.from({ length: count }, (_, index) => `$${index * width + 1}`);
  const made = ids.map((id, index) => `(${id}, $${index * width + 9}, $${index * width + 10})`);
  const making = `made AS (INSERT INTO ${schema}.journal_streams (id, cluster, name) VALUES ${made.join()}
      ON CONFLICT (id) DO NOTHING RETURNING id), `;
  return `WITH ${isNew ? making : ''}held AS (SELECT id FROM ${schema}.journal_streams WHERE id IN (${ids.join()}) AND is_open FOR SHARE)
    INSERT INTO ${schema}.journal_entries (stream, seq, writer, head, head_bytes, body, body_bytes)
    SELECT g.stream, g.seq, g.writer, g.head, g.head_bytes, g.body, g.body_bytes
    FROM (VALUES ${given.join()}) AS g(stream, seq, writer, head, head_bytes, body, body_bytes, follows)
    WHERE g.stream IN (SELECT id FROM held${isNew ? ' UNION ALL SELECT id FROM made' : ''})
      AND (NOT g.follows OR EXISTS (SELECT FROM ${schema}.journal_entries p WHERE p.stream = g.stream AND p.seq = g.seq - 1))
    ON CONFLICT (stream, seq) DO NOTHING`;
}

/** Coordinators that start together take turns. */
async function createTables(run: Run, schema: string, schemaName: string): Promise<void> {
  await run({ text: 'BEGIN' });
  await run({ text: `SELECT pg_advisory_xact_lock(hashtext('shoal journal'))` });
  const isThere = await run({ text: 'SELECT FROM pg_namespace WHERE nspname = $1', values: [schemaName] });
  if (isThere.rows.length === 0) await run({ text: `CREATE SCHEMA ${schema}` });
  const tables = [
    `CREATE TABLE IF NOT EXISTS ${schema}.journal_streams (
      id uuid PRIMARY KEY, cluster text NOT NULL, name bytea NOT NULL, is_open bool NOT NULL DEFAULT true)`,
    `CREATE TABLE IF NOT EXISTS ${schema}.journal_entries (
      stream uuid, seq int8, writer bytea NOT NULL, head bytea NOT NULL, head_bytes int4 NOT NULL, body bytea NOT NULL,
      body_bytes int4 NOT NULL, PRIMARY KEY (stream, seq))`,
    `CREATE TABLE IF NOT EXISTS ${schema}.journal_pieces (
      stream uuid, seq int8, owner bytea, part int4, bytes bytea NOT NULL, PRIMARY KEY (stream, seq, owner, part))`,
    `ALTER TABLE ${schema}.journal_entries ALTER head SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL`,
    `ALTER TABLE ${schema}.journal_pieces ALTER bytes SET STORAGE EXTERNAL`,
    `COMMENT ON TABLE ${schema}.journal_streams IS '${formatText}'`,
  ];
  for (const text of tables) await run({ text });
  await run({ text: 'COMMIT' });
}

function ownerOf(writer: string): Buffer {
  return createHash('sha256').update(writer).digest().subarray(0, 16);
}

function isMissingTable(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '42P01' || code === '3F000';
}

/** What trying again won't mend, in our words; undefined for what it may. */
function known(error: unknown): ShoalError | undefined {
  if (error instanceof ShoalError) return error;
  const { code, message } = error as { code?: unknown; message: string };
  if (code === '53100') return new JournalFullError(message, error);
  if (code === '28P01' || code === '28000')
    return forbiddenError(what, message, 'look at the user and the password in its URL, and at pg_hba.conf');
  if (code === '3D000') return forbiddenError(what, message, 'look at the database in its URL, or create it');
  if (code === '42501') return forbiddenError(what, message, 'see docs/how-to/journals.md for the rights that it needs');
  return undefined;
}
