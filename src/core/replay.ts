/**
 * Replay: what failed, and what was stopped or skipped because of it, lives again with a new budget. Deciding which
 * rows come back is one half, folding `tasks-replayed` the other. Stages are replayed in their order, so that no row
 * comes back before those that it needs.
 */
import { isFinal, TaskState } from './columns.ts';
import { openGates, openTasks } from './edges.ts';
import { isPurged } from './letters.ts';
import { attemptsMax } from './limits.ts';
import type { Ranges } from './messages.ts';
import { indicesOf, RangeList } from './ranges.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';
import type { Turn } from './turn.ts';

export interface ReplayFilter {
  stage?: number;
  index?: number;
  expectedAttempt?: number;
}

/** Returns how many tasks were put back; a compare-and-set on the expected attempt where one is given (A07). */
export function replay(state: State, job: Job, filter: ReplayFilter, turn: Turn): number {
  const back = new Map<Stage, Set<number>>();
  let count = 0;
  let isWanted = false;
  for (const stage of job.stages) {
    const rows = new Set<number>();
    back.set(stage, rows);
    if (!canTakeBack(job, stage)) continue;
    const finals = stage.columns.length - openTasks(stage);
    if (finals === stage.counts[TaskState.done]) continue;
    for (let index = 0; index < stage.columns.length; index++) {
      const taskState = stage.columns.state(index);
      if (!isFinal(taskState) || taskState === TaskState.done || stage.columns.attempt(index) >= attemptsMax) continue;
      const isMeant = matches(stage, index, filter) && !isPurged(job, stage, index);
      // What was stopped comes back whatever was asked for: without it the job would end as if nothing were missing.
      const isStopped = taskState === TaskState.skipped || taskState === TaskState.cancelled;
      if (isStopped ? !hasAllItNeeds(job, stage, index, back) : !isMeant) continue;
      isWanted ||= isMeant;
      rows.add(index);
    }
    count += rows.size;
  }
  const isWhole = filter.stage === undefined && filter.index === undefined;
  if (isWanted) {
    for (const [stage, rows] of back) if (rows.size > 0) tell(state, job, stage, rows, turn);
    return count;
  }
  // Stopped while it waited for inputs: it goes on waiting.
  const mayGoOn = isWhole && job.outcome !== undefined && job.outcome !== 'succeeded';
  const fed = mayGoOn ? job.stages.find((stage) => stage.spec.feed.kind === 'inputs' && !stage.sealed) : undefined;
  if (fed) tell(state, job, fed, new Set(), turn);
  return 0;
}

function tell(state: State, job: Job, stage: Stage, rows: Set<number>, turn: Turn): void {
  const list = new RangeList();
  for (const index of rows) list.add(index);
  turn.jobFact(state, job, { fact: 'tasks-replayed', stage: stage.index, ranges: list.take() });
}

function matches(stage: Stage, index: number, filter: ReplayFilter): boolean {
  if (filter.stage !== undefined && filter.stage !== stage.index) return false;
  if (filter.index !== undefined && filter.index !== index) return false;
  return filter.expectedAttempt === undefined || filter.expectedAttempt === stage.columns.attempt(index);
}

/** A fold that has closed its gaps has no place left for what comes later, be it by way of elements. */
function canTakeBack(job: Job, stage: Stage): boolean {
  const fed = [stage];
  for (const { links } of fed) {
    if (links.folds.some((at) => job.stages[at]!.fold!.isClosed)) return false;
    for (const at of links.spread) fed.push(job.stages[at]!);
  }
  return true;
}

/** Whatever a skipped row takes in is there, may still come, or comes back with it. */
function hasAllItNeeds(job: Job, stage: Stage, index: number, back: ReadonlyMap<Stage, Set<number>>): boolean {
  const comes = (source: Stage, row: number): boolean => {
    if (source.fold) return true;
    if (row >= source.columns.length) return mayGrow(job, source, back);
    const taskState = source.columns.state(row);
    return !isFinal(taskState) || taskState === TaskState.done || back.get(source)?.has(row) === true;
  };
  for (const at of stage.links.same) if (!comes(job.stages[at]!, index)) return false;
  return (stage.spec.args ?? []).every((arg) => arg.take !== 'one' || comes(job.stages[arg.stage]!, 0));
}

