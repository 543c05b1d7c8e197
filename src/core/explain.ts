/** Why something waits, or how it ended, and what can be done about it; and what is wrong with the cluster as a whole. */
import { TaskState } from './columns.ts';
import { listQueues, retryDueMs, taskStateNames } from './listing.ts';
import type { ClusterView, Explanation, JobState, Reason } from './messages.ts';
import { type Job, type Stage, type State, storyKey, type Worker } from './state.ts';
import { attemptsOf, failureOf, stateOf } from './view.ts';
import { whyWaiting } from './waiting.ts';

export function explainJob(state: State, job: Job): Explanation {
  const reasons: Reason[] = [];
  const jobState = stateOf(job);
  if (job.outcome === 'failed' || job.outcome === 'expired') {
    if (job.failure) reasons.push(failureReason(state, job, job.stages[job.failure.stage]!, job.failure.index));
    if (job.reason) reasons.push({ what: job.reason });
    reasons.push({ what: 'its dead letters are kept', try: `shoal dlq list ${job.id}\nshoal jobs replay ${job.id}` });
  } else if (job.outcome === 'cancelled') reasons.push({ what: job.reason ?? 'cancelled', try: `shoal jobs replay ${job.id}` });
  else if (job.outcome === undefined) reasons.push(...whyWaiting(state, job), ...runningReasons(job));
  return { subject: job.spec.name, job: job.id, state: jobState, summary: jobSummary(job, jobState, reasons), reasons };
}

function runningReasons(job: Job): Reason[] {
  const reasons: Reason[] = [];
  for (const { spec, counts, index } of job.stages) {
    const running = counts[TaskState.running]!;
    const delayed = counts[TaskState.delayed]!;
    const name = spec.definition?.name ?? `stage ${index}`;
    if (running > 0)
      reasons.push({
        what: `${running} of ${name} ${running === 1 ? 'is' : 'are'} with workers`,
        try: `shoal tasks list ${job.id} --state running`,
      });
    if (delayed > 0 && running > 0)
      reasons.push({ what: `${delayed} of ${name} wait for their next attempt`, try: `shoal tasks list ${job.id} --state delayed` });
  }
  return reasons;
}

function jobSummary(job: Job, jobState: JobState, reasons: readonly Reason[]): string {
  const { name } = job.spec;
  if (jobState === 'succeeded') return `${name} has succeeded`;
  if (job.outcome !== undefined) return `${name} has ${jobState === 'cancelled' ? 'been cancelled' : jobState}: ${reasons[0]!.what}`;
  const [first] = reasons;
  const isMoving = job.stages.some((stage) => stage.counts[TaskState.running]! > 0);
  if (isMoving) return `${name} is running`;
  return first ? `${name} waits: ${first.what}` : `${name} has nothing to do at the moment`;
}

