/**
 * The fold: how each fact changes the state. Used live, for a turn's own facts, and for replay after a
 * takeover, so both give the same state. Decides nothing and refuses nothing: a fact is what happened.
 * A fact that can't have happened is a bug or a damaged journal, and throws with the story of its task.
 */

import { addWorker, openJob } from './birth.ts';
import { combinedEntry, isFinal, TaskState } from './columns.ts';
import { addPartial, closeLeftFolds, onRowsArrived, onRowsDone, onRowsUnfulfilled, openTasks, sealStage, settleStage } from './edges.ts';
import type { JobFact, RegistryFact } from './facts.ts';
import { removeWorker } from './gone.ts';
import { historyEntriesMax, unreadKeepMs } from './limits.ts';
import { foldLogsBegun, logStreams } from './logs.ts';
import type { ErrorRecord, Ranges } from './messages.ts';
import { foldReplayed } from './replay.ts';
import { leaveRing } from './rings.ts';
import { freshStream } from './roll.ts';
import { detach, makeReady } from './rows.ts';
import { foldCodeChanged } from './same-job.ts';
import { bundlesOf } from './spec.ts';
import type { Job, Stage, State, Story } from './state.ts';
import { storyKey } from './state.ts';
import { expireLater } from './ttl.ts';
import { foldChange, foldQueueSet } from './versions.ts';
import { leaveWakes, wakeJob } from './wakes.ts';

/** Earlier incarnations of a worker that are told apart from new ones. */
const pastMax = 32;

/** When a fact is folded; live, also when it happened. */
export interface FoldMoment {
  nowMs: number;
  wallMs: number;
}

export function applyRegistryFact(state: State, fact: RegistryFact, at: FoldMoment): void {
  state.registry.facts++;
  switch (fact.fact) {
    case 'term':
      // What its predecessor may have begun to roll into.
      if (state.term > 0 && fact.term > state.term) state.orphans.add(freshStream(state.registry, state.term));
      state.term = Math.max(state.term, fact.term);
      return;
    case 'lease':
    case 'bundle-stored':
    case 'stream-rolled':
      return;
    case 'job-opened':
      openJob(state, fact, at);
      return;
    case 'code-changed':
      foldCodeChanged(state, fact);
      return;
    case 'job-dropped': {
      const job = state.jobs.get(fact.job);
      if (!job) return;
      state.jobs.delete(fact.job);
      leaveRing(state, job);
      leaveWakes(state, job);
      // A new leader meets this before it has read the job's own stream, or never reads it.
      if (job.outcome === undefined) state.openJobs--;
      state.orphans.add(job.stream);
      for (const stream of logStreams(fact.job, fact.logs ?? 0)) state.orphans.add(stream);
      if (job.spec.key !== undefined && state.keys.get(job.spec.key) === job.id) state.keys.delete(job.spec.key);
      if (job.submission !== undefined) state.submissions.delete(job.submission);
      for (const bundle of state.bundles.values()) bundle.jobs.delete(job.id);
      return;
    }
    case 'worker-joined': {
      const worker = state.workersByIndex.get(fact.index) ?? addWorker(state, fact.worker, fact.index);
      if (worker.incarnation !== '') worker.past.add(worker.incarnation);
      for (const incarnation of fact.past ?? []) worker.past.add(incarnation);
      if (worker.past.size > pastMax) for (const oldest of worker.past) if (worker.past.delete(oldest)) break;
      worker.incarnation = fact.incarnation;
      worker.status = 'silent';
      return;
    }
    case 'worker-left': {
      const worker = state.workersByName.get(fact.worker);
      if (!worker || worker.incarnation !== fact.incarnation) return;
      worker.status = 'left';
      worker.why = fact.why;
      worker.openedBefore = state.opened;
      return;
    }
    case 'worker-forgotten':
      removeWorker(state, fact.index);
      return;
    case 'bundle-added': {
      const { hash, name, stream, bytes, wallMs } = fact;
      const jobs = new Set(fact.jobs);
      for (const job of state.jobs.values()) if (bundlesOf(job.spec).has(hash)) jobs.add(job.id);
      state.bundles.set(hash, { hash, name, stream, bytes, addedWallMs: wallMs, jobs });
      return;
    }
    case 'bundle-dropped': {
      const bundle = state.bundles.get(fact.hash);
      state.bundles.delete(fact.hash);
      if (bundle) state.orphans.add(bundle.stream);
      return;
    }
    case 'stream-orphaned':
      state.orphans.add(fact.stream);
      return;
    case 'queue-set':
      foldQueueSet(state, fact);
      return;
  }
}

