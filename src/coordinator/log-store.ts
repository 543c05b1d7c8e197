/**
 * What tasks print, kept for whoever asks: best effort, never facts, gone with this process. The newest lines of each job
 * stay, up to `jobBytesMax`; when all jobs together hold more than `bytesMax`, the one that printed longest ago goes.
 *
 * A follower gets what is kept, then what comes; `done` once, when its job has ended or is unknown.
 */
import type { LogLine, ToClient } from '../core/messages.ts';

interface JobLines {
  lines: LogLine[];
  bytes: number;
}

interface Follower {
  session: string;
  reader: number;
  job: string;
}

/** Bytes of a line beside its message. */
const lineBytes = 100;
const linesPerMessage = 1_000;

export class LogStore {
  private readonly jobs = new Map<string, JobLines>();
  private readonly followers: Follower[] = [];
  private readonly tell: (session: string, message: ToClient) => void;
  private readonly jobBytesMax: number;
  private readonly bytesMax: number;
  private bytes = 0;

  constructor(tell: (session: string, message: ToClient) => void, jobBytesMax = 1024 * 1024, bytesMax = 64 * 1024 * 1024) {
    this.tell = tell;
    this.jobBytesMax = jobBytesMax;
    this.bytesMax = bytesMax;
  }

  add(lines: readonly LogLine[]): void {
    for (const line of lines) this.keep(line);
    for (const { session, reader, job } of this.followers) {
      const own = lines.filter((line) => line.job === job);
      if (own.length > 0) this.tell(session, { kind: 'printed', reader, lines: own, done: false });
    }
  }

  /** `isOver`: the job has ended, or there is none. */
  read(session: string, reader: number, job: string, follow: boolean, isOver: boolean): void {
    const lines = this.jobs.get(job)?.lines ?? [];
    const done = !follow || isOver;
    for (let from = 0; from + linesPerMessage < lines.length; from += linesPerMessage) {
      this.tell(session, { kind: 'printed', reader, lines: lines.slice(from, from + linesPerMessage), done: false });
    }
    const rest = lines.length === 0 ? 0 : Math.floor((lines.length - 1) / linesPerMessage) * linesPerMessage;
    this.tell(session, { kind: 'printed', reader, lines: lines.slice(rest), done });
    if (!done) this.followers.push({ session, reader, job });
  }

  unread(session: string, reader?: number): void {
    for (let i = this.followers.length - 1; i >= 0; i--) {
      const follower = this.followers[i]!;
      if (follower.session === session && (reader === undefined || follower.reader === reader)) this.followers.splice(i, 1);
    }
  }

  /** Ends followers whose job is over. Cheap while nobody follows. */
  settle(isOver: (job: string) => boolean): void {
    for (let i = this.followers.length - 1; i >= 0; i--) {
      const { session, reader, job } = this.followers[i]!;
      if (!isOver(job)) continue;
      this.followers.splice(i, 1);
      this.tell(session, { kind: 'printed', reader, lines: [], done: true });
    }
  }

  drop(job: string): void {
    this.bytes -= this.jobs.get(job)?.bytes ?? 0;
    this.jobs.delete(job);
  }

  private keep(line: LogLine): void {
    const kept = this.jobs.get(line.job) ?? { lines: [], bytes: 0 };
    // The one that printed last is last in the order of the map.
    this.jobs.delete(line.job);
    this.jobs.set(line.job, kept);
    kept.lines.push(line);
    this.grow(kept, lineBytes + line.message.length);
    if (kept.bytes > this.jobBytesMax) this.halve(kept);
    while (this.bytes > this.bytesMax) this.drop(this.jobs.keys().next().value!);
  }

  /** In halves, so that dropping old lines costs nothing per line. */
  private halve(kept: JobLines): void {
    for (const line of kept.lines.splice(0, Math.ceil(kept.lines.length / 2))) this.grow(kept, -(lineBytes + line.message.length));
  }

  private grow(kept: JobLines, bytes: number): void {
    kept.bytes += bytes;
    this.bytes += bytes;
  }
}
