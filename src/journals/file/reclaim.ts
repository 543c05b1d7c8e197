/**
 * Gives back the room of what was dropped, in the background, one segment at a time.
 *
 * A finished segment in which nothing is alive is removed; one in which less than a quarter is has the rest
 * copied to the log's end first. The order makes a crash harmless at every step: the copies are durable before the record
 * that says that the segment counts no more, and that is durable before the file goes. Recovery takes a copy for the
 * entry itself (same stream, seq and writer).
 */
import { open } from 'node:fs/promises';
import { JournalCorruptError } from '../journal.ts';
import { streamHash } from './closed.ts';
import type { CommitItem, Committer } from './committer.ts';
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
    for (let segment = this.#next(); segment !== undefined && !this.#isStopped; segment = this.#next()) {
      if (segment.liveBytes > 0) await this.#copyLive(segment);
      await this.#remove(segment);
      await this.#options.reserve.restore();
    }
  }

  #next(): Segment | undefined {
    const { committer, ledger, segmentBytes } = this.#options;
    const finished = ledger.segments.all().filter(({ number }) => number < committer.activeNumber);
    const empty = finished.find(({ liveBytes }) => liveBytes === 0);
    if (empty !== undefined) return empty;
    const sparse = finished.find(({ liveBytes, bytes }) => liveBytes < bytes * LIVE_SHARE_MIN);
    if (sparse !== undefined) return sparse;
    const small = finished.filter(({ bytes }) => bytes < segmentBytes * SMALL_SHARE_MAX);
    return small.length > SMALL_SEGMENTS_MAX ? small[0] : undefined;
  }

  async #remove(segment: Segment): Promise<void> {
    const { committer, ledger } = this.#options;
    const removed = record(RECORD_REMOVED, { seq: segment.number });
    await committer.commit([removed], { makesRoom: true });
    await ledger.segments.remove(segment);
  }

  async #copyLive(segment: Segment): Promise<void> {
    const { committer } = this.#options;
    let items: CommitItem[] = [];
    let bytes = 0;
    const hashes: Buffer[] = [];
    const pieces: CommitItem[][] = [];
    await this.#scan(segment, (scanned) => {
      if (scanned.kind === RECORD_DROP) hashes.push(streamHash(scanned.stream));
      else if (scanned.kind === RECORD_CLOSED) hashes.push(Buffer.from(scanned.head));
      else if (this.#isLive(segment, scanned)) {
        items.push(copyOf(segment, scanned));
        bytes += scanned.bytes;
        if (bytes < COPY_BYTES_MAX) return;
        pieces.push(items);
        items = [];
        bytes = 0;
      }
    });
    if (hashes.length > 0) items.push(record(RECORD_CLOSED, { head: Buffer.concat(hashes) }));
    for (const piece of [...pieces, items]) await committer.commit(piece);
  }

  #isLive(segment: Segment, { kind, stream, seq, at }: ScannedRecord): boolean {
    const place = emptyPlace();
    return (
      kind === RECORD_ENTRY && this.#options.ledger.streams.find(stream, seq, place) && place.segment === segment.number && place.at === at
    );
  }

  async #scan(segment: Segment, visit: (record: ScannedRecord) => void): Promise<void> {
    const file = await open(segment.path, 'r');
    try {
      const { end } = await scanRecords(file, { from: segment.headerBytes, to: segment.bytes, salt: segment.salt }, visit);
      if (end !== segment.bytes) throw new JournalCorruptError(`${segment.path} is damaged at offset ${end}`);
    } finally {
      await file.close();
    }
  }
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