function mayGrow(job: Job, stage: Stage, back: ReadonlyMap<Stage, Set<number>>): boolean {
  let { feed } = stage.spec;
  let head = stage;
  // Chains are long: see Walk in edges.ts.
  while (feed.kind === 'each') {
    head = job.stages[feed.from]!;
    feed = head.spec.feed;
  }
  return !head.sealed || (feed.kind === 'spread' && back.get(job.stages[feed.from]!)!.size > 0);
}

export function foldReplayed(state: State, job: Job, stage: Stage, ranges: Ranges): void {
  if (job.outcome !== undefined) {
    state.openJobs++;
    // A person wants it after all: the end that was planned for its first life is not the end of this one.
    job.hasDeadline = false;
  }
  job.outcome = undefined;
  job.endedWallMs = undefined;
  job.reason = undefined;
  forgetCompletion(job, stage, ranges);
  if (job.spec.output.stage === stage.index) for (const { behind, next } of job.readers) behind.mergeBelow(next, ranges);
  for (const index of indicesOf(ranges)) {
    const before = stage.columns.state(index);
    stage.counts[before]!--;
    stage.counts[TaskState.waiting]!++;
    stage.columns.setState(index, TaskState.waiting);
    stage.columns.setSuspicion(index, 0);
    // A dead task's attempt is closed already; any other may still run somewhere under its old number.
    if (before !== TaskState.dead) stage.columns.setAttempt(index, stage.columns.attempt(index) + 1);
    const story = job.stories.get(storyKey(stage.index, index));
    if (!story) continue;
    story.failures = 0;
    story.crashes = 0;
    story.code = undefined;
  }
  for (const other of job.stages) reopen(job, other);
  job.failure = firstFailure(job);
  openGates(state, job);
}

/** What a stage is once rows of it, or of those before it, live again: upstream ones are seen to first. */
function reopen(job: Job, stage: Stage): void {
  const { feed } = stage.spec;
  if (feed.kind === 'each') stage.sealed = job.stages[feed.from]!.sealed;
  // Its source may have nothing to do any more, and never tell.
  if (feed.kind === 'spread') stage.sealed = job.stages[feed.from]!.ended;
  if (feed.kind === 'fold') stage.sealed = stage.fold!.result !== undefined;
  if (!stage.sealed || openTasks(stage) > 0) stage.ended = false;
}

function firstFailure(job: Job): Job['failure'] {
  for (const { columns, counts, index: stage } of job.stages) {
    if (counts[TaskState.dead]! + counts[TaskState.expired]! === 0) continue;
    for (let index = 0; index < columns.length; index++) {
      if (columns.state(index) === TaskState.dead || columns.state(index) === TaskState.expired) return { stage, index };
    }
  }
  return undefined;
}

/** What comes back is not complete any more: it is told again at its new end, and readers stay where they are. */
function forgetCompletion(job: Job, stage: Stage, ranges: Ranges): void {
  if (job.spec.output.stage !== stage.index || stage.completion.length === 0 || ranges.length === 0) return;
  const gone = new Set(indicesOf(ranges));
  const passed = new Map([...job.readers].map((reader) => [reader, 0]));
  const kept = new RangeList();
  for (let pair = 0; pair < stage.completion.length; pair += 2) {
    const from = stage.completion[pair]!;
    for (let within = 0; within < stage.completion[pair + 1]!; within++) {
      if (gone.has(from + within)) continue;
      kept.add(from + within);
      for (const reader of job.readers) {
        if (pair < reader.pair || (pair === reader.pair && within < reader.within)) passed.set(reader, passed.get(reader)! + 1);
      }
    }
  }
  stage.completion = [...kept.take()];
  for (const [reader, count] of passed) {
    reader.pair = 0;
    reader.within = count;
    while (reader.pair < stage.completion.length && reader.within >= stage.completion[reader.pair + 1]!) {
      reader.within -= stage.completion[reader.pair + 1]!;
      reader.pair += 2;
    }
  }
}
