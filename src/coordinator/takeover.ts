/**
 * Reading one's way to leadership (rule 2): fold the registry to its end, put this term's barrier there, fold
 * every live stream and put the barrier on each, all by put-if-absent. A conflict means that somebody else wrote:
 * read on and try again; a higher term anywhere, or a registry that has rolled on, means that somebody else leads.
 */
import type { Fact, JobFact } from '../core/facts.ts';
import { applyJobFact } from '../core/fold.ts';
import type { Job, State } from '../core/state.ts';
import { ConflictError, type Entry, type Journal } from '../journals/journal.ts';
import { decodeHead, encodeHead } from '../wire/frame.ts';
import { type Clock, foldNewRegistry, foldRegistry, NotLeaderError, nameInRoot } from './registry.ts';

const triesMax = 100;

/** `goOn` throws if this one leads no more: its barrier would depose whoever does. */
export async function takeOver(state: State, journal: Journal, clock: Clock, goOn: () => void): Promise<number> {
  await foldRegistry(state, journal, clock);
  const term = state.term + 1;
  for (let tries = 0; ; tries++) {
    const { stream, nextSeq } = state.registry;
    goOn();
    try {
      await journal.append([barrier(state, stream, nextSeq, term, clock)]);
      state.registry.nextSeq++;
      if (stream === state.registry.root) state.registry.rootSeq = state.registry.nextSeq;
      break;
    } catch (error) {
      if (!(error instanceof ConflictError) || tries === triesMax) throw error;
      await foldNewRegistry(state, journal, clock);
      if (state.term >= term) throw new NotLeaderError(state.term);
    }
  }
  await nameInRoot(state, journal);
  await forgetHalfStoredBundles(state, journal);
  const jobs = [...state.jobs.values()];
  for (const job of jobs) await foldJob(state, job, journal, clock);
  await fenceJobs(state, jobs, journal, term, clock);
  return term;
}

function barrier(state: State, stream: string, seq: number, term: number, clock: Clock): Entry {
  const fact: Fact = { fact: 'term', term, writer: state.writer, wallMs: clock.wallMs() };
  return { stream, seq, writer: state.writer, head: encodeHead([fact]), body: [] };
}

async function foldJob(state: State, job: Job, journal: Journal, clock: Clock): Promise<void> {
  for await (const entries of journal.read(job.stream, { from: job.nextSeq, part: 'head' })) {
    const at = { nowMs: clock.nowMs(), wallMs: clock.wallMs() };
    for (const { head, seq } of entries) {
      for (const fact of decodeHead<JobFact>(head)) {
        if (fact.fact === 'term' && fact.term > state.term + 1) throw new NotLeaderError(fact.term);
        applyJobFact(state, job, fact, seq, at);
      }
      job.nextSeq = seq + 1;
    }
  }
}

/** The last leader may have died between the two entries of an upload; the client was not told, so it uploads again. */
async function forgetHalfStoredBundles(state: State, journal: Journal): Promise<void> {
  for (const { hash, stream } of state.bundles.values()) {
    let isThere = false;
    for await (const entries of journal.read(stream, { from: 0, to: 1, part: 'head' })) isThere ||= entries.length > 0;
    if (!isThere) state.bundles.delete(hash);
  }
}

/** One append for all; whoever conflicts is folded to its end and tried again. */
async function fenceJobs(state: State, jobs: readonly Job[], journal: Journal, term: number, clock: Clock): Promise<void> {
  let left = jobs.filter((job) => !job.dropping);
  for (let tries = 0; left.length > 0; tries++) {
    try {
      await journal.append(left.map((job) => barrier(state, job.stream, job.nextSeq, term, clock)));
      for (const job of left) job.nextSeq++;
      return;
    } catch (error) {
      if (!(error instanceof ConflictError) || tries === triesMax) throw error;
      for (const job of left) await foldJob(state, job, journal, clock);
      left = left.filter((job) => !job.dropping);
    }
  }
}
