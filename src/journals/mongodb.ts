/**
 * The journal in MongoDB. An entry is a document; its `_id` is what refuses a second writer. No transaction is needed, so any
 * topology will do.
 *
 * - An append stores its documents and then looks whether their streams are closed; a drop closes a stream and then deletes
 *   what is in it. Whichever comes second sees the other: nothing that was confirmed stays in a closed stream, and nothing is
 *   confirmed in one (C06).
 * - Whether the entry before is still there is asked beside the insert (S07); readers stop at the hole, whatever lies beyond,
 *   and what was put there is taken away again.
 * - A document can't be read in part, so pieces are small.
 * - Each write is confirmed by a majority, and by their disks.
 */
import { createHash } from 'node:crypto';
import type { Collection, MongoClient } from 'mongodb';
import { ShoalError } from '../lib/errors.ts';
import type { Finding } from '../lib/finding.ts';
import { peer } from '../lib/peer.ts';
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

const what = 'the MongoDB journal';
const openMsMax = 8_000;
/** Of one insert: well below what a message takes. */
const insertBytesMax = 8 * 1024 * 1024;

interface EntryDocument {
  _id: string;
  writer: string;
  head: Buffer;
  headBytes: number;
  body: Buffer;
  bodyBytes: number;
}

interface PieceDocument {
  _id: string;
  bytes: Buffer;
}

interface ClosedDocument {
  _id: string;
  name: string;
}

export const openMongodbEngine: OpenEngine = async ({ url, otherHosts, cluster, deadlineMs, signal }) => {
  const library = await peer(what, 'mongodb', () => import('mongodb'));
  const client = new library.MongoClient(url.href.replace(url.host, [url.host, ...otherHosts].join()), {
    appName: 'shoal',
    writeConcern: { w: 'majority', journal: true },
    readConcern: { level: 'majority' },
    readPreference: 'primary',
    // What is tried again is decided above, where the deadline is known.
    retryWrites: false,
    retryReads: false,
    serverSelectionTimeoutMS: openMsMax,
    connectTimeoutMS: openMsMax,
    socketTimeoutMS: deadlineMs,
    // A server that was lost is looked for this often.
    minHeartbeatFrequencyMS: 50,
    maxPoolSize: 4,
    promoteBuffers: true,
  });
  try {
    await heeding(signal, client.connect());
    const database = client.db(url.pathname.length > 1 ? undefined : 'shoal');
    const hello = await heeding(signal, database.command({ hello: 1 }));
    const build = await heeding(signal, database.command({ buildInfo: 1 }));
    const server = {
      version: String(build.version),
      ferret: build.ferretdb !== undefined,
      hosts: (hello.hosts as string[] | undefined) ?? [],
    };
    return new MongodbEngine(client, server, cluster, {
      entries: database.collection('journal_entries'),
      pieces: database.collection('journal_pieces'),
      closed: database.collection('journal_closed'),
    });
  } catch (error) {
    await client.close();
    throw known(error) ?? unreachableError(what, (error as Error).message, error);
  }
};

interface Server {
  version: string;
  /** FerretDB: MongoDB's protocol before another database. */
  ferret: boolean;
  /** Of the replica set; empty where there is none. */
  hosts: string[];
}

interface Collections {
  entries: Collection<EntryDocument>;
  pieces: Collection<PieceDocument>;
  closed: Collection<ClosedDocument>;
}

class MongodbEngine implements Engine {
  readonly what = what;
  readonly pieceBytesMax = 512 * 1024;
  readonly #client: MongoClient;
  readonly #server: Server;
  readonly #cluster: string;
  readonly #in: Collections;

  constructor(client: MongoClient, server: Server, cluster: string, collections: Collections) {
    this.#client = client;
    this.#server = server;
    this.#cluster = cluster;
    this.#in = collections;
  }

