/** The jobs of a schedule: their shapes, limits and inputs, and what their client does with them. */
import type { JobSpec, StageSpec } from '../src/core/spec.ts';
import { Dice } from './chance.ts';
import type { Faults } from './faults.ts';
import type { Plan } from './plan.ts';
import { elementsOf } from './values.ts';

export interface JobScript {
  spec: JobSpec;
  digest: string;
  submission: string;
  /** The atom of each input. */
  inputs: number[];
  /** Atoms of the output, if all goes well. */
  expected: Set<number>;
  isSpread: boolean;
  /** Its inputs come along with the submission. */
  isSmall: boolean;
  startMs: number;
  reads: boolean;
  cancelAfterMs: number | undefined;
  replays: number;
  deletes: boolean;
  // ---- what its client has noted ----
  id: string | undefined;
  isDone: boolean;
}

type Shape = 'map' | 'fold' | 'each' | 'each fold' | 'spread fold' | 'spread';
const shapes: readonly Shape[] = ['map', 'fold', 'each', 'each fold', 'spread fold', 'spread'];

export function drawJobs(faults: Faults, client: string): JobScript[] {
  return Array.from({ length: faults.plan.jobs }, (_, at) => drawJob(faults, client, at));
}

function drawJob(faults: Faults, client: string, at: number): JobScript {
  const { plan } = faults;
  const keyed = new Dice(plan.seed, `key/${at}`);
  // A key is shared by all clients: then they submit the same job, nearly always.
  const key = keyed.chance(0.3) ? `key-${at}` : undefined;
  const own = new Dice(plan.seed, `job/${client}/${at}`);
  const dice = key === undefined ? own : keyed;
  const shape = dice.pick(shapes);
  const count = dice.below(plan.tasksMax + 1);
  const first = 100 * (1 + at) + (key === undefined ? Number(client.slice(1)) * 1_000 : 0);
  const inputs = Array.from({ length: count }, (_, index) => first + index);
  const isSpread = shape.startsWith('spread');
  const spec = drawSpec(plan, dice, shape, key);
  const isConflicting = key !== undefined && client !== 'c1' && own.chance(0.3);
  return {
    spec,
    digest: isConflicting ? 'another' : 'digest',
    submission: `${client}-${at}`,
    inputs,
    expected: new Set(isSpread ? inputs.flatMap(elementsOf) : inputs),
    isSpread,
    isSmall: key === undefined && own.chance(0.4),
    startMs: own.chance(0.5) ? 0 : own.between(0, plan.stormMs * 0.6),
    reads: own.chance(0.6),
    cancelAfterMs: faults
      .gate('cancel', `${client}-${at}`, 0.4)
      .stroke()
      ?.exponential(plan.stormMs / 2),
    replays: faults.gate('replay', `${client}-${at}`, 1).strikes() ? 2 : 0,
    deletes: own.chance(0.3),
    id: undefined,
    isDone: false,
  };
}

function drawSpec(plan: Plan, dice: Dice, shape: Shape, key: string | undefined): JobSpec {
  const fold = (from: number): StageSpec['feed'] => ({ kind: 'fold', from, fanIn: 2 + dice.below(5), ordered: dice.chance(0.5) });
  const feeds: Record<Shape, () => StageSpec['feed'][]> = {
    map: () => [{ kind: 'inputs' }],
    fold: () => [{ kind: 'inputs' }, fold(0)],
    each: () => [{ kind: 'inputs' }, { kind: 'each', from: 0 }],
    'each fold': () => [{ kind: 'inputs' }, { kind: 'each', from: 0 }, fold(1)],
    'spread fold': () => [{ kind: 'inputs' }, { kind: 'spread', from: 0 }, fold(1)],
    spread: () => [{ kind: 'inputs' }, { kind: 'spread', from: 0 }],
  };
  const stages = feeds[shape]().map((feed) => drawStage(plan, dice, feed));
  const isFold = stages.at(-1)!.feed.kind === 'fold';
  return {
    name: `job-${dice.below(1e9)}`,
    stages,
    output: { stage: stages.length - 1, take: isFold ? 'one' : 'all' },
    priority: dice.below(3) - 1,
    keepMs: dice.chance(0.2) ? 0 : 86_400_000,
    ...(key === undefined ? {} : { key }),
  };
}

function drawStage(plan: Plan, dice: Dice, feed: StageSpec['feed']): StageSpec {
  const failuresMax = dice.chance(0.5) ? { count: dice.chance(0.5) ? 0 : dice.below(5) } : { share: dice.next() };
  return {
    definition: { name: feed.kind },
    feed,
    queue: 'default',
    resources: {},
    retry: {
      retries: dice.below(4),
      backoff: dice.chance(0.5) ? 'exponential' : 'fixed',
      delayMs: dice.pick([0, 50, 500]),
      delayMsMax: 2_000,
      jitter: dice.chance(0.5),
    },
    ...(plan.rates.hangs > 0 || dice.chance(0.3) ? { timeoutMs: 2_000 } : {}),
    crashLimit: dice.pick([0, 1, 3, 3]),
    failuresMax,
    onFailure: dice.chance(0.8) ? 'dead-letter' : 'drop',
  };
}
