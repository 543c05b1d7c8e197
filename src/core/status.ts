/** The cluster at a glance, and what of it a person should look at. */

import type { ClusterView, JobState, QueueInfo, Reason } from './answers.ts';
import { TaskState } from './columns.ts';
import { letterCountOf } from './letters.ts';
import { listQueues } from './listing.ts';
import type { Job, State, Worker } from './state.ts';
import { stateOf } from './view.ts';
import { whyNobodyStarts } from './waiting.ts';

export function clusterView(state: State): ClusterView {
  const jobs: Record<JobState, number> = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };
  for (const job of state.jobs.values()) if (!job.dropping) jobs[stateOf(job)]++;
  const queues = listQueues(state);
  const tasks = { ready: 0, delayed: 0, running: 0 };
  for (const { ready, delayed, running } of queues) {
    tasks.ready += ready;
    tasks.delayed += delayed;
    tasks.running += running;
  }
  const count = (status: Worker['status']): number => state.workers.filter((worker) => worker.status === status).length;
  const slots = state.workers.reduce((sum, worker) => sum + (worker.status === 'live' ? worker.slots : 0), 0);
  return {
    ...state.about,
    term: state.term,
    leader: state.writer,
    workers: { live: count('live'), draining: count('draining'), silent: count('silent'), slots },
    jobs,
    tasks,
    queues,
    problems: problems(state, queues),
  };
}

function problems(state: State, queues: readonly QueueInfo[]): Reason[] {
  const found: Reason[] = [];
  if (state.isBrokerDown) {
    const what = `the broker at ${state.about.broker ?? 'its own port'} does not answer: nothing reaches the workers`;
    found.push({ what, try: 'shoal doctor --broker URL; it goes on by itself once that is there again' });
  }
  if (state.full) {
    found.push({ what: 'the journal has no room left: no new job is taken', try: 'free some space on its disk; it goes on by itself' });
  }
  for (const { queue, paused, ready, delayed } of queues) {
    const count = ready + delayed;
    if (!paused || count === 0) continue;
    const tasks = count === 1 ? '1 task' : `${count} tasks`;
    found.push({ what: `the queue "${queue}" is paused with ${tasks} in it`, try: `shoal queues resume ${queue}` });
  }
  found.push(...stuckJobs(state), ...workersInNeed(state));
  const { refused } = state;
  if (refused && state.lastTickMs - refused.atMs < refusedShownMs) {
    const messages = refused.count === 1 ? '1 message was' : `${refused.count} messages were`;
    found.push({
      what: `${messages} refused: not signed with the secret of this cluster`,
      try: 'give all workers the coordinator’s --cluster-secret-file; its log says to whom they were, and if nobody lacks it, somebody else writes to the broker',
    });
  }
  let letters = 0;
  for (const job of state.jobs.values()) if (!job.dropping) letters += letterCountOf(job);
  if (letters > 0) found.push({ what: letters === 1 ? '1 dead letter waits' : `${letters} dead letters wait`, try: 'shoal dlq list' });
  return found;
}

/** After the last of them. */
const refusedShownMs = 600_000;
const namesMax = 3;
/** With more jobs than that, those that came first speak for all. */
const looksMax = 1_000;

/** Work that no worker could ever run, one problem for each cause. */
function stuckJobs(state: State): Reason[] {
  const causes = new Map<string, { reason: Reason; jobs: Set<Job> }>();
  let looks = 0;
  for (const job of state.jobs.values()) {
    if (job.outcome !== undefined || job.isResting || job.notBeforeMs > 0) continue;
    for (const stage of job.stages) {
      if (stage.counts[TaskState.ready] === 0) continue;
      if (looks++ === looksMax) return [...causes.values()].map(stuckReason);
      const cause = whyNobodyStarts(state, job, stage);
      if (cause?.kind !== 'stuck') continue;
      const same = causes.get(cause.reason.what) ?? { reason: cause.reason, jobs: new Set() };
      causes.set(cause.reason.what, same);
      same.jobs.add(job);
    }
  }
  return [...causes.values()].map(stuckReason);
}

function stuckReason({ reason, jobs }: { reason: Reason; jobs: Set<Job> }): Reason {
  const names = [...jobs].slice(0, namesMax).map(({ spec, id }) => `${spec.name} (${id})`);
  const who = `${names.join(', ')}${jobs.size > namesMax ? ` and ${jobs.size - namesMax} more` : ''}`;
  return { ...reason, what: `${who} can't go on: ${reason.what}` };
}

const memoryShareHigh = 0.9;

function workersInNeed({ workers }: State): Reason[] {
  const found: Reason[] = [];
  for (const { name, status, memory } of workers) {
    if (status === 'silent') {
      const advice = `is its machine there? shoal workers get ${name}`;
      found.push({ what: `worker ${name} has not been heard of since this coordinator began`, try: advice });
    }
    if (
      (status === 'live' || status === 'draining') &&
      memory &&
      memory.bytesMax > 0 &&
      memory.bytes >= memoryShareHigh * memory.bytesMax
    ) {
      const share = Math.round((100 * memory.bytes) / memory.bytesMax);
      const advice = 'give it fewer --threads or a larger --memory-limit';
      found.push({ what: `worker ${name} uses ${share} % of its memory`, try: advice });
    }
  }
  return found;
}