  get durability(): Journal['durability'] {
    if (this.#server.ferret) return 'process';
    return this.#server.hosts.length > 1 ? 'replicated' : 'host';
  }

  append(rows: readonly NewRow[]): Promise<void> {
    return told(async () => {
      const before = rows.filter(({ follows }) => follows).map(({ stream, seq }) => this.#entry(stream, seq - 1));
      const [taken, there] = await Promise.all([this.#insert(rows), this.#thereOf(before)]);
      if (taken.length > 0) await this.#explain(taken);
      const lost = rows.find(({ stream, seq, follows }) => follows && !there.has(this.#entry(stream, seq - 1)));
      const closed = await this.#closedOf(rows.map(({ stream }) => stream));
      const refused = rows.find(({ stream }) => closed.has(this.#id(stream)));
      if (refused) {
        await this.#erase([...closed]);
        throw new ConflictError(refused.stream, refused.seq);
      }
      if (lost) {
        await this.#in.entries.deleteMany({ ...within(rows.map(({ stream, seq }) => this.#entry(stream, seq))), writer: lost.writer });
        throw journalLostError(what, lost.stream, lost.seq - 1);
      }
    });
  }

  /** Answers with those whose places are taken. */
  async #insert(rows: readonly NewRow[]): Promise<NewRow[]> {
    const documents = rows.map(
      ({ stream, seq, writer, head, headBytes, body, bodyBytes }): EntryDocument => ({
        _id: this.#entry(stream, seq),
        writer,
        head: bufferOf(head),
        headBytes,
        body: bufferOf(body),
        bodyBytes,
      }),
    );
    const taken: NewRow[] = [];
    for (const { from, to } of runsOf(documents, ({ head, body }) => head.length + body.length)) {
      const indexes = await takenOf(this.#in.entries.insertMany(documents.slice(from, to), { ordered: false }));
      taken.push(...indexes.map((index) => rows[from + index]!));
    }
    return taken;
  }

  /** Nothing, if they were taken by the same writer. */
  async #explain(taken: readonly NewRow[]): Promise<void> {
    const ids = taken.map(({ stream, seq }) => this.#entry(stream, seq));
    const found = await this.#in.entries.find(within(ids), { projection: { writer: 1 } }).toArray();
    const writers = new Map(found.map(({ _id, writer }) => [_id, writer]));
    for (const [index, { stream, seq, writer }] of taken.entries()) {
      const other = writers.get(ids[index]!);
      // Gone again: somebody drops the stream, or took back what he should not have put there.
      if (other === undefined && !(await this.#closedOf([stream])).has(this.#id(stream))) throw new Error('a place was taken and is free');
      if (other !== writer) throw new ConflictError(stream, seq);
    }
  }

  async #thereOf(ids: readonly string[]): Promise<Set<string>> {
    if (ids.length === 0) return new Set();
    const found = await this.#in.entries.find(within(ids), { projection: { _id: 1 } }).toArray();
    return new Set(found.map(({ _id }) => _id));
  }

  async #closedOf(streams: readonly string[]): Promise<Set<string>> {
    const found = await this.#in.closed.find(within(streams.map((stream) => this.#id(stream))), { projection: { _id: 1 } }).toArray();
    return new Set(found.map(({ _id }) => _id));
  }

  putPieces(pieces: readonly Piece[]): Promise<void> {
    return told(async () => {
      const documents = pieces.map(
        ({ stream, seq, writer, part, bytes }): PieceDocument => ({ _id: this.#piece(stream, seq, writer, part), bytes: bufferOf(bytes) }),
      );
      for (const { from, to } of runsOf(documents, ({ bytes }) => bytes.length)) {
        await takenOf(this.#in.pieces.insertMany(documents.slice(from, to), { ordered: false }));
      }
    });
  }

  rows(stream: string, { from, to, part }: { from: number; to: number; part: 'head' | 'all' }): Promise<Row[]> {
    return told(async () => {
      const range = { $gte: this.#entry(stream, from), $lt: this.#entry(stream, to) };
      const options = { sort: { _id: 1 }, ...(part === 'head' && { projection: { body: 0 } }) } as const;
      const found = await this.#in.entries.find({ _id: range }, options).toArray();
      // Asked last: what was there before the stream was closed was whole.
      if (found.length > 0 && (await this.#closedOf([stream])).size > 0) return [];
      return found.map(({ _id, writer, head, headBytes, body = noBytes, bodyBytes }) => ({
        seq: Number(_id.slice(_id.indexOf(':') + 1)),
        writer,
        head,
        headBytes,
        body,
        bodyBytes,
      }));
    });
  }

  pieces(stream: string, ranges: readonly PieceRange[]): Promise<(Uint8Array | undefined)[]> {
    return told(async () => {
      const entryIds = [...new Set(ranges.map(({ seq }) => this.#entry(stream, seq)))];
      const needsBody = ranges.some(({ part }) => part === 0);
      const projection = { writer: 1, ...(needsBody && { body: 1 }) };
      const entries = new Map((await this.#in.entries.find(within(entryIds), { projection }).toArray()).map((entry) => [entry._id, entry]));
      const ids = ranges.map(({ seq, part }) => {
        const writer = entries.get(this.#entry(stream, seq))?.writer;
        return part === 0 || writer === undefined ? undefined : this.#piece(stream, seq, writer, part);
      });
      const asked = [...new Set(ids.filter((id) => id !== undefined))];
      const found = asked.length === 0 ? [] : await this.#in.pieces.find(within(asked)).toArray();
      const pieces = new Map(found.map(({ _id, bytes }) => [_id, bytes]));
      if (entries.size > 0 && (await this.#closedOf([stream])).size > 0) return ranges.map(() => undefined);
      return ranges.map(({ seq, part, from, to }, index) => {
        const bytes = part === 0 ? entries.get(this.#entry(stream, seq))?.body : pieces.get(ids[index] ?? '');
        return bytes?.subarray(from, to);
      });
    });
  }

  drop(streams: readonly string[]): Promise<void> {
    return told(async () => {
      const closed = streams.map((name): ClosedDocument => ({ _id: this.#id(name), name: name.slice(0, 200) }));
      await takenOf(this.#in.closed.insertMany(closed, { ordered: false }));
      await this.#erase(closed.map(({ _id }) => _id));
    });
  }

  async #erase(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      const inStream = { _id: { $gte: `${id}:`, $lt: `${id};` } };
      await this.#in.pieces.deleteMany(inStream);
      await this.#in.entries.deleteMany(inStream);
    }
  }

  async inspect(): Promise<readonly Finding[]> {
    const { version, ferret, hosts } = this.#server;
    if (ferret) {
      const meaning = 'what it confirms is as safe as the database behind it, and nobody here knows which that is';
      return [
        { level: 'warning', setting: `FerretDB (as MongoDB ${version})`, meaning, fix: 'for jobs that matter: MongoDB, or PostgreSQL' },
      ];
    }
    const setting = hosts.length > 0 ? `MongoDB ${version}, ${hosts.length} in its replica set` : `MongoDB ${version}, alone`;
    if (hosts.length > 1) return [{ level: 'good', setting, meaning: 'what is confirmed is on the disks of a majority' }];
    return [{ level: 'good', setting, meaning: 'what is confirmed is on its disk' }];
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** 128 bits of a hash, which is as good as the name itself. */
  #id(stream: string): string {
    return createHash('sha256').update(this.#cluster).update('\0').update(stream).digest().subarray(0, 16).toString('base64url');
  }

  /** In the order of their seqs. */
  #entry(stream: string, seq: number): string {
    return `${this.#id(stream)}:${String(seq).padStart(16, '0')}`;
  }

  #piece(stream: string, seq: number, writer: string, part: number): string {
    return `${this.#entry(stream, seq)}:${createHash('sha256').update(writer).digest().subarray(0, 16).toString('base64url')}:${part}`;
  }
}

const noBytes = Buffer.of();

/** One alone is found by its key, also where lists are not (FerretDB). */
function within(ids: readonly string[]): { _id: string | { $in: string[] } } {
  return { _id: ids.length === 1 ? ids[0]! : { $in: [...ids] } };
}

const duplicate = 11_000;

/** The places, among those of one insert, that were taken already; whatever else went wrong is thrown. */
async function takenOf(insert: Promise<unknown>): Promise<number[]> {
  try {
    await insert;
    return [];
  } catch (error) {
    const { writeErrors } = error as { writeErrors?: unknown };
    const all = (Array.isArray(writeErrors) ? writeErrors : writeErrors ? [writeErrors] : []) as { code: number; index: number }[];
    if (all.length === 0 || all.some(({ code }) => code !== duplicate)) throw error;
    return all.map(({ index }) => index);
  }
}

function* runsOf<T>(all: readonly T[], bytesOf: (each: T) => number): Generator<{ from: number; to: number }> {
  let from = 0;
  let bytes = 0;
  for (const [at, each] of all.entries()) {
    if (at > from && bytes + bytesOf(each) > insertBytesMax) {
      yield { from, to: at };
      from = at;
      bytes = 0;
    }
    bytes += bytesOf(each);
  }
  if (all.length > from) yield { from, to: all.length };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw known(error) ?? error;
  }
}

const unauthorized = new Set([13, 18]);
const outOfDisk = 14_031;

/** What trying again won't mend, in our words; undefined for what it may. */
function known(error: unknown): ShoalError | undefined {
  if (error instanceof ShoalError) return error;
  const { code, message } = error as { code?: unknown; message: string };
  if (code === outOfDisk || /disk is full/.test(message)) return new JournalFullError(message, error);
  if (!unauthorized.has(code as number)) return undefined;
  return forbiddenError(
    what,
    message,
    'look at the user and the password in its URL; docs/how-to/journals.md has the rights that it needs',
  );
}
