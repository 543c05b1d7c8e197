/**
 * The graph of a job: what becomes ready, sealed and ended when something else is done. All derived from
 * facts while they are folded, never journaled.
 *
 * What follows from what may go through thousands of stages, more than there is room for on the stack: see Walk.
 */
import { isFinal, TaskState } from './columns.ts';
import { advanceFold, closeOrderedGaps, combinedResult, insertPartial } from './foldtree.ts';
import { makeReady } from './rows.ts';
import type { Job, Partial, Stage, State } from './state.ts';
import { expireLater } from './ttl.ts';

/** A function that calls others of its kind by yielding them; `walk` keeps those that have not returned yet. */
type Walk = Generator<Walk, void>;

function walk(first: Walk): void {
  const open = [first];
  while (open.length > 0) {
    const { value, done } = open.at(-1)!.next();
    if (done) open.pop();
    else open.push(value);
  }
}

/** Rows that are new, with their input: they may go if their stage may. */
export function onRowsArrived(state: State, job: Job, stage: Stage, from: number, count: number): void {
  if (stage.gatesLeft > 0) return;
  if (lacksOne(job, stage)) walk(skipping(state, job, stage, from, from + count));
  else makeFirstReady(state, job, stage, from, count);
}

/** Rows [from, from+count) have a result. The caller settles the stage once all of its rows are told. */
export function onRowsDone(state: State, job: Job, stage: Stage, from: number, count: number): void {
  if (job.spec.output.stage === stage.index) stage.completion.push(from, count);
  for (const at of stage.links.each) {
    const down = job.stages[at]!;
    if (down.gatesLeft === 0) release(state, job, down, from, count);
  }
  for (const at of stage.links.folds) {
    const { columns } = stage;
    for (let index = from; index < from + count; index++) {
      addPartial(state, job, job.stages[at]!, {
        entry: columns.resultEntry(index),
        offset: columns.resultOffset(index),
        length: columns.resultLength(index),
        from: index,
        to: index + 1,
        isEmpty: false,
      });
    }
  }
  if (stage.fold) {
    for (let index = from; index < from + count; index++) insertPartial(state, job, stage, combinedResult(stage, index));
  }
}

/** Inputs have waited since they came; all others wait from here on. */
function makeFirstReady(state: State, job: Job, stage: Stage, from: number, count: number): void {
  makeReady(state, job, stage, from, count);
  if (stage.spec.feed.kind !== 'inputs') expireLater(state, job, stage, from, count);
}

/** Rows that will have no result (dead, expired, skipped): neither will what needs it. */
export function onRowsUnfulfilled(state: State, job: Job, stage: Stage, from: number, count: number): void {
  walk(unfulfilling(state, job, stage, from, count));
}

function* unfulfilling(state: State, job: Job, stage: Stage, from: number, count: number): Walk {
  if (job.spec.output.stage === stage.index) stage.completion.push(from, count);
  for (const at of stage.links.each) {
    const down = job.stages[at]!;
    yield skipping(state, job, down, from, from + count);
    if (endsNow(state, job, down)) yield ending(state, job, down);
  }
  if (endsNow(state, job, stage)) yield ending(state, job, stage);
}

/** Those of the rows that still wait. */
function* skipping(state: State, job: Job, stage: Stage, from: number, to: number): Walk {
  const { columns, counts } = stage;
  for (let index = from; index < Math.min(to, columns.length); index++) {
    if (columns.state(index) !== TaskState.waiting) continue;
    counts[TaskState.waiting]!--;
    counts[TaskState.skipped]!++;
    columns.setState(index, TaskState.skipped);
    yield unfulfilling(state, job, stage, index, 1);
  }
}

function skip(state: State, job: Job, stage: Stage, index: number): void {
  walk(skipping(state, job, stage, index, index + 1));
}

export function addPartial(state: State, job: Job, fold: Stage, partial: Partial): void {
  insertPartial(state, job, fold, partial);
}

/** Waiting rows whose results of the same index are all there. */
function readyWhereComplete(state: State, job: Job, stage: Stage, from: number, count: number): void {
  const { columns } = stage;
  const { same } = stage.links;
  const end = Math.min(from + count, columns.length);
  let run = -1;
  for (let index = from; index < end; index++) {
    let complete = columns.state(index) === TaskState.waiting;
    for (let s = 0; complete && s < same.length; s++) complete = job.stages[same[s]!]!.columns.state(index) === TaskState.done;
    if (complete && run < 0) run = index;
    if (!complete && run >= 0) {
      makeFirstReady(state, job, stage, run, index - run);
      run = -1;
    }
  }
  if (run >= 0) makeFirstReady(state, job, stage, run, end - run);
}

/** Waiting rows one of whose results of the same index will never be there. */
function skipWhereLost(state: State, job: Job, stage: Stage): void {
  const { columns } = stage;
  if (stage.links.same.length === 0) return;
  const isLost = (at: number, index: number): boolean => {
    const taskState = job.stages[at]!.columns.state(index);
    return isFinal(taskState) && taskState !== TaskState.done;
  };
  for (let index = 0; index < columns.length; index++) {
    if (columns.state(index) === TaskState.waiting && stage.links.same.some((at) => isLost(at, index))) skip(state, job, stage, index);
  }
}