export function applyJobFact(state: State, job: Job, fact: JobFact, seq: number, at: FoldMoment): void {
  const ageMs = 'wallMs' in fact ? Math.max(0, at.wallMs - fact.wallMs) : 0;
  job.factMs = at.nowMs - ageMs;
  switch (fact.fact) {
    case 'term':
      return;
    case 'stream-sealed':
      job.dropping = true;
      return;
    case 'logs-begun':
      foldLogsBegun(state, job, fact.generation);
      return;
    case 'inputs-added':
      addInputs(state, job, fact, seq);
      return;
    case 'inputs-sealed':
      sealStage(state, job, job.stages[fact.stage]!);
      return;
    case 'tasks-started':
      started(state, job, job.stages[fact.stage]!, fact.ranges, fact.worker);
      return;
    case 'tasks-done':
      tasksDone(state, job, fact, seq);
      return;
    case 'partial-done':
      partialDone(state, job, fact, seq);
      return;
    case 'task-failed':
      taskFailed(state, job, fact, at);
      return;
    case 'task-crashed':
      taskCrashed(state, job, fact);
      return;
    case 'tasks-lost': {
      const stage = job.stages[fact.stage]!;
      forRows(fact.ranges, (index) => {
        detach(state, stage, index);
        stage.columns.setSuspicion(index, stage.columns.suspicion(index) + 1);
        makeReady(state, job, stage, index, 1);
      });
      return;
    }
    case 'task-dead': {
      const stage = job.stages[fact.stage]!;
      storyOf(job, stage, fact.index).code = fact.code;
      // The attempt that its failure opened will not be made.
      if (stage.retried > 0) stage.retried--;
      job.failure ??= { stage: stage.index, index: fact.index };
      toFinal(state, stage, fact.index, TaskState.dead);
      onRowsUnfulfilled(state, job, stage, fact.index, 1);
      return;
    }
    case 'tasks-expired': {
      const stage = job.stages[fact.stage]!;
      forRows(fact.ranges, (index) => {
        storyOf(job, stage, index).code = 'SH2006';
        job.failure ??= { stage: stage.index, index };
        toFinal(state, stage, index, TaskState.expired);
        onRowsUnfulfilled(state, job, stage, index, 1);
      });
      return;
    }
    case 'letters-purged': {
      const stage = job.stages[fact.stage]!;
      forRows(fact.ranges, (index) => {
        const story = storyOf(job, stage, index);
        if (!story.isPurged) stage.purged++;
        story.isPurged = true;
      });
      return;
    }
    case 'tasks-replayed':
      foldReplayed(state, job, job.stages[fact.stage]!, fact.ranges);
      return;
    case 'job-ended':
      jobEnded(state, job, fact, at);
      return;
    case 'job-changed':
      foldChange(job.changes, fact);
      // It comes behind all that the replay brings back.
      if (fact.what === 'replayed' && job.outcome === undefined) closeLeftFolds(state, job);
      return;
  }
}

function forRows(ranges: Ranges, visit: (index: number) => void): void {
  for (let r = 0; r < ranges.length; r += 2) {
    const end = ranges[r]! + ranges[r + 1]!;
    for (let index = ranges[r]!; index < end; index++) visit(index);
  }
}

function addInputs(state: State, job: Job, fact: Extract<JobFact, { fact: 'inputs-added' }>, seq: number): void {
  const stage = job.stages[fact.stage]!;
  const { columns } = stage;
  const count = fact.lengths.length;
  growStage(job, stage, fact.from + count);
  let offset = fact.offset;
  for (let i = 0; i < count; i++) {
    columns.setInput(fact.from + i, seq, offset, fact.lengths[i]!);
    offset += fact.lengths[i]!;
  }
  if (fact.digest !== undefined) stage.digest = fact.digest;
  stage.mark = fact.mark;
  if (!stage.spec.definition) {
    for (let index = fact.from; index < fact.from + count; index++) {
      stage.counts[TaskState.waiting]!--;
      stage.counts[TaskState.done]!++;
      columns.finish(index, 0, seq, columns.inputOffset(index), columns.inputLength(index), 0);
    }
    onRowsDone(state, job, stage, fact.from, count);
    return;
  }
  onRowsArrived(state, job, stage, fact.from, count);
  expireLater(state, job, stage, fact.from, count);
}

