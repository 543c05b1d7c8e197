/** The message that hands out an assignment: which bytes each task's input is made of, as slices of the job's stream. */
import { TaskState } from './columns.ts';
import type { ArgShape, AssignMessage, InputShape } from './messages.ts';
import { indicesOf } from './ranges.ts';
import type { DefinitionRef } from './spec.ts';
import type { Assignment, Job, Stage } from './state.ts';
import { storyKey } from './state.ts';
import type { Effect } from './turn.ts';
import { SliceList } from './turn.ts';

/** Frames of one stage's results by index; a result that was cut is many. */
function addResult(job: Job, stage: Stage, index: number, slices: SliceList, lengths: number[]): number {
  const { columns, elements, fold } = stage;
  if (fold) {
    const result = fold.result!;
    slices.add(result.entry, result.offset, result.length);
    lengths.push(result.length);
    return 1;
  }
  slices.add(columns.resultEntry(index), columns.resultOffset(index), columns.resultLength(index));
  if (!elements) {
    lengths.push(columns.resultLength(index));
    return 1;
  }
  const [from, count] = elements.get(index)!;
  const down = job.stages[stage.links.spread[0]!]!;
  for (let i = from; i < from + count; i++) lengths.push(down.columns.inputLength(i));
  return count;
}

/** Bytes that a task adds to its assignment; what all of its tasks share goes along once and is not counted. */
export function inputBytes(job: Job, stage: Stage, index: number): number {
  const { columns, fold } = stage;
  if (fold) return fold.takes.get(index)!.parts.reduce((bytes, part) => bytes + part.length, 0);
  let bytes = columns.inputLength(index);
  for (const at of stage.links.same) bytes += job.stages[at]!.columns.resultLength(index);
  return bytes;
}

/** Whose codec wrote this stage's results: undefined for a graph's own input values (the default codec). */
function codecOf(stage: Stage): DefinitionRef | undefined {
  return stage.spec.definition;
}

/** Frames in the order that `InputShape` promises. */
class Frames {
  readonly slices = new SliceList();
  readonly lengths: number[] = [];
  readonly sharedLengths: number[] = [];
  counts: number[] | undefined;
  input: InputShape = { kind: 'value' };
}

function framesOf(assignment: Assignment): Frames {
  const { stage, job } = assignment;
  const { spec } = stage;
  if (spec.feed.kind === 'fold') return foldFrames(assignment, spec.feed.from);
  if (spec.args) return templateFrames(assignment);
  const frames = new Frames();
  if (spec.feed.kind === 'each') {
    const upstream = job.stages[spec.feed.from]!;
    const codec = codecOf(upstream);
    frames.input = { kind: upstream.elements ? 'list' : 'value', ...(codec ? { codecOf: codec } : {}) };
    if (upstream.elements) frames.counts = [];
    for (const index of indicesOf(assignment.ranges)) {
      const count = addResult(job, upstream, index, frames.slices, frames.lengths);
      frames.counts?.push(count);
    }
    return frames;
  }
  const codec = spec.feed.kind === 'spread' ? codecOf(job.stages[spec.feed.from]!) : undefined;
  frames.input = { kind: 'value', ...(codec ? { codecOf: codec } : {}) };
  const { columns } = stage;
  for (const index of indicesOf(assignment.ranges)) {
    frames.slices.add(columns.inputEntry(index), columns.inputOffset(index), columns.inputLength(index));
    frames.lengths.push(columns.inputLength(index));
  }
  return frames;
}

function foldFrames(assignment: Assignment, from: number): Frames {
  const frames = new Frames();
  const { stage, job } = assignment;
  const codec = codecOf(job.stages[from]!);
  frames.input = { kind: 'list', ...(codec ? { codecOf: codec } : {}) };
  frames.counts = [];
  for (const index of indicesOf(assignment.ranges)) {
    const { parts } = stage.fold!.takes.get(index)!;
    frames.counts.push(parts.length);
    for (const part of parts) {
      frames.slices.add(part.entry, part.offset, part.length);
      frames.lengths.push(part.length);
    }
  }
  return frames;
}

