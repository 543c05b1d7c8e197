/**
 * Writes what tasks print into the log streams of their jobs: in its own time, beside the turns, and one append at a time. Nothing
 * waits for it, and whatever becomes of an append ends no leadership.
 *
 * 1. A job's log stream is written only once the fact that it is there is stored (core/logs.ts), so that it goes with its job.
 * 2. Terms grow along a stream. Whoever meets an entry of a higher one, or a stream that is closed, writes no more of that log.
 *    What a leader that was replaced still appends before the next one's first entry are lines as good as any.
 * 3. An append that failed otherwise is tried again with the same bytes: no line is stored twice.
 */
import type { LinesFact } from '../core/facts.ts';
import { logBytesMax } from '../core/limits.ts';
import type { LogLine } from '../core/messages.ts';
import { logStream } from '../core/state.ts';
import { ConflictError, type Entry, type Journal } from '../journals/journal.ts';
import type { Outside } from '../lib/outside.ts';
import { decodeHead, encodeHead } from '../wire/frame.ts';

/** Of one job, as this leader has heard it. */
export interface JobLog {
  readonly job: string;
  /** Lines so far. */
  heard: number;
  /** The newest of them, which are not stored. */
  unsaved: LogLine[];
  bytes: number;
  /** The greatest number that is stored. */
  saved: number;
  /** Of the stream that is written; 0: not known to be stored. */
  generation: number;
  end: { seq: number; bytes: number; earlier: number } | undefined;
  /** Taken by another writer. */
  conflictSeq: number;
  /** It is as long as it may be. */
  isFull: boolean;
  isClosed: boolean;
}

interface Batch {
  log: JobLog;
  entry: Entry;
  last: number;
  bytes: number;
}

export interface LogWriterOptions {
  journal: Journal;
  outside: Outside;
  writer: string;
  onFull: (log: JobLog) => void;
  /** Lines are stored. */
  onSaved: (log: JobLog, last: number) => void;
}

/** Between two appends. */
const pauseMs = 250;
const retryMs = 1_000;
const batchBytesMax = 256 * 1024;
const appendBytesMax = 4 * 1024 * 1024;

export class LogWriter {
  /** Of this leader. */
  term = 0;
  private readonly options: LogWriterOptions;
  private readonly waiting = new Set<JobLog>();
  private running: Promise<void> | undefined;
  private isEnding = false;
  private onEnding: () => void = () => undefined;

  constructor(options: LogWriterOptions) {
    this.options = options;
  }

  write(log: JobLog): void {
    this.waiting.add(log);
    if (this.isEnding) return;
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
  }

  /** Writes what there is, tries nothing again, and ends. */
  end(): Promise<void> {
    this.isEnding = true;
    this.onEnding();
    return this.running ?? Promise.resolve();
  }

  abandon(): void {
    this.waiting.clear();
    void this.end();
  }

  private async run(): Promise<void> {
    while (this.waiting.size > 0) {
      const batches = await this.batches();
      const isStored = await this.append(batches);
      if (this.isEnding && (!isStored || batches.length === 0)) return;
      if (this.waiting.size > 0) await this.pause(pauseMs);
    }
  }

  private async batches(): Promise<Batch[]> {
    const batches: Batch[] = [];
    let bytes = 0;
    for (const log of this.waiting) {
      if (bytes >= appendBytesMax) break;
      const batch = await this.batchOf(log);
      if (batch) batches.push(batch);
      else if (log.end) this.waiting.delete(log);
      bytes += batch?.bytes ?? 0;
    }
    return batches;
  }

  private async batchOf(log: JobLog): Promise<Batch | undefined> {
    if (!log.end) await this.findEnd(log);
    const { job, generation, end, isClosed } = log;
    if (isClosed || !end || log.unsaved.length === 0) return undefined;
    if (end.bytes >= logBytesMax) {
      log.isFull = true;
      this.options.onFull(log);
      return undefined;
    }
    const first = log.heard - log.unsaved.length + 1;
    const texts: string[] = [];
    let bytes = 0;
    while (texts.length < log.unsaved.length && bytes < batchBytesMax) {
      const text = JSON.stringify(log.unsaved[texts.length]);
      bytes += text.length;
      texts.push(text);
    }
    const count = texts.length;
    const fact: LinesFact = { fact: 'lines', term: this.term, first, count, earlier: end.earlier, bytes: end.bytes + bytes };
    const { writer } = this.options;
    const entry: Entry = {
      stream: logStream(job, generation),
      seq: end.seq,
      writer,
      head: encodeHead([fact]),
      body: [Buffer.from(`[${texts.join(',')}]`)],
    };
    return { log, entry, last: first + count - 1, bytes };
  }

  /** False: it gave up, since it ends. */
  private async append(batches: Batch[]): Promise<boolean> {
    const left = [...batches];
    while (left.length > 0) {
      try {
        await this.options.journal.append(left.map(({ entry }) => entry));
        for (const batch of left) this.stored(batch);
        return true;
      } catch (error) {
        const at = error instanceof ConflictError ? left.findIndex(({ entry }) => entry.stream === error.stream) : -1;
        if (at >= 0) {
          const { log, entry } = left.splice(at, 1)[0]!;
          log.end = undefined;
          log.conflictSeq = entry.seq;
        } else if (this.isEnding) return false;
        else await this.pause(retryMs);
      }
    }
    return true;
  }

  private stored({ log, entry, last, bytes }: Batch): void {
    const { earlier, bytes: before } = log.end!;
    log.end = { seq: entry.seq + 1, bytes: before + bytes, earlier };
    this.options.onSaved(log, last);
  }

  /** What leaders before this one have stored; what can't be read now is read later. */
  private async findEnd(log: JobLog): Promise<void> {
    const { job, generation } = log;
    try {
      const now = await this.last(logStream(job, generation));
      const before = now.seq === 0 && generation > 1 ? await this.last(logStream(job, generation - 1)) : now;
      const { fact } = before;
      if (now.seq <= log.conflictSeq || (fact && fact.term > this.term)) log.isClosed = true;
      const earlier = fact ? fact.earlier + (fact.term === this.term ? 0 : fact.first + fact.count - 1) : 0;
      log.end = { seq: now.seq, bytes: now.fact?.bytes ?? 0, earlier };
    } catch {
      if (!this.isEnding) await this.pause(retryMs);
    }
  }

  private async last(stream: string): Promise<{ seq: number; fact: LinesFact | undefined }> {
    let seq = 0;
    let head: Uint8Array | undefined;
    for await (const entries of this.options.journal.read(stream, { from: 0, part: 'head' })) {
      seq += entries.length;
      head = entries.at(-1)?.head;
    }
    return { seq, fact: head && decodeHead<LinesFact>(head)[0] };
  }

  private pause(ms: number): Promise<void> {
    if (this.isEnding) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.options.outside.after(ms, resolve);
      timer.unref();
      this.onEnding = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