/** More tasks, waiting; stages that mirror this one grow with it. */
function growStage(job: Job, stage: Stage, length: number): void {
  const growing = [stage];
  for (const { columns, counts, links } of growing) {
    const more = length - columns.length;
    if (more <= 0) continue;
    columns.grow(length);
    counts[TaskState.waiting]! += more;
    for (const each of links.each) if (job.stages[each]!.spec.feed.kind === 'each') growing.push(job.stages[each]!);
  }
}

function started(state: State, job: Job, stage: Stage, ranges: Ranges, worker: number): void {
  job.started = true;
  forRows(ranges, (index) => {
    if (isFinal(stage.columns.state(index))) return;
    detach(state, stage, index);
    stage.counts[stage.columns.state(index)]!--;
    stage.counts[TaskState.running]!++;
    stage.columns.assign(index, worker, 0);
  });
}

function tasksDone(state: State, job: Job, fact: Extract<JobFact, { fact: 'tasks-done' }>, seq: number): void {
  const stage = job.stages[fact.stage]!;
  const { columns, counts } = stage;
  const { ranges, lengths, durations } = fact;
  let offset = fact.offset;
  let task = 0;
  let frame = 0;
  for (let r = 0; r < ranges.length; r += 2) {
    const from = ranges[r]!;
    const end = from + ranges[r + 1]!;
    for (let index = from; index < end; index++, task++) {
      const before = columns.state(index);
      if (before >= TaskState.done) impossible(job, stage, index, 'done twice');
      if (before === TaskState.running) detach(state, stage, index);
      counts[before]!--;
      if (stage.elements) {
        const elements = fact.counts![task]!;
        let length = 0;
        for (let i = 0; i < elements; i++) length += lengths[frame + i]!;
        columns.finish(index, fact.worker, seq, offset, length, durations[task]!);
        spreadElements(state, job, stage, index, seq, offset, lengths.subarray(frame, frame + elements));
        frame += elements;
        offset += length;
      } else {
        columns.finish(index, fact.worker, seq, offset, lengths[task]!, durations[task]!);
        offset += lengths[task]!;
      }
    }
    counts[TaskState.done]! += end - from;
    onRowsDone(state, job, stage, from, end - from);
  }
  settleStage(state, job, stage);
}

/** One downstream task per element, in order of arrival. */
function spreadElements(state: State, job: Job, stage: Stage, index: number, seq: number, offset: number, lengths: Uint32Array): void {
  for (const at of stage.links.spread) {
    const down = job.stages[at]!;
    const from = down.columns.length;
    growStage(job, down, from + lengths.length);
    let position = offset;
    for (let i = 0; i < lengths.length; i++) {
      down.columns.setInput(from + i, seq, position, lengths[i]!);
      position += lengths[i]!;
    }
    stage.elements!.set(index, [from, lengths.length]);
    onRowsArrived(state, job, down, from, lengths.length);
  }
}

function partialDone(state: State, job: Job, fact: Extract<JobFact, { fact: 'partial-done' }>, seq: number): void {
  const stage = job.stages[fact.stage]!;
  const { columns, counts } = stage;
  let task = 0;
  let lowest = Number.POSITIVE_INFINITY;
  let highest = 0;
  for (let r = 0; r < fact.ranges.length; r += 2) {
    const from = fact.ranges[r]!;
    const end = from + fact.ranges[r + 1]!;
    lowest = Math.min(lowest, from);
    highest = Math.max(highest, end);
    for (let index = from; index < end; index++, task++) {
      const before = columns.state(index);
      if (before >= TaskState.done) impossible(job, stage, index, 'done twice, in a partial');
      if (before === TaskState.running) detach(state, stage, index);
      counts[before]!--;
      columns.finish(index, fact.worker, combinedEntry, 0, 0, fact.durations[task]!);
    }
    counts[TaskState.done]! += end - from;
  }
  addPartial(state, job, job.stages[fact.fold]!, {
    entry: seq,
    offset: fact.offset,
    length: fact.length,
    from: lowest,
    to: highest,
    isEmpty: false,
  });
  settleStage(state, job, stage);
}

