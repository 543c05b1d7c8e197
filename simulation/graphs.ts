/** Graphs of stages: templates with the results of others in them, stages that wait for others, inputs that are results. */
import type { ArgSpec, Feed, StageSpec } from '../src/core/spec.ts';
import type { Dice } from './chance.ts';

/** `stageOf`: everything of a stage that has nothing to do with its place. */
export function drawGraph(dice: Dice, stageOf: (feed: Feed) => StageSpec): StageSpec[] {
  const stages: StageSpec[] = [];
  for (let count = 2 + dice.below(4); stages.length < count; ) stages.push(next(stages, dice, stageOf));
  return stages;
}

function next(stages: readonly StageSpec[], dice: Dice, stageOf: (feed: Feed) => StageSpec): StageSpec {
  if (stages.length === 0) return dice.chance(0.25) ? withoutTask(stageOf({ kind: 'inputs' })) : stageOf({ kind: 'inputs' });
  const from = dice.below(stages.length);
  const { feed, definition } = stages[from]!;
  const isSpread = stages.some((other) => other.feed.kind === 'spread' && other.feed.from === from);
  const isFolded = stages.some((other) => other.feed.kind === 'fold' && other.feed.from === from);
  const after = dice.chance(0.2) ? { after: [dice.below(stages.length)] } : {};
  const kind = dice.pick(['inputs', 'each', 'each', 'spread', 'fold'] as const);
  if (kind === 'inputs' || feed.kind === 'fold') return { ...stageOf({ kind: 'inputs' }), ...argsOf(stages, dice, []), ...after };
  if (kind === 'spread' && definition && !isFolded) return { ...stageOf({ kind, from }), ...after };
  if (kind === 'fold' && definition && !isSpread) {
    return stageOf({ kind, from, fanIn: 2 + dice.below(4), ordered: dice.chance(0.5) });
  }
  const equals = stages.map((_, at) => at).filter((at) => rootOf(stages, at) === rootOf(stages, from));
  const own = stageOf({ kind: 'each', from });
  return dice.chance(0.6) ? { ...own, ...argsOf(stages, dice, equals), template: 'T', ...after } : { ...own, ...after };
}

/** It does not run anything: its inputs are what it gives. */
function withoutTask({ definition: _, ttlMs: __, ...stage }: StageSpec): StageSpec {
  return stage;
}

/** Stages of one root have as many tasks. */
function rootOf(stages: readonly StageSpec[], at: number): number {
  const { feed } = stages[at]!;
  return feed.kind === 'each' ? rootOf(stages, feed.from) : at;
}

function argsOf(stages: readonly StageSpec[], dice: Dice, equals: readonly number[]): { args?: ArgSpec[] } {
  const args: ArgSpec[] = [];
  if (equals.length > 0) args.push({ stage: dice.pick(equals), take: 'same', path: [] });
  if (dice.chance(0.4)) args.push({ stage: dice.below(stages.length), take: 'one', path: [] });
  if (dice.chance(0.3)) args.push({ stage: dice.below(stages.length), take: 'all', path: [] });
  return args.length > 0 ? { args } : {};
}
