/**
 * The journal in Cassandra (4.1 or later). A stream is a partition, an entry is a row of it, and one lightweight transaction puts it
 * there: a conditional batch within the partition, so that one round of Paxos says all of it.
 *
 * - The batch holds only if the stream is not closed (a static column), the entry before is there where it was confirmed (S07),
 *   and the place is free. Closing is such a transaction, too: no row appears in a closed stream (C06).
 * - A transaction that timed out was applied or not. The same one again says which: it is refused, and its answer has the writer.
 * - Transactions decide at LOCAL_SERIAL and are committed at LOCAL_QUORUM, so that reads at LOCAL_QUORUM see whatever was
 *   confirmed. What was decided but not confirmed a read may miss; whoever then writes at that place finishes it first, and
 *   is told that the place is taken.
 * - In one partition transactions get in each other's way: those from here go one after the other.
 * - Paxos writes what it decides three times, and a partition should stay small: bodies above a few KiB lie in partitions of
 *   their own, sixteen entries to one, and are stored before the row.
 *   They are erased with a timestamp of tomorrow: no clock that is behind keeps a part of them, and nobody stores there again.
 * - A row can't be read in part, so pieces are small.
 */
import { createHash } from 'node:crypto';
import type { Client, QueryOptions, types } from 'cassandra-driver';
import { ShoalError } from '../lib/errors.ts';
import type { Finding } from '../lib/finding.ts';
import { addressOf, asKnown, connect, isMissing, isUnprepared, type Library, loadLibrary, shortly, what } from './cassandra/connect.ts';
import { type Cluster, durabilityOf, findings, format, formatText, look } from './cassandra/settings.ts';
import {
  type Engine,
  heeding,
  journalLostError,
  type NewRow,
  type OpenEngine,
  type Piece,
  type PieceRange,
  type Row,
  unreachableError,
} from './engine.ts';
import { ConflictError, type Journal, JournalCorruptError } from './journal.ts';

/** Of a body that lies in the row itself. */
const inlineBytesMax = 8 * 1024;
/** Entries whose pieces share a partition. Part of the format: never changed. */
const entriesPerBucket = 16;
const dropRows = 1_000;
/** Requests at a time of one call. */
const lanes = 32;
/** Of pieces, which are large. */
const pieceLanes = 8;
const dayUs = 86_400_000_000;

export const openCassandraEngine: OpenEngine = async ({ url, otherHosts, cluster: name, deadlineMs, signal }) => {
  const library = await loadLibrary();
  const address = addressOf(url, otherHosts);
  const first = await connect(library, address, undefined, { deadlineMs, signal });
  let cluster: Cluster;
  try {
    cluster = await heeding(signal, look(first, address));
  } catch (error) {
    await first.shutdown();
    throw asKnown(error) ?? unreachableError(what, shortly(error).message, error);
  }
  if (cluster.format > format) {
    await first.shutdown();
    throw new ShoalError('SH4007', `${what} was written by a newer version of Shoal (format ${cluster.format})`, {
      hint: `use that version, or another keyspace than ${cluster.keyspace}`,
    });
  }
  // Where nothing can be decided `inspect` says why, and nobody goes on.
  if (cluster.datacenter === undefined || !cluster.copies.get(cluster.datacenter)) {
    return new CassandraEngine(library, first, cluster, name, deadlineMs);
  }
  await first.shutdown();
  return new CassandraEngine(
    library,
    await connect(library, address, cluster.datacenter, { deadlineMs, signal }),
    cluster,
    name,
    deadlineMs,
  );
};

type Asked = Pick<QueryOptions, 'consistency' | 'serialConsistency' | 'timestamp' | 'fetchSize'>;

