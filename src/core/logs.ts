/**
 * Where what tasks print is kept. The lines themselves are no facts: the shell writes them, behind all that matters
 * (coordinator/log-store.ts). That a job has a log stream is one, stored before the stream is, so that the stream goes with its job.
 *
 * A log is bounded by generations: when one is full the next begins, and the one before the last goes.
 */
import type { LogLine } from './messages.ts';
import { type Job, logStream, type State } from './state.ts';
import type { Turn } from './turn.ts';

/** The last, and the one before it: at least one full one is kept. */
const generationsKept = 2;

/** Which may be there while `generation` is the last of them. */
export function logStreams(job: string, generation: number): string[] {
  if (generation === 0) return [];
  const first = Math.max(1, generation - generationsKept + 1);
  return Array.from({ length: generation - first + 1 }, (_, i) => logStream(job, first + i));
}

export function foldLogsBegun(state: State, job: Job, generation: number): void {
  job.logs = generation;
  const outdated = outdatedLog(job);
  if (outdated !== undefined) state.orphans.add(outdated);
}

function outdatedLog({ id, logs }: Job): string | undefined {
  return logs > generationsKept ? logStream(id, logs - generationsKept) : undefined;
}

export function onLines(state: State, lines: LogLine[], turn: Turn): void {
  for (const id of new Set(lines.map(({ job }) => job))) {
    const job = state.jobs.get(id);
    if (job?.logs === 0) begin(state, job, turn);
  }
  turn.effects.push({ effect: 'logs', lines });
}

export function rollLog(state: State, id: string, generation: number, turn: Turn): void {
  const job = state.jobs.get(id);
  if (job?.logs === generation) begin(state, job, turn);
}

function begin(state: State, job: Job, turn: Turn): void {
  // What ends with this process stays in its memory.
  if (!state.leading || job.dropping || state.about.durability === 'none') return;
  turn.jobFact(state, job, { fact: 'logs-begun', generation: job.logs + 1 });
  const outdated = outdatedLog(job);
  if (outdated !== undefined) turn.effects.push({ effect: 'dropStream', stream: outdated });
}
