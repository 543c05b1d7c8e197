/**
 * The checker's view of a job's graph: what a task needs, whether that is there or never will be, and what goes into it.
 * Derived from the specification of edges, arguments and gates (spec.ts), and from nothing that the product derives.
 */
import type { StageSpec } from '../src/core/spec.ts';
import type { JobModel, TaskModel } from './job-model.ts';

/** The stages whose result of the same index a task takes in. */
export function sameOf({ feed, args = [] }: StageSpec): number[] {
  const same = new Set(args.filter(({ take }) => take === 'same').map(({ stage }) => stage));
  if (feed.kind === 'each') same.add(feed.from);
  return [...same];
}

/** The stages that have to be over before it begins. */
function gatesOf({ args = [], after = [] }: StageSpec): number[] {
  return [...after, ...args.filter(({ take }) => take !== 'same').map(({ stage }) => stage)];
}

/** Only where there are arguments does a task go without a fact because something that it needs is missing. */
export function hasArgs(job: JobModel): boolean {
  return job.spec.stages.some(({ args }) => args !== undefined);
}

/** As many as the stage that feeds it. */
export function lengthOf(job: JobModel, at: number): number {
  const { feed } = job.spec.stages[at]!;
  if (feed.kind === 'each') return lengthOf(job, feed.from);
  return feed.kind === 'fold' ? job.stages[at]!.tasks.length : job.stages[at]!.added;
}

/** What waits for another stage's results is there as soon as those were there to be awaited. */
export function lengthAtEnd(job: JobModel, at: number): number {
  const { tasks, added } = job.stages[at]!;
  return Math.max(tasks.length, job.spec.stages[at]!.feed.kind === 'each' ? lengthOf(job, at) : added);
}

/** Nothing that it needs may be missing for ever. */
export function isLost(job: JobModel, at: number, index: number): boolean {
  const spec = job.spec.stages[at]!;
  const isGone = (stage: number, row: number): boolean => {
    const final = job.stages[stage]!.tasks[row]?.final;
    return final === undefined ? isLost(job, stage, row) : final !== 'done';
  };
  if (sameOf(spec).some((from) => isGone(from, index))) return true;
  return (spec.args ?? []).some(({ take, stage }) => {
    if (take !== 'one' || job.spec.stages[stage]!.feed.kind === 'fold') return false;
    return lengthOf(job, stage) === 0 ? isOver(job, stage) : isGone(stage, 0);
  });
}

function isSettled(job: JobModel, at: number, index: number): boolean {
  return job.stages[at]!.tasks[index]?.final !== undefined || isLost(job, at, index);
}

/** All of its tasks are there, and none is open. */
function isOver(job: JobModel, at: number): boolean {
  const { feed } = job.spec.stages[at]!;
  const { isSealed } = job.stages[at]!;
  const isComplete = feed.kind === 'inputs' ? isSealed : feed.kind === 'each' ? isWhole(job, feed.from) : isOver(job, feed.from);
  if (!isComplete) return false;
  for (let index = lengthOf(job, at) - 1; index >= 0; index--) if (!isSettled(job, at, index)) return false;
  return true;
}

/** No more tasks of it will come. */
function isWhole(job: JobModel, at: number): boolean {
  const { feed } = job.spec.stages[at]!;
  if (feed.kind === 'each') return isWhole(job, feed.from);
  return feed.kind === 'inputs' ? job.stages[at]!.isSealed : isOver(job, feed.from);
}

/** It has all that it needs. */
export function canStart(job: JobModel, at: number, index: number): boolean {
  const spec = job.spec.stages[at]!;
  // After a replay a stage may run again that others have already begun behind.
  if (job.replays === 0 && !gatesOf(spec).every((stage) => isOver(job, stage))) return false;
  if (!sameOf(spec).every((stage) => job.stages[stage]!.tasks[index]?.final === 'done')) return false;
  const { kind } = spec.feed;
  return kind === 'each' || kind === 'fold' || index < job.stages[at]!.added;
}

function atomsOf(task: TaskModel | undefined): readonly number[] {
  return task?.final === 'done' ? task.values.flatMap(({ atoms }) => atoms) : [];
}

/** All that a stage has done; of a fold: all that has gone into it. */
function allAtoms(job: JobModel, at: number): readonly number[] {
  const { feed } = job.spec.stages[at]!;
  const source = feed.kind === 'fold' ? feed.from : at;
  return job.stages[source]!.tasks.flatMap((task, index) => {
    const isCombined = task.final === 'done' && task.values.length === 0 && feed.kind === 'fold';
    return isCombined ? wantedOf(job, source, index) : atomsOf(task);
  });
}

/** The atoms that its task is to be made of, in any order where `args` bring some along. */
export function wantedOf(job: JobModel, at: number, index: number): readonly number[] {
  const { feed, args, template } = job.spec.stages[at]!;
  const own = job.stages[at]!.atoms[index] ?? [];
  if (!args) return own;
  const given = args.flatMap(({ stage, take }) => {
    if (take === 'same') return atomsOf(job.stages[stage]!.tasks[index]);
    if (take === 'one' && job.spec.stages[stage]!.feed.kind !== 'fold') return atomsOf(job.stages[stage]!.tasks[0]);
    return allAtoms(job, stage);
  });
  return feed.kind === 'each' || template !== undefined ? given : own.concat(given);
}