function templateFrames(assignment: Assignment): Frames {
  const frames = new Frames();
  const { stage, job } = assignment;
  const { columns, spec } = stage;
  const args = spec.args!;
  const shapes: ArgShape[] = args.map((arg) => {
    const codec = codecOf(job.stages[arg.stage]!);
    const isList = arg.take !== 'all' && job.stages[arg.stage]!.elements !== undefined;
    return { take: arg.take, path: arg.path, frames: 0, ...(isList ? { list: true } : {}), ...(codec ? { codecOf: codec } : {}) };
  });
  const isCut = shapes.some((shape) => shape.take === 'same' && shape.list);
  if (isCut) frames.counts = [];
  for (const index of indicesOf(assignment.ranges)) {
    if (spec.template === undefined) {
      frames.slices.add(columns.inputEntry(index), columns.inputOffset(index), columns.inputLength(index));
      frames.lengths.push(columns.inputLength(index));
    }
    for (const arg of args) {
      if (arg.take !== 'same') continue;
      const count = addResult(job, job.stages[arg.stage]!, index, frames.slices, frames.lengths);
      frames.counts?.push(count);
    }
  }
  args.forEach((arg, at) => {
    if (arg.take === 'same') return;
    const source = job.stages[arg.stage]!;
    const count = source.fold || arg.take === 'one' ? Math.min(1, source.fold ? 1 : source.columns.length) : source.columns.length;
    for (let index = 0; index < count; index++) {
      if (!source.fold && source.columns.state(index) !== TaskState.done) continue;
      shapes[at]!.frames += addResult(job, source, index, frames.slices, frames.sharedLengths);
    }
  });
  frames.input = { kind: 'template', args: shapes, ...(spec.template === undefined ? {} : { template: spec.template }) };
  return frames;
}

export function buildAssign(assignment: Assignment): Effect {
  const { stage, job, worker } = assignment;
  const { spec } = stage;
  const frames = framesOf(assignment);
  const foldAt = combinesInto(job, stage);
  const fold = foldAt === undefined ? undefined : job.stages[foldAt]!;
  const message: Omit<AssignMessage, 'body'> = {
    kind: 'assign',
    term: assignment.term,
    serial: assignment.serial,
    job: job.id,
    jobName: job.spec.name,
    stage: stage.index,
    definition: spec.definition!,
    attempt: assignment.attempt,
    attemptsMax: assignment.attempt + retriesLeft(job, stage, assignment.ranges[0]!),
    alone: assignment.alone,
    ...(spec.timeoutMs === undefined ? {} : { timeoutMs: spec.timeoutMs }),
    ...(spec.concurrency === undefined ? {} : { concurrency: spec.concurrency }),
    input: frames.input,
    ...(stage.elements ? { spread: true } : {}),
    ...(fold ? { combine: { definition: fold.spec.definition!, ordered: fold.spec.feed.kind === 'fold' && fold.spec.feed.ordered } } : {}),
    ranges: assignment.ranges,
    lengths: Uint32Array.from(frames.lengths),
    ...(frames.counts ? { counts: Uint32Array.from(frames.counts) } : {}),
    ...(frames.sharedLengths.length > 0 ? { sharedLengths: Uint32Array.from(frames.sharedLengths) } : {}),
  };
  return { effect: 'assign', address: worker.address, stream: job.stream, message, slices: frames.slices.slices };
}

/** The fold that a stage's results feed, if nothing else needs them one by one: then workers combine before they report. */
export function combinesInto(job: Job, stage: Stage): number | undefined {
  const { links } = stage;
  const isOnlyFolded =
    links.folds.length === 1 && links.each.length === 0 && links.spread.length === 0 && job.spec.output.stage !== stage.index;
  if (!isOnlyFolded || stage.fold) return undefined;
  const isArg = job.stages.some((other) => (other.spec.args ?? []).some((arg) => arg.stage === stage.index));
  return isArg ? undefined : links.folds[0];
}

/** Of a task's budget, which a replay renews. */
export function retriesLeft(job: Job, stage: Stage, index: number): number {
  const { retries } = stage.spec.retry;
  if (stage.columns.attempt(index) === 1) return retries;
  const failures = stage.columns.hasStory(index) ? (job.stories.get(storyKey(stage.index, index))?.failures ?? 0) : 0;
  return Math.max(0, retries - failures);
}
