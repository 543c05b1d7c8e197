/**
 * What tasks print, for whoever asks: best effort, never facts. Lines are told as they come and stored a little later
 * (log-writer.ts); those that are not stored yet are in memory, the newest `unsavedMax` of each job, and of all jobs together
 * `logsUnsavedBytesMax`, where the one that printed longest ago goes first. A journal that outlives nothing gets none of them.
 *
 * A follower gets what is kept, then what comes; `done` once, when its job has ended or is unknown. Each line has a number by which
 * a follower that comes back, also to another leader, goes on behind the last that it got.
 */
import type { LogPlace } from '../core/answers.ts';
import type { LinesFact } from '../core/facts.ts';
import { logBytesMax, logsUnsavedBytesMax } from '../core/limits.ts';
import { logStreams } from '../core/logs.ts';
import type { LogLine, ToClient } from '../core/messages.ts';
import type { Entry, Journal } from '../journals/journal.ts';
import type { Outside } from '../lib/outside.ts';
import { decodeHead } from '../wire/frame.ts';
import { type JobLog, LogWriter } from './log-writer.ts';

/** What the core says of a job at the end of a turn; undefined: there is none. */
export type LogState = { generation: number; isOver: boolean } | undefined;

export interface LogStoreOptions {
  journal: Journal;
  outside: Outside;
  writer: string;
  tell: (session: string, message: ToClient) => void;
  look: (job: string) => LogState;
  /** A turn is under way: what it says of jobs is told at its end. */
  isBusy: () => boolean;
  onFull: (job: string, generation: number) => void;
  unsavedMax?: number;
  unsavedMaxOfAll?: number;
}

interface Follower {
  session: string;
  reader: number;
  job: string;
  follow: boolean;
  /** Of the last line that it got. */
  place: LogPlace | undefined;
  /** Lines up to there, and those before that are not kept; undefined: not known. */
  passed: number | undefined;
  /** It has all that there is. */
  isLive: boolean;
}

/** Bytes of a line beside its message. */
const lineBytes = 100;

export class LogStore {
  private readonly options: LogStoreOptions;
  private readonly writer: LogWriter;
  private readonly logs = new Map<string, JobLog>();
  /** Who waits for a word of the core: whether there is a stream to write to. */
  private readonly asking = new Set<JobLog>();
  private readonly followers = new Set<Follower>();
  private bytes = 0;

  constructor(options: LogStoreOptions) {
    this.options = options;
    const { journal, outside, writer } = options;
    this.writer = new LogWriter({
      journal,
      outside,
      writer,
      onFull: (log) => {
        this.asking.add(log);
        options.onFull(log.job, log.generation);
      },
      onSaved: (log, last) => this.saved(log, last),
    });
  }

  /** It leads. */
  begin(term: number): void {
    this.writer.term = term;
  }

  /** What is not stored yet is, if the journal takes it at once. */
  end(): Promise<void> {
    return this.writer.end();
  }

  /** It leads no more. */
  abandon(): void {
    this.writer.abandon();
  }

  add(lines: readonly LogLine[]): void {
    for (const line of lines) this.keep(line);
    for (const follower of this.followers) {
      if (!follower.isLive) continue;
      const own = lines.filter(({ job }) => job === follower.job);
      if (own.length > 0) this.tellNew(follower, own, 0, false);
    }
  }

  /** `from`: the place of the last line that it has. */
  read(session: string, reader: number, job: string, follow: boolean, from?: LogPlace): void {
    const follower: Follower = { session, reader, job, follow, place: from, passed: from ? undefined : 0, isLive: false };
    this.followers.add(follower);
    void this.catchUp(follower);
  }

  unread(session: string, reader?: number): void {
    for (const follower of this.followers) {
      if (follower.session === session && (reader === undefined || follower.reader === reader)) this.followers.delete(follower);
    }
  }

  /** At the end of a turn, whose facts are stored if lines came with it: ends followers whose job is over. Cheap while nobody prints. */
  settle(): void {
    for (const log of this.asking) this.ask(log);
    for (const follower of this.followers) {
      if (!follower.isLive || this.options.look(follower.job)?.isOver === false) continue;
      this.finish(follower, []);
    }
  }

  /** Now and then: of jobs that are gone nothing stays. */
  prune(): void {
    for (const log of this.logs.values()) if (!this.options.look(log.job)) this.forget(log);
  }

  private ask(log: JobLog): void {
    const generation = this.options.look(log.job)?.generation ?? 0;
    if (log.isFull && generation === log.generation) return;
    this.asking.delete(log);
    if (generation === 0) return;
    if (log.isFull) {
      log.isFull = false;
      log.end = { ...log.end!, seq: 0, bytes: 0 };
    }
    log.generation = generation;
    this.writer.write(log);
  }

  // ---- who reads ----

