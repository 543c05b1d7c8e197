/** A job goes: its stream first, then its name, then its space. */
import { bundlesFor, dropUnneeded } from './bundles.ts';
import { logStreams } from './logs.ts';
import type { Refusal } from './messages.ts';
import type { Job, State } from './state.ts';
import type { Turn } from './turn.ts';
import { jobView } from './view.ts';

export function unknownJob(job: string): Refusal {
  return {
    code: 'SH1401',
    message: `there is no job ${job}`,
    why: 'the id is wrong, or the job has been deleted or has outlived its keepResults',
  };
}

/** First the stream says that it is closed, then the registry that the job is gone, then the space goes (rule 12). */
export function dropJob(state: State, job: Job, turn: Turn): void {
  if (job.outcome === undefined || !state.jobs.has(job.id)) return;
  if (!job.dropping) turn.jobFact(state, job, { fact: 'stream-sealed' });
  state.touched.delete(job);
  for (const reader of job.readers) {
    state.readers.delete(reader.key);
    if (reader.done) continue;
    turn.tell(reader.session, { kind: 'readEnd', reader: reader.id, error: unknownJob(job.id) });
  }
  for (const { session, request } of job.waiters) turn.tell(session, { kind: 'reply', request, value: jobView(state, job) });
  job.waiters = [];
  const bundles = bundlesFor(state, job);
  turn.registryFact(state, { fact: 'job-dropped', job: job.id, ...(job.logs > 0 && { logs: job.logs }) });
  for (const stream of [job.stream, ...logStreams(job.id, job.logs)]) turn.effects.push({ effect: 'dropStream', stream });
  dropUnneeded(state, bundles, turn);
}
