/**
 * Alarms of jobs. None is taken back one by one: whoever is woken looks whether the reason still holds. Those of jobs that are gone,
 * which may be due in a month, go together once they are the most.
 */
import { wakesGoneMin } from './limits.ts';
import type { Job, State, Wake } from './state.ts';

export type JobWake = Exclude<Wake, { wake: 'lease' }>;
/** Distributes over the union. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export function wakeJob(state: State, job: Job, atMs: number, wake: Without<JobWake, 'job'>): void {
  setWake(state, job, atMs, { ...wake, job: job.id });
}

/** This very alarm, for whoever tells it by that. */
export function setWake(state: State, job: Job, atMs: number, wake: JobWake): void {
  job.wakes++;
  state.timers.set(atMs, wake);
}

/** Whose alarm it was; undefined where that is gone. */
export function jobOf(state: State, wake: JobWake): Job | undefined {
  const job = state.jobs.get(wake.job);
  if (job) job.wakes--;
  else state.wakesGone--;
  return job;
}

/** The job is gone. */
export function leaveWakes(state: State, job: Job): void {
  state.wakesGone += job.wakes;
}

/** Once a turn. To look at all of them costs each that goes a look or two. */
export function trimWakes(state: State): void {
  const { timers, jobs } = state;
  if (state.wakesGone <= wakesGoneMin || 2 * state.wakesGone <= timers.size) return;
  timers.retain((wake) => wake.wake === 'lease' || jobs.has(wake.job));
  state.wakesGone = 0;
}