  private async catchUp(follower: Follower): Promise<void> {
    const { session, reader, job, follow } = follower;
    try {
      await this.readStored(follower);
    } catch (error) {
      if (!this.followers.delete(follower)) return;
      const { code = 'SH4004', message } = error as { code?: string; message: string };
      return this.options.tell(session, { kind: 'readEnd', reader, error: { code, message } });
    }
    if (!this.followers.has(follower)) return;
    const lines = this.unsavedFor(follower);
    follower.isLive = true;
    const isOver = !this.options.isBusy() && this.options.look(job)?.isOver !== false;
    if (!follow || isOver) return this.finish(follower, lines);
    if (lines.length > 0) this.tellNew(follower, lines, this.missed(follower, lines), false);
  }

  /** Until it has all that is stored, also meanwhile. */
  private async readStored(follower: Follower): Promise<void> {
    const { job } = follower;
    const { journal, look } = this.options;
    const seqs = new Map<string, number>();
    let isMore: boolean;
    do {
      isMore = false;
      for (const stream of logStreams(job, look(job)?.generation ?? 0)) {
        for await (const entries of journal.read(stream, { from: seqs.get(stream) ?? 0, part: 'all' })) {
          if (!this.followers.has(follower)) return;
          for (const entry of entries) this.tellStored(follower, entry);
          seqs.set(stream, entries.at(-1)!.seq + 1);
          isMore = true;
        }
      }
    } while (isMore && this.numberOf(follower) < (this.logs.get(job)?.saved ?? 0));
  }

  private tellStored(follower: Follower, { head, body }: Entry): void {
    const { place } = follower;
    const { term, first, count, earlier } = decodeHead<LinesFact>(head)[0]!;
    const got = place && place.term >= term ? (place.term > term ? count : Math.max(0, place.line - first + 1)) : 0;
    if (got >= count) return;
    const lines = (JSON.parse(Buffer.concat(body).toString()) as LogLine[]).slice(got);
    const before = earlier + first - 1 + got;
    const passed = follower.passed ?? (place?.term === term ? earlier + place.line : before);
    follower.passed = before + lines.length;
    follower.place = { term, line: first + count - 1 };
    this.tell(follower, lines, before - passed, false);
  }

  /** What this leader has heard and not stored, behind what the follower has. */
  private unsavedFor(follower: Follower): LogLine[] {
    const log = this.logs.get(follower.job);
    if (!log) return [];
    return log.unsaved.slice(Math.max(0, this.numberOf(follower) - (log.heard - log.unsaved.length)));
  }

  private missed(follower: Follower, lines: readonly LogLine[]): number {
    const heard = this.logs.get(follower.job)?.heard ?? 0;
    return Math.max(0, heard - lines.length - this.numberOf(follower));
  }

  private numberOf({ place }: Follower): number {
    return place?.term === this.writer.term ? place.line : 0;
  }

  private tellNew(follower: Follower, lines: LogLine[], dropped: number, done: boolean): void {
    follower.place = { term: this.writer.term, line: this.logs.get(follower.job)!.heard };
    this.tell(follower, lines, dropped, done);
  }

  private finish(follower: Follower, lines: LogLine[]): void {
    this.followers.delete(follower);
    if (lines.length > 0) this.tellNew(follower, lines, this.missed(follower, lines), true);
    else this.tell(follower, lines, 0, true);
  }

  private tell({ session, reader, place }: Follower, lines: LogLine[], dropped: number, done: boolean): void {
    this.options.tell(session, { kind: 'printed', reader, lines, done, ...(dropped > 0 && { dropped }), ...(place && { place }) });
  }

  // ---- what is kept ----

  private keep(line: LogLine): void {
    const log = this.logs.get(line.job) ?? newLog(line.job);
    // The one that printed last is last in the order of the map.
    this.logs.delete(line.job);
    this.logs.set(line.job, log);
    if (!log.isFull) this.asking.add(log);
    log.heard++;
    log.unsaved.push(line);
    this.grow(log, bytesOf(line));
    const { unsavedMax = logBytesMax, unsavedMaxOfAll = logsUnsavedBytesMax } = this.options;
    // In halves, so that dropping old lines costs nothing per line.
    if (log.bytes > unsavedMax) this.cut(log, Math.ceil(log.unsaved.length / 2));
    if (this.bytes <= unsavedMaxOfAll) return;
    for (const oldest of this.logs.values()) {
      if (this.bytes <= (unsavedMaxOfAll / 8) * 7) return;
      this.cut(oldest, oldest.unsaved.length);
    }
  }

  private saved(log: JobLog, last: number): void {
    log.saved = last;
    this.cut(log, Math.max(0, last - (log.heard - log.unsaved.length)));
  }

  private cut(log: JobLog, count: number): void {
    for (const line of log.unsaved.splice(0, count)) this.grow(log, -bytesOf(line));
  }

  private forget(log: JobLog): void {
    this.cut(log, log.unsaved.length);
    this.logs.delete(log.job);
    this.asking.delete(log);
  }

  private grow(log: JobLog, bytes: number): void {
    log.bytes += bytes;
    this.bytes += bytes;
  }
}

function newLog(job: string): JobLog {
  return { job, heard: 0, unsaved: [], bytes: 0, saved: 0, generation: 0, end: undefined, conflictSeq: -1, isFull: false, isClosed: false };
}

function bytesOf({ message }: LogLine): number {
  return lineBytes + message.length;
}