function taskFailed(state: State, job: Job, fact: Extract<JobFact, { fact: 'task-failed' }>, at: FoldMoment): void {
  const stage = job.stages[fact.stage]!;
  const story = storyOf(job, stage, fact.index);
  story.failures++;
  story.code = fact.code;
  story.notBeforeWallMs = fact.notBeforeWallMs;
  remember(state, story, fact, fact.code === 'SH2002' ? 'timed out' : 'failed', fact.error);
  stage.columns.setDuration(fact.index, fact.durationUs);
  nextAttempt(state, stage, fact.index, fact.attempt);
  // After a takeover by another machine's clock, or one that was set back: never longer than it was meant to be (K01, K04).
  const delayMs = fact.notBeforeWallMs - Math.max(at.wallMs, fact.wallMs);
  if (delayMs <= 0) {
    makeReady(state, job, stage, fact.index, 1);
    return;
  }
  stage.counts[stage.columns.state(fact.index)]!--;
  stage.counts[TaskState.delayed]!++;
  stage.columns.setState(fact.index, TaskState.delayed);
  wakeJob(state, job, at.nowMs + delayMs, { wake: 'retry', stage: stage.index, index: fact.index, attempt: fact.attempt + 1 });
}

function taskCrashed(state: State, job: Job, fact: Extract<JobFact, { fact: 'task-crashed' }>): void {
  const stage = job.stages[fact.stage]!;
  const story = storyOf(job, stage, fact.index);
  story.crashes++;
  story.code = 'SH2003';
  remember(state, story, fact, fact.how, fact.error);
  nextAttempt(state, stage, fact.index, fact.attempt);
  makeReady(state, job, stage, fact.index, 1);
}

function remember(
  state: State,
  story: Story,
  fact: { attempt: number; wallMs: number; worker: number },
  how: string,
  error: ErrorRecord,
): void {
  story.lastError = error;
  story.history.push({ attempt: fact.attempt, wallMs: fact.wallMs, worker: state.workersByIndex.get(fact.worker)?.name ?? '', how, error });
  if (story.history.length > historyEntriesMax) story.history.splice(1, 1);
}

function nextAttempt(state: State, stage: Stage, index: number, closed: number): void {
  detach(state, stage, index);
  stage.columns.setAttempt(index, closed + 1);
  stage.columns.setStory(index);
  stage.retried++;
}

function storyOf(job: Job, stage: Stage, index: number): Story {
  const key = storyKey(stage.index, index);
  let story = job.stories.get(key);
  if (!story) {
    story = { failures: 0, crashes: 0, code: undefined, lastError: undefined, history: [] };
    job.stories.set(key, story);
    stage.columns.setStory(index);
  }
  return story;
}

/** The row becomes final other than by a result; what waits on it is the caller's to tell. */
function toFinal(state: State, stage: Stage, index: number, final: TaskState): void {
  const before = stage.columns.state(index);
  if (isFinal(before)) return;
  detach(state, stage, index);
  stage.counts[before]!--;
  stage.counts[final]!++;
  stage.columns.setState(index, final);
}

const finalOf = {
  succeeded: TaskState.skipped,
  failed: TaskState.skipped,
  cancelled: TaskState.cancelled,
  expired: TaskState.expired,
} as const;

function jobEnded(state: State, job: Job, fact: Extract<JobFact, { fact: 'job-ended' }>, at: FoldMoment): void {
  if (job.outcome === undefined) state.openJobs--;
  if (job.isResting) state.restingJobs--;
  job.isResting = false;
  job.outcome = fact.outcome;
  job.endedWallMs = fact.wallMs;
  job.reason = fact.reason;
  const final = finalOf[fact.outcome];
  for (const stage of job.stages) {
    if (openTasks(stage) > 0) {
      // Readers are told of what expired, in either order; of what was stopped the job's outcome tells.
      const isTold = final === TaskState.expired && job.spec.output.stage === stage.index;
      for (let index = 0; index < stage.columns.length; index++) {
        if (isTold && !isFinal(stage.columns.state(index))) stage.completion.push(index, 1);
        toFinal(state, stage, index, final);
      }
    }
    stage.ready.clear();
    stage.ended = true;
  }
  const ageMs = Math.max(0, at.wallMs - fact.wallMs);
  job.dropAtMs = at.nowMs + (job.spec.keepMs > 0 ? job.spec.keepMs : unreadKeepMs) - ageMs;
}

function impossible(job: Job, stage: Stage, index: number, what: string): never {
  const story = job.stories.get(storyKey(stage.index, index));
  throw new Error(
    `${job.id}/${stage.index}/${index} ${what}: state ${stage.columns.state(index)}, attempt ${stage.columns.attempt(index)}, ${JSON.stringify(story ?? 'no story')}`,
  );
}
