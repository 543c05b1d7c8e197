/**
 * What tasks print, as the journal has it (core/logs.ts). I18: a log stream is there only behind the fact that begins it, and goes
 * with its job; terms grow along it, and a term has no line twice.
 */
import type { JobFact, LinesFact } from '../src/core/facts.ts';
import { logStreams } from '../src/core/logs.ts';
import { decodeHead } from '../src/wire/frame.ts';
import type { JobModel } from './job-model.ts';
import { reached } from './probes.ts';
import type { StoredEntry } from './stream-model.ts';
import { check } from './violation.ts';

export class LogModel {
  /** The last generation, by job. */
  private readonly begun = new Map<string, number>();
  /** The last entry of each stream that is there. */
  private readonly streams = new Map<string, { job: string; last: LinesFact }>();

  store(entry: StoredEntry): void {
    if (entry.stream.startsWith('job.')) {
      for (const fact of decodeHead<JobFact>(entry.head)) if (fact.fact === 'logs-begun') this.begin(entry, fact.generation);
    } else if (entry.stream.startsWith('logs.')) this.onLines(entry);
  }

  private begin({ stream }: StoredEntry, generation: number): void {
    const job = stream.slice('job.'.length);
    const before = this.begun.get(job) ?? 0;
    check(generation === before + 1, 'I18', () => `log ${generation} of ${job} begins after ${before}`);
    this.begun.set(job, generation);
  }

  private onLines({ stream, seq, head }: StoredEntry): void {
    const job = stream.split('.')[1]!;
    const fact = decodeHead<LinesFact>(head)[0]!;
    const isBegun = logStreams(job, this.begun.get(job) ?? 0).includes(stream);
    check(isBegun, 'I18', () => `${stream}/${seq} is stored, and no fact says so`);
    const last = this.streams.get(stream)?.last;
    const isBehind = !last || fact.term > last.term || (fact.term === last.term && fact.first >= last.first + last.count);
    check(isBehind, 'I18', () => `${stream}/${seq} has line ${fact.first} of term ${fact.term} after those of ${JSON.stringify(last)}`);
    if (last && fact.term > last.term) reached('a log goes on under another leader');
    this.streams.set(stream, { job, last: fact });
  }

  drop(stream: string, jobs: ReadonlyMap<string, JobModel>): void {
    const job = this.streams.get(stream)?.job;
    if (job === undefined) return;
    const isNeeded = jobs.get(job)?.isDropped === false && logStreams(job, this.begun.get(job) ?? 0).includes(stream);
    check(!isNeeded, 'I18', () => `${stream} is dropped, and its job is there`);
    this.streams.delete(stream);
    reached('a log goes with its job');
  }

  judgeRest(jobs: ReadonlyMap<string, JobModel>): void {
    for (const [stream, { job }] of this.streams) {
      check(jobs.get(job)?.isDropped === false, 'I18', () => `${stream} is still there, and its job is not`);
    }
  }
}
