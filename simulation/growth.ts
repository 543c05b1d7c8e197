/**
 * I17: what a leader keeps is bounded by what lives, and not by what has been. Each collection of the state has its answer here,
 * so that one that is added without any is an error of the compiler.
 */
import { wakesGoneMin } from '../src/core/limits.ts';
import { jobsOf } from '../src/core/rings.ts';
import type { State } from '../src/core/state.ts';
import { check } from './violation.ts';

type Collection = ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | readonly unknown[];
type CollectionOf<T> = { [K in keyof T]: T[K] extends Collection ? K : never }[keyof T];

/** The registry says so, fact by fact, and compare.ts and registry-model.ts hold it against the journal. */
const asTheJournalSays = (): boolean => true;

/** Whether all that is in it is of something that lives. */
const answers: { [K in CollectionOf<State> | 'timers']: (state: State, nowMs: number) => boolean } = {
  jobs: asTheJournalSays,
  pausedQueues: asTheJournalSays,
  // A person's word each; of what was done the newest only.
  queueChanges: ({ queueChanges }) => [...queueChanges.values()].every(({ last }) => last.length <= changesMax),
  keys: ({ keys, jobs }) => [...keys].every(([key, job]) => jobs.get(job)?.spec.key === key),
  submissions: ({ submissions, jobs }) => [...submissions].every(([name, job]) => jobs.get(job)?.submission === name),
  // One that no job has come for yet goes when the next is added.
  bundles: ({ bundles, jobs }) => [...bundles.values()].every((bundle) => [...bundle.jobs].every((job) => jobs.has(job))),
  workers: ({ workers, bounds }, nowMs) => {
    const gone = workers.filter(({ status, lastHeardMs }) => status === 'left' && nowMs - lastHeardMs > bounds.goneMs + lookMs);
    return gone.length <= bounds.goneMax && workers.every(({ past }) => past.size <= pastMax);
  },
  workersByName: ({ workersByName, workers }) => workersByName.size === workers.length,
  workersByIndex: ({ workersByIndex, workers }) => workersByIndex.size === workers.length,
  assignments: ({ assignments, jobs }) => [...assignments.values()].every(({ job, open }) => jobs.get(job.id) === job && open > 0),
  adopted: ({ adopted, assignments }) => [...adopted.values()].every((handle) => assignments.has(handle)),
  rings: ({ rings, jobs }) => rings.every((ring) => [...jobsOf(ring)].every((job) => jobs.has(job.id))),
  // Those of jobs that are gone are fewer than others, or few.
  timers: ({ timers, jobs }) => {
    let gone = 0;
    for (const wake of timers.all()) if (wake.wake !== 'lease' && !jobs.has(wake.job)) gone++;
    return gone <= Math.max(wakesGoneMin, timers.size / 2);
  },
  readers: ({ readers, jobs }) => [...readers.values()].every(({ job }) => jobs.get(job.id) === job && job.readers.size > 0),
  // Emptied with each turn.
  touched: ({ touched }) => touched.size === 0,
  // Until their space is taken, which happens once a second.
  orphans: ({ orphans, jobs }) => [...orphans].every((stream) => !stream.startsWith('job.') || !jobs.has(stream.slice('job.'.length))),
};

/** A leader looks once a second; one that stood still a little later. */
const lookMs = 5_000;
const pastMax = 32;
const changesMax = 64;

export function judgeGrowth(state: State, nowMs: number): void {
  for (const [name, isBounded] of Object.entries(answers)) {
    check(isBounded(state, nowMs), 'I17', () => `${name} of a leader holds what is no more`);
  }
}

/** At rest, when all space was reclaimed that nobody needs. */
export function judgeRest({ orphans }: State): void {
  check(orphans.size === 0, 'I17', () => `${orphans.size} streams are dropped and still there: ${[...orphans].join(', ')}`);
}
