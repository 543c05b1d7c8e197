/**
 * The tree of a fold: partials meet `fanIn` at a time in combine tasks until one is left. Which ones meet
 * follows from the order of facts alone, so a new leader builds the same tree.
 *
 * Unordered: in order of arrival. Ordered: only neighbours; a stretch of tasks without a result is an empty
 * partial, which its neighbour swallows, and is known only once the stage before has ended.
 */
import { TaskState } from './columns.ts';
import { makeReady } from './rows.ts';
import type { FoldState, Job, Partial, Stage, State, Taken } from './state.ts';
import { expireLater } from './ttl.ts';

export function newFold(): FoldState {
  return { free: [], byFrom: new Map(), byTo: new Map(), takes: new Map(), result: undefined, isClosed: false };
}

function spec(stage: Stage): { from: number; fanIn: number; ordered: boolean } {
  if (stage.spec.feed.kind !== 'fold') throw new Error(`stage ${stage.index} is no fold`);
  return stage.spec.feed;
}

/** A partial arrives: combine tasks appear where enough of them can meet. */
export function insertPartial(state: State, job: Job, stage: Stage, partial: Partial): void {
  const { fanIn, ordered } = spec(stage);
  const fold = stage.fold!;
  if (!ordered) {
    fold.free.push(partial);
    if (fold.free.length >= fanIn) combine(state, job, stage, { parts: fold.free.splice(0, fanIn), from: 0, to: 0 });
    return;
  }
  const merged = swallowEmpty(fold, partial);
  link(fold, merged);
  if (merged.isEmpty) return;
  const run = runAround(fold, merged, fanIn);
  if (run.length >= fanIn) combineRun(state, job, stage, run.slice(0, fanIn));
}

/** The stage before has ended: what is missing is missing. */
export function closeOrderedGaps(state: State, job: Job, stage: Stage, upstream: Stage): void {
  if (!spec(stage).ordered) return;
  const { columns } = upstream;
  let from = 0;
  while (from < columns.length) {
    if (columns.state(from) === TaskState.done) {
      from++;
      continue;
    }
    let to = from + 1;
    while (to < columns.length && columns.state(to) !== TaskState.done) to++;
    insertPartial(state, job, stage, { entry: 0, offset: 0, length: 0, from, to, isEmpty: true });
    from = to;
  }
}

/** Once the stage before has ended and no combine task is open: the result, or the next meeting of what is left. */
export function advanceFold(state: State, job: Job, stage: Stage, upstream: Stage): void {
  const { fanIn, ordered } = spec(stage);
  const fold = stage.fold!;
  if (fold.result || stage.counts[TaskState.done]! < stage.columns.length) return;
  if (!ordered) {
    if (fold.free.length === 1) fold.result = fold.free[0];
    else combine(state, job, stage, { parts: fold.free.splice(0, fanIn), from: 0, to: 0 });
    return;
  }
  const first = fold.byFrom.get(0);
  const run = first ? runAround(fold, first, Number.POSITIVE_INFINITY).filter((partial) => !partial.isEmpty) : [];
  if (run.length === 1) fold.result = run[0];
  else if (run.length > 1) combineRun(state, job, stage, run.slice(0, fanIn));
  else {
    if (first) unlink(fold, first);
    // At least one wide: an empty stretch would be its own neighbour.
    combine(state, job, stage, { parts: [], from: 0, to: Math.max(1, upstream.columns.length) });
  }
}

/** The result of combine task `index` as a partial of its own. */
export function combinedResult(stage: Stage, index: number): Partial {
  const fold = stage.fold!;
  const { from, to } = fold.takes.get(index)!;
  fold.takes.delete(index);
  const { columns } = stage;
  return {
    entry: columns.resultEntry(index),
    offset: columns.resultOffset(index),
    length: columns.resultLength(index),
    from,
    to,
    isEmpty: false,
  };
}

function combine(state: State, job: Job, stage: Stage, taken: Taken): void {
  const index = stage.columns.length;
  stage.columns.grow(index + 1);
  stage.counts[TaskState.waiting]!++;
  stage.fold!.takes.set(index, taken);
  makeReady(state, job, stage, index, 1);
  expireLater(state, job, stage, index, 1);
}

function combineRun(state: State, job: Job, stage: Stage, run: Partial[]): void {
  for (const partial of run) unlink(stage.fold!, partial);
  combine(state, job, stage, { parts: run, from: run[0]!.from, to: run.at(-1)!.to });
}

function link(fold: FoldState, partial: Partial): void {
  fold.byFrom.set(partial.from, partial);
  fold.byTo.set(partial.to, partial);
}

function unlink(fold: FoldState, partial: Partial): void {
  fold.byFrom.delete(partial.from);
  fold.byTo.delete(partial.to);
}

/** Joins with empty neighbours, or, being empty, with any neighbour; so an empty one never has a neighbour. */
function swallowEmpty(fold: FoldState, partial: Partial): Partial {
  let merged = partial;
  for (const neighbour of [fold.byTo.get(partial.from), fold.byFrom.get(partial.to)]) {
    if (!neighbour || !(neighbour.isEmpty || merged.isEmpty)) continue;
    unlink(fold, neighbour);
    const full = merged.isEmpty ? neighbour : merged;
    merged = { ...full, from: Math.min(merged.from, neighbour.from), to: Math.max(merged.to, neighbour.to) };
  }
  return merged;
}

/** Neighbours without a gap around `partial`, in order; stops to look further once `enough` are found. */
function runAround(fold: FoldState, partial: Partial, enough: number): Partial[] {
  const before: Partial[] = [];
  for (let p = fold.byTo.get(partial.from); p && before.length < enough; p = fold.byTo.get(p.from)) before.push(p);
  const run = [...before.reverse(), partial];
  for (let p = fold.byFrom.get(partial.to); p && run.length < enough; p = fold.byFrom.get(p.to)) run.push(p);
  return run;
}