class CassandraEngine implements Engine {
  readonly what = what;
  readonly durability: Journal['durability'];
  readonly pieceBytesMax = 256 * 1024;
  readonly #client: Client;
  readonly #cluster: Cluster;
  readonly #name: string;
  readonly #deadlineMs: number;
  readonly #quorum: Asked;
  /** Quoted. */
  readonly #entries: string;
  readonly #pieces: string;
  /** The last transaction of each stream that is under way or waits. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor({ types: { consistencies } }: Library, client: Client, cluster: Cluster, name: string, deadlineMs: number) {
    this.#client = client;
    this.#cluster = cluster;
    this.#name = name;
    this.#deadlineMs = deadlineMs;
    this.#quorum = { consistency: consistencies.localQuorum, serialConsistency: consistencies.localSerial };
    this.#entries = `"${cluster.keyspace}".journal_entries`;
    this.#pieces = `"${cluster.keyspace}".journal_pieces`;
    this.durability = durabilityOf(cluster);
  }

  append(rows: readonly NewRow[], signal: AbortSignal): Promise<void> {
    return this.#withTables(() => each(rows, lanes, (row) => this.#put(row, signal)));
  }

  async #put(row: NewRow, signal: AbortSignal): Promise<void> {
    const { stream, seq, writer, head, headBytes, body, bodyBytes, follows } = row;
    const isInline = body.length <= inlineBytesMax;
    if (!isInline) await this.#putPiece({ stream, seq, writer, part: 0, bytes: body });
    const id = this.#id(stream);
    const statements = [
      `UPDATE ${this.#entries} SET name = ? WHERE stream = ? IF closed = null`,
      // A condition must change something.
      ...(follows ? [`UPDATE ${this.#entries} SET is_followed = true WHERE stream = ? AND seq = ? IF EXISTS`] : []),
      `INSERT INTO ${this.#entries} (stream, seq, writer, head, head_bytes, body, body_bytes) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`,
    ];
    const before = follows ? [id, BigInt(seq - 1)] : [];
    const bytes = isInline ? bufferOf(body) : undefined;
    const values = [shown(stream), id, ...before, id, BigInt(seq), Buffer.from(writer), bufferOf(head), headBytes, bytes, bodyBytes];
    const result = await this.#inTurn(id, signal, () => this.#run(batch(statements), values));
    if (!result.wasApplied()) await this.#explain(row, result.rows);
  }

  /** Why it was not stored, by what the transaction found; no error if it is because it had been. */
  async #explain({ stream, seq, writer, follows }: NewRow, found: readonly types.Row[]): Promise<void> {
    if (found.some((row) => row.closed === true)) {
      // Whoever closed it may have erased what there was before these came.
      await this.#erasePieces(this.#id(stream), [seq]);
      throw new ConflictError(stream, seq);
    }
    const at = (place: number): types.Row | undefined => found.find((row) => row.seq === BigInt(place));
    const there = at(seq);
    if (there && !Buffer.from(writer).equals(there.writer as Buffer)) throw new ConflictError(stream, seq);
    if (there) return;
    if (follows && !at(seq - 1)) throw journalLostError(what, stream, seq - 1);
    throw new Error('it was neither stored nor refused');
  }

  putPieces(pieces: readonly Piece[], _signal: AbortSignal): Promise<void> {
    return this.#withTables(() => each(pieces, pieceLanes, (piece) => this.#putPiece(piece)));
  }

  async #putPiece({ stream, seq, writer, part, bytes }: Piece): Promise<void> {
    await this.#run(`INSERT INTO ${this.#pieces} (stream, bucket, seq, owner, part, bytes) VALUES (?, ?, ?, ?, ?, ?)`, [
      this.#id(stream),
      bucketOf(seq),
      BigInt(seq),
      ownerOf(Buffer.from(writer)),
      part,
      bufferOf(bytes),
    ]);
  }

  async rows(stream: string, { from, to, part }: { from: number; to: number; part: 'head' | 'all' }, signal: AbortSignal): Promise<Row[]> {
    const body = part === 'all' ? ', body' : '';
    const found = await this.#rowsOf(
      `SELECT closed, seq, writer, head, head_bytes, body_bytes${body} FROM ${this.#entries} WHERE stream = ? AND seq >= ? AND seq < ?`,
      [this.#id(stream), BigInt(from), BigInt(to)],
    );
    if (found.some((row) => row.closed === true)) return [];
    const rows = found.map((row) => ({
      seq: Number(row.seq),
      writer: (row.writer as Buffer).toString(),
      head: row.head as Buffer,
      headBytes: row.head_bytes as number,
      body: (row.body as Buffer | undefined | null) ?? noBytes,
      bodyBytes: row.body_bytes as number,
    }));
    if (part === 'head') return rows;
    await each(
      rows.filter((row) => row.bodyBytes > row.body.length && row.body.length === 0),
      pieceLanes,
      async (row) => {
        signal.throwIfAborted();
        const bytes = await this.#piece(this.#id(stream), row.seq, 0, Buffer.from(row.writer));
        if (bytes) row.body = bytes;
        else if (!(await this.#isClosed(stream)))
          throw new JournalCorruptError(`the body of entry ${row.seq} of stream ${stream} is missing`);
      },
    );
    return rows.some((row) => row.bodyBytes > 0 && row.body.length === 0) ? [] : rows;
  }

  async pieces(stream: string, ranges: readonly PieceRange[], signal: AbortSignal): Promise<(Uint8Array | undefined)[]> {
    const id = this.#id(stream);
    const needsBody = ranges.some(({ part }) => part === 0);
    const found = await this.#rowsOf(
      `SELECT closed, seq, writer${needsBody ? ', body, body_bytes' : ''} FROM ${this.#entries} WHERE stream = ? AND seq IN ?`,
      [id, [...new Set(ranges.map(({ seq }) => seq))].map(BigInt)],
    );
    if (found.some((row) => row.closed === true)) return ranges.map(() => undefined);
    const entries = new Map(found.map((row) => [Number(row.seq), row]));
    const key = ({ seq, part }: PieceRange): string => `${seq}:${part}`;
    const wanted = new Map(ranges.map((range) => [key(range), range]));
    const bytes = new Map<string, Uint8Array | undefined>();
    await each([...wanted], pieceLanes, async ([name, { seq, part }]) => {
      signal.throwIfAborted();
      const entry = entries.get(seq);
      if (!entry) return;
      const inline = (entry.body as Buffer | undefined | null) ?? (entry.body_bytes === 0 ? noBytes : undefined);
      bytes.set(name, part === 0 && inline ? inline : await this.#piece(id, seq, part, entry.writer as Buffer));
    });
    return ranges.map((range) => bytes.get(key(range))?.subarray(range.from, range.to));
  }

  async #piece(id: Buffer, seq: number, part: number, writer: Buffer): Promise<Buffer | undefined> {
    const [row] = await this.#rowsOf(
      `SELECT bytes FROM ${this.#pieces} WHERE stream = ? AND bucket = ? AND seq = ? AND owner = ? AND part = ?`,
      [id, bucketOf(seq), BigInt(seq), ownerOf(writer), part],
    );
    return row?.bytes as Buffer | undefined;
  }

  async #isClosed(stream: string): Promise<boolean> {
    const [row] = await this.#rowsOf(`SELECT closed FROM ${this.#entries} WHERE stream = ? LIMIT 1`, [this.#id(stream)]);
    return row?.closed === true;
  }

  drop(streams: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#withTables(() => each(streams, pieceLanes, (stream) => this.#drop(stream, signal)));
  }

  /** Closed first and for good; what is stored goes in bites, rows after their pieces: a try that ends early was not in vain. */
  async #drop(stream: string, signal: AbortSignal): Promise<void> {
    const id = this.#id(stream);
    const close = `UPDATE ${this.#entries} SET closed = true, name = ? WHERE stream = ? IF closed = null`;
    await this.#inTurn(id, signal, () => this.#run(close, [shown(stream), id]));
    for (let isLast = false; !isLast; ) {
      signal.throwIfAborted();
      const found = await this.#rowsOf(`SELECT seq FROM ${this.#entries} WHERE stream = ? LIMIT ${dropRows}`, [id]);
      // A closed stream without rows is one row, with nothing in it.
      const seqs = found.flatMap(({ seq }) => (seq === null ? [] : [Number(seq)]));
      isLast = seqs.length < dropRows;
      const last = seqs.at(-1) ?? -1;
      // Whoever wrote there last may have stored pieces of the next entry, and then ended.
      await this.#erasePieces(id, isLast ? [...seqs, last + 1] : seqs);
      if (seqs.length === 0) return;
      const erase = [
        `UPDATE ${this.#entries} SET closed = true WHERE stream = ? IF closed = true`,
        // By the timestamp of the transaction, which is later than those of the rows, whatever clocks say.
        `DELETE FROM ${this.#entries} WHERE stream = ? AND seq <= ?`,
      ];
      await this.#inTurn(id, signal, () => this.#run(batch(erase), [id, id, BigInt(last)]));
    }
  }

  async #erasePieces(id: Buffer, seqs: readonly number[]): Promise<void> {
    const timestamp = Date.now() * 1_000 + dayUs;
    await each([...new Set(seqs.map(bucketOf))], lanes, (bucket) =>
      this.#run(`DELETE FROM ${this.#pieces} WHERE stream = ? AND bucket = ?`, [id, bucket], { timestamp }),
    );
  }

  async inspect(): Promise<Finding[]> {
    return findings(this.#cluster);
  }

  async close(): Promise<void> {
    await this.#client.shutdown();
  }

  /** 128 bits of a hash, which is as good as the name itself. */
  #id(stream: string): Buffer {
    return createHash('sha256').update(this.#name).update('\0').update(stream).digest().subarray(0, 16);
  }

  async #inTurn<T>(id: Buffer, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const key = id.toString('latin1');
    const before = this.#turns.get(key);
    const mine = (async () => {
      await before?.catch(() => undefined);
      signal.throwIfAborted();
      return work();
    })();
    this.#turns.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(key) === mine) this.#turns.delete(key);
    }
  }

  /** The first one of all makes the tables. */
  async #withTables<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(await this.#areMissing(error))) throw error;
      for (const text of tables(this.#entries, this.#pieces, this.#cluster.datacenter!)) await this.#run(text, []);
      return work();
    }
  }

  /** Where nothing was ever appended there is nothing to read. */
  async #rowsOf(text: string, values: readonly unknown[]): Promise<readonly types.Row[]> {
    try {
      return (await this.#run(text, values)).rows;
    } catch (error) {
      if (await this.#areMissing(error)) return [];
      throw error;
    }
  }

  async #areMissing(error: unknown): Promise<boolean> {
    if (!isUnprepared(error)) return isMissing(error);
    const text = `SELECT table_name FROM system_schema.tables WHERE keyspace_name = '${this.#cluster.keyspace}' AND table_name = 'journal_entries'`;
    return (await this.#run(text, [])).rows.length === 0;
  }

  async #run(text: string, values: readonly unknown[], asked: Asked = {}): Promise<types.ResultSet> {
    const options = { ...this.#quorum, ...asked, prepare: values.length > 0, readTimeout: this.#deadlineMs };
    return this.#client.execute(text, [...values], options).catch((error: unknown) => {
      throw asKnown(error) ?? shortly(error);
    });
  }
}