function failureReason(state: State, job: Job, stage: Stage, index: number): Reason {
  const { task, error, attempts, worker, code } = failureOf(state, job, stage, index);
  const tries = `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
  const where = worker === '' ? '' : `, last on ${worker}`;
  return {
    what: `${task}[${index}] failed for good after ${tries}${where}: ${error.message} (${code})`,
    try: `shoal tasks get ${job.id}/${stage.index}/${index}`,
  };
}

export function explainTask(state: State, job: Job, stage: Stage, index: number, nowMs: number): Explanation {
  const { columns } = stage;
  const taskState = columns.state(index);
  const name = `${stage.spec.definition?.name ?? job.spec.name}[${index}]`;
  const reasons = taskReasons(state, job, stage, index, nowMs);
  return {
    subject: name,
    job: job.id,
    state: taskStateNames[taskState]!,
    summary: `${name} is ${taskStateNames[taskState]}${reasons[0] ? `: ${reasons[0].what}` : ''}`,
    reasons,
  };
}

function taskReasons(state: State, job: Job, stage: Stage, index: number, nowMs: number): Reason[] {
  const { columns } = stage;
  switch (columns.state(index)) {
    case TaskState.waiting:
      return whatItNeeds(job, stage, index);
    case TaskState.ready: {
      const reasons = whyWaiting(state, job);
      const before = stage.counts[TaskState.ready]! - 1;
      const behind = before > 0 ? [{ what: `${before} other tasks of its stage are ready as well` }] : [];
      return reasons.length > 0 ? [...reasons, ...behind] : [{ what: 'its workers are busy with other tasks of its job' }, ...behind];
    }
    case TaskState.running: {
      const assignment = state.assignments.get(columns.serial(index));
      const worker = state.workers[columns.holder(index)]?.name ?? 'a worker';
      const since = assignment
        ? `, handed over ${seconds(nowMs - assignment.sentMs)} ago`
        : ' from before the coordinator changed; it is waited for';
      return [{ what: `attempt ${columns.attempt(index)} is with ${worker}${since}`, try: `shoal workers get ${worker}` }];
    }
    case TaskState.delayed: {
      const dueMs = retryDueMs(state, job, stage, index);
      const when = dueMs === undefined ? 'soon' : `in ${seconds(dueMs - nowMs)}`;
      const error = job.stories.get(storyKey(stage.index, index))?.lastError?.message;
      return [{ what: `attempt ${columns.attempt(index)} starts ${when}${error === undefined ? '' : `; the last one failed: ${error}`}` }];
    }
    case TaskState.done:
      return [
        { what: `attempt ${attemptsOf(stage, index)} gave its result on ${state.workers[columns.holder(index)]?.name ?? 'a worker'}` },
      ];
    case TaskState.dead:
    case TaskState.expired:
      return [
        failureReason(state, job, stage, index),
        { what: 'it can be tried again', try: `shoal dlq replay ${job.id}/${stage.index}/${index}` },
      ];
    default:
      return [{ what: job.reason ?? 'its job has ended without it', try: `shoal explain ${job.id}` }];
  }
}

function whatItNeeds(job: Job, stage: Stage, index: number): Reason[] {
  const reasons: Reason[] = [];
  const nameOf = (at: number): string => job.stages[at]!.spec.definition?.name ?? `stage ${at}`;
  for (const at of stage.links.same) {
    const { columns } = job.stages[at]!;
    const isThere = index < columns.length && columns.state(index) === TaskState.done;
    if (!isThere) reasons.push({ what: `it needs the result of ${nameOf(at)}[${index}]`, try: `shoal explain ${job.id}/${at}/${index}` });
  }
  if (stage.gatesLeft > 0) {
    const gates = [...(stage.spec.after ?? []), ...(stage.spec.args ?? []).filter((arg) => arg.take !== 'same').map((arg) => arg.stage)];
    for (const at of new Set(gates)) {
      const { ended, counts, columns } = job.stages[at]!;
      if (!ended) reasons.push({ what: `it waits for all of ${nameOf(at)}: ${counts[TaskState.done]} of ${columns.length} are done` });
    }
  }
  return reasons.length > 0 ? reasons : [{ what: 'its inputs are not there yet' }];
}

const memoryShareHigh = 0.9;

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

const problemsMax = 20;

function problems(state: State, queues: ClusterView['queues']): Reason[] {
  const found: Reason[] = [];
  if (state.full) found.push({ what: 'the journal has no room left: no new job is taken', try: 'free some space' });
  for (const { queue, paused, ready } of queues) {
    if (paused && ready > 0)
      found.push({ what: `the queue "${queue}" is paused with ${ready} tasks in it`, try: `shoal queues resume ${queue}` });
  }
  for (const { name, status, memory } of state.workers) {
    if (status === 'silent')
      found.push({ what: `worker ${name} has not been heard of since this coordinator began`, try: 'it is given up when its lease ends' });
    if (status === 'live' && memory && memory.bytes >= memoryShareHigh * memory.bytesMax) {
      found.push({
        what: `worker ${name} uses ${Math.round((100 * memory.bytes) / memory.bytesMax)} % of its memory`,
        try: 'give it fewer --threads, or more memory',
      });
    }
  }
  let letters = 0;
  for (const job of state.jobs.values()) {
    for (const { spec, counts } of job.stages) if (spec.onFailure !== 'drop') letters += counts[TaskState.dead]!;
    if (job.outcome !== undefined || found.length >= problemsMax) continue;
    const [why] = whyWaiting(state, job);
    if (why?.try && job.notBeforeMs === 0 && !why.what.includes('is paused'))
      found.push({ ...why, what: `${job.spec.name} (${job.id}) waits: ${why.what}` });
  }
  if (letters > 0) found.push({ what: `${letters} dead ${letters === 1 ? 'letter' : 'letters'}`, try: 'shoal dlq list' });
  return found;
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
