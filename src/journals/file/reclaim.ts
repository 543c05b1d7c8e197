/**
 * Gives back the room of what was dropped, in the background, one segment at a time.
 *
 * A finished segment in which nothing is alive is removed; one in which less than a quarter is has the rest
 * copied to the log's end first. The order makes a crash harmless at every step: the copies are durable before the record
 * that says that the segment counts no more, and that is durable before the file goes. Recovery takes a copy for the
 * entry itself (same stream, seq and writer).
 */
import { JournalCorruptError } from '../journal.ts';
import { streamHash } from './closed.ts';
import type { CommitItem, Committer } from './committer.ts';
import type { Disk } from './disk.ts';
import { RECORD_CLOSED, RECORD_DROP, RECORD_ENTRY, RECORD_REMOVED } from './format.ts';
import type { Ledger } from './ledger.ts';
import type { Reserve } from './reserve.ts';
import { type ScannedRecord, scanRecords } from './scan.ts';
import type { Segment } from './segments.ts';
import { emptyPlace } from './streams.ts';

/** Below this share of live bytes copying them costs less than the room is worth. */
const LIVE_SHARE_MIN = 0.25;
/** Every opening leaves a segment; when more than this many are small, they are made into one. */
const SMALL_SEGMENTS_MAX = 16;
const SMALL_SHARE_MAX = 1 / 16;
/** Copies go in pieces, so that appends get their turn in between. */
const COPY_BYTES_MAX = 1024 * 1024;

export interface ReclaimerOptions {
  disk: Disk;
  ledger: Ledger;
  committer: Committer;
  reserve: Reserve;
  segmentBytes: number;
}

export class Reclaimer {
  readonly #options: ReclaimerOptions;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isStopped = false;

  constructor(options: ReclaimerOptions) {
    this.#options = options;
  }

  /** There may be something to give back. */
  wake(): void {
    this.#isAsked = true;
    this.#running ??= this.#run();
  }

  /** Resolves when there is nothing to give back, or no way to. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Ends after the step under way; the rest is done when the journal is opened again. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.idle();
  }

  async #run(): Promise<void> {
    try {
      while (this.#isAsked && !this.#isStopped) {
        this.#isAsked = false;
        await this.#reclaimAll();
      }
    } catch (error) {
      this.#giveUp(error);
    } finally {
      this.#running = undefined;
    }
  }

  /** Damage found while copying ends the journal as it does at opening; what else stops the committer stops this too. */
  #giveUp(error: unknown): void {
    if (error instanceof JournalCorruptError) this.#options.committer.stop(error);
    // No room for copies: asked again at the next drop. Anything else has already been told to those who append.
    this.#isAsked = false;
  }

  async #reclaimAll(): Promise<void> {
    const { committer, ledger, reserve } = this.#options;
    for (let segment = this.#next(); segment !== undefined && !this.#isStopped; segment = this.#next()) {
      if (segment.number === committer.activeNumber) await committer.finish(segment.number);
      if (segment.liveBytes > 0) await this.#copyLive(segment);
      await committer.commit([record(RECORD_REMOVED, { seq: segment.number })], { makesRoom: true });
      await ledger.segments.remove(segment);
      await reserve.restore();
    }
  }

  #next(): Segment | undefined {
    const { committer, ledger, segmentBytes } = this.#options;
    const segments = ledger.segments.all();
    const active = segments.pop();
    const empty = segments.find(({ liveBytes }) => liveBytes === 0);
    if (empty !== undefined) return empty;
    const sparse = segments.find(isSparse);
    if (sparse !== undefined) return sparse;
    // Without room the segment that is written to is finished early, if that gives some back.
    if (active !== undefined && committer.isOutOfRoom && active.bytes > active.headerBytes && isSparse(active)) return active;
    const small = segments.filter(({ bytes }) => bytes < segmentBytes * SMALL_SHARE_MAX);
    return small.length > SMALL_SEGMENTS_MAX ? small[0] : undefined;
  }

  async #copyLive(segment: Segment): Promise<void> {
    const pieces: CommitItem[][] = [[]];
    const hashes: Buffer[] = [];
    let bytes = 0;
    let closingBytes = 0;
    await this.#scan(segment, (scanned) => {
      if (scanned.kind === RECORD_DROP || scanned.kind === RECORD_CLOSED) {
        hashes.push(scanned.kind === RECORD_DROP ? streamHash(scanned.stream) : Buffer.from(scanned.head));
        closingBytes += scanned.bytes;
      } else if (this.#isLive(segment, scanned)) {
        if (bytes + scanned.bytes > COPY_BYTES_MAX) pieces.push([]);
        bytes = pieces.at(-1)?.length === 0 ? scanned.bytes : bytes + scanned.bytes;
        pieces.at(-1)?.push(copyOf(segment, scanned));
      }
    });
    if (hashes.length > 0) pieces.push([record(RECORD_CLOSED, { head: Buffer.concat(hashes) })]);
    for (const piece of pieces) await this.#options.committer.commit(piece, { makesRoom: true });
    if (segment.liveBytes !== closingBytes) {
      throw new JournalCorruptError(`${segment.path} still holds ${segment.liveBytes - closingBytes} live bytes after all were copied`);
    }
  }

  #isLive(segment: Segment, { kind, stream, seq, at }: ScannedRecord): boolean {
    const place = emptyPlace();
    return (
      kind === RECORD_ENTRY && this.#options.ledger.streams.find(stream, seq, place) && place.segment === segment.number && place.at === at
    );
  }

  async #scan(segment: Segment, visit: (record: ScannedRecord) => void): Promise<void> {
    const file = await this.#options.disk.open(segment.path, 'r');
    try {
      const { end } = await scanRecords(file, { from: segment.headerBytes, to: segment.bytes, salt: segment.salt }, visit);
      if (end !== segment.bytes) throw new JournalCorruptError(`${segment.path} is damaged at offset ${end}`);
    } finally {
      await file.close();
    }
  }
}

function isSparse({ liveBytes, bytes }: Segment): boolean {
  return liveBytes < bytes * LIVE_SHARE_MIN;
}

function copyOf(segment: Segment, { stream, seq, writer, head, body, at }: ScannedRecord): CommitItem {
  return {
    kind: RECORD_ENTRY,
    stream,
    seq,
    writer,
    head: Buffer.from(head),
    body: body.length === 0 ? [] : [Buffer.from(body)],
    copyOf: { segment: segment.number, at },
  };
}

function record(kind: typeof RECORD_CLOSED | typeof RECORD_REMOVED, fields: { seq?: number; head?: Uint8Array }): CommitItem {
  return { kind, stream: '', seq: fields.seq ?? 0, writer: '', head: fields.head ?? new Uint8Array(0), body: [] };
}