/** No more tasks will come; stages that mirror it know as well. */
export function sealStage(state: State, job: Job, stage: Stage): void {
  walk(sealing(state, job, stage));
}

function* sealing(state: State, job: Job, stage: Stage): Walk {
  stage.sealed = true;
  for (const at of stage.links.each) {
    const down = job.stages[at]!;
    const { feed } = down.spec;
    if (feed.kind === 'each' && feed.from === stage.index) yield sealing(state, job, down);
  }
  if (endsNow(state, job, stage)) yield ending(state, job, stage);
}

/** Has the stage ended by what just happened? Then others may begin. */
export function settleStage(state: State, job: Job, stage: Stage): void {
  if (endsNow(state, job, stage)) walk(ending(state, job, stage));
}

function endsNow(state: State, job: Job, stage: Stage): boolean {
  if (stage.ended) return false;
  const { feed } = stage.spec;
  if (feed.kind === 'fold') {
    const upstream = job.stages[feed.from]!;
    if (!upstream.ended) return false;
    advanceFold(state, job, stage, upstream);
    if (!stage.fold!.result) return false;
    stage.sealed = true;
  } else if (!stage.sealed || openTasks(stage) > 0 || hasTooManyFailures(stage)) {
    // With too many failures it is the job that ends; a fold must not close over what a replay may bring back.
    return false;
  }
  stage.ended = true;
  return true;
}

function* ending(state: State, job: Job, stage: Stage): Walk {
  for (const at of stage.links.gates) {
    const down = job.stages[at]!;
    if (--down.gatesLeft === 0) yield passing(state, job, down);
  }
  for (const at of stage.links.spread) yield sealing(state, job, job.stages[at]!);
  for (const at of stage.links.folds) {
    const fold = job.stages[at]!;
    fold.fold!.isClosed = true;
    closeOrderedGaps(state, job, fold, stage);
    if (endsNow(state, job, fold)) yield ending(state, job, fold);
  }
}

/**
 * After a replay, once it is known what comes back: a stage that its job's end had ended, and of which nothing does, ends no
 * more, so its fold is closed here. One that has too many failures ends the job again, and a later replay may bring them back.
 */
export function closeLeftFolds(state: State, job: Job): void {
  for (const stage of job.stages) {
    const { feed } = stage.spec;
    if (feed.kind !== 'fold' || stage.fold!.isClosed) continue;
    const upstream = job.stages[feed.from]!;
    if (!upstream.ended || hasTooManyFailures(upstream)) continue;
    stage.fold!.isClosed = true;
    closeOrderedGaps(state, job, stage, upstream);
    settleStage(state, job, stage);
  }
}

/** All that the stage waited for has ended. */
function* passing(state: State, job: Job, stage: Stage): Walk {
  const { length } = stage.columns;
  if (lacksOne(job, stage)) yield skipping(state, job, stage, 0, length);
  else readyWhereComplete(state, job, stage, 0, length);
  if (endsNow(state, job, stage)) yield ending(state, job, stage);
}

/** The stage's gates are open: waiting rows go where they have all they need; without the one value that all need none ever will. */
function release(state: State, job: Job, stage: Stage, from: number, count: number): void {
  if (lacksOne(job, stage)) walk(skipping(state, job, stage, from, from + count));
  else readyWhereComplete(state, job, stage, from, count);
}

function lacksOne(job: Job, stage: Stage): boolean {
  return (stage.spec.args ?? []).some((arg) => arg.take === 'one' && !hasOne(job.stages[arg.stage]!));
}

function hasOne(stage: Stage): boolean {
  if (stage.fold) return stage.fold.result !== undefined;
  return stage.columns.length > 0 && stage.columns.state(0) === TaskState.done;
}

export function openTasks({ counts }: Stage): number {
  return counts[TaskState.waiting]! + counts[TaskState.ready]! + counts[TaskState.running]! + counts[TaskState.delayed]!;
}

/** More dead and expired tasks than the stage tolerates; a share is known once all tasks are there. A fold can't do without any of its own. */
export function hasTooManyFailures(stage: Stage): boolean {
  const failures = stage.counts[TaskState.dead]! + stage.counts[TaskState.expired]!;
  if (failures === 0) return false;
  const { failuresMax } = stage.spec;
  if (stage.fold) return true;
  if ('count' in failuresMax) return failures > failuresMax.count;
  return stage.sealed && failures > failuresMax.share * stage.columns.length;
}

/** After a replay: gates are counted anew from which stages have ended, and waiting rows go on where they can. */
export function openGates(state: State, job: Job): void {
  for (const stage of job.stages) stage.gatesLeft = 0;
  for (const { ended, links } of job.stages) if (!ended) for (const at of links.gates) job.stages[at]!.gatesLeft++;
  for (const stage of job.stages) {
    if (stage.ended) continue;
    skipWhereLost(state, job, stage);
    if (stage.gatesLeft > 0) continue;
    if (stage.fold) {
      for (let index = 0; index < stage.columns.length; index++) {
        if (stage.columns.state(index) === TaskState.waiting) makeReady(state, job, stage, index, 1);
      }
    } else {
      release(state, job, stage, 0, stage.columns.length);
    }
  }
}