const tables = (entries: string, pieces: string, datacenter: string): string[] => [
  `CREATE TABLE IF NOT EXISTS ${pieces} (stream blob, bucket bigint, seq bigint, owner blob, part int, bytes blob,
    PRIMARY KEY ((stream, bucket), seq, owner, part))`,
  // Last: where it is, the other one is.
  `CREATE TABLE IF NOT EXISTS ${entries} (stream blob, seq bigint, name text static, closed boolean static, is_followed boolean,
    writer blob, head blob, head_bytes int, body blob, body_bytes int, PRIMARY KEY (stream, seq))
    WITH comment = '${formatText(datacenter).replaceAll("'", "''")}'`,
];

const batch = (statements: readonly string[]): string => `BEGIN BATCH ${statements.join('; ')}; APPLY BATCH`;

const noBytes = Buffer.of();

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const bucketOf = (seq: number): bigint => BigInt(Math.floor(seq / entriesPerBucket));

/** Pieces of a writer who then found the place taken must not become those of the other. */
const ownerOf = (writer: Buffer): Buffer => createHash('sha256').update(writer).digest().subarray(0, 16);

/** For people who look into the table. */
const shown = (stream: string): string => stream.slice(0, 200);

/** At most `atOnce` at a time; all are over when it returns. What we know by name is thrown before what may mend by itself. */
async function each<T>(all: Iterable<T>, atOnce: number, work: (each: T) => Promise<unknown>): Promise<void> {
  const errors: unknown[] = [];
  const waiting = all[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = waiting.next(); !next.done && errors.length === 0; next = waiting.next()) {
      await work(next.value).catch((error: unknown) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  if (errors.length > 0) throw errors.find((error) => error instanceof ShoalError) ?? errors[0];
}
