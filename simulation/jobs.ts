/** The jobs of a schedule: their shapes, limits and inputs, and what their client does with them. */
import type { JobSpec, StageSpec } from '../src/core/spec.ts';
import { Dice } from './chance.ts';
import type { Faults } from './faults.ts';
import { drawGraph } from './graphs.ts';
import type { Plan } from './plan.ts';
import { elementsOf } from './values.ts';
import { wallStartMs } from './world.ts';

export interface JobScript {
  spec: JobSpec;
  digest: string;
  submission: string;
  /** The atom of each input, by stage. */
  inputs: Map<number, number[]>;
  /** Atoms of the output, if all goes well; undefined for graphs, whose tasks the watch judges one by one. */
  expected: Set<number> | undefined;
  isSpread: boolean;
  /** Its inputs come along with the submission. */
  isSmall: boolean;
  startMs: number;
  reads: boolean;
  cancelAfterMs: number | undefined;
  replays: number;
  deletes: boolean;
  purges: boolean;
  /** Two operators look at it then, and both do something. */
  competesAfterMs: number | undefined;
  /** It is replayed while somebody else purges. */
  competesInReplay: boolean;
  // ---- what its client has noted ----
  id: string | undefined;
  isDone: boolean;
}

type Shape = 'map' | 'fold' | 'each' | 'each fold' | 'spread fold' | 'spread' | 'graph';
const shapes: readonly Exclude<Shape, 'graph'>[] = ['map', 'fold', 'each', 'each fold', 'spread fold', 'spread'];

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
  const simple = dice.pick(shapes);
  const shape = faults.gate('graphs', key ?? `${client}-${at}`, 0.5).strikes() ? 'graph' : simple;
  const count = Math.min(dice.below(plan.tasksMax + 1), plan.tasksKept);
  const first = 100 * (1 + at) + (key === undefined ? Number(client.slice(1)) * 1_000 : 0);
  const inputs = Array.from({ length: count }, (_, index) => first + index);
  const isSpread = shape.startsWith('spread');
  const spec = drawSpec(faults, dice, shape, key ?? `${client}-${at}`, key);
  // Who comes later with a key may bring the code of a later day.
  const later = key === undefined ? undefined : faults.gate('programs', `${client}-${at} under ${key}`, 0.5).stroke();
  const hasProgram = later !== undefined && spec.stages.some(({ definition }) => definition?.bundle !== undefined);
  if (hasProgram) runAll(spec, programHash(later));
  const byStage = new Map([[0, inputs]]);
  spec.stages.forEach(({ feed }, stage) => {
    if (stage > 0 && feed.kind === 'inputs')
      byStage.set(
        stage,
        Array.from({ length: Math.min(dice.below(4), plan.tasksKept) }, (_, index) => first + 50 + 10 * stage + index),
      );
  });
  const isConflicting = key !== undefined && client !== 'c1' && own.chance(0.3);
  return {
    spec,
    digest: isConflicting ? 'another' : 'digest',
    submission: `${client}-${at}`,
    inputs: byStage,
    expected: shape === 'graph' ? undefined : new Set(isSpread ? inputs.flatMap(elementsOf) : inputs),
    isSpread,
    isSmall: key === undefined && byStage.size === 1 && own.chance(0.4),
    startMs: own.chance(0.5) ? 0 : own.between(0, plan.stormMs * 0.6),
    reads: own.chance(0.6),
    cancelAfterMs: faults
      .gate('cancel', `${client}-${at}`, 0.4)
      .stroke()
      ?.exponential(plan.stormMs / 2),
    replays: faults.gate('replay', `${client}-${at}`, 1).strikes() ? 2 : 0,
    deletes: own.chance(0.3),
    purges: faults.gate('purge', `${client}-${at}`, 0.7).strikes(),
    competesAfterMs: faults
      .gate('compete', `${client}-${at}`, 0.5)
      .stroke()
      ?.exponential(plan.stormMs / 2),
    competesInReplay: faults.gate('compete', `replay of ${client}-${at}`, 0.5).strikes(),
    id: undefined,
    isDone: false,
  };
}

function drawSpec(faults: Faults, dice: Dice, shape: Shape, where: string, key: string | undefined): JobSpec {
  const { plan } = faults;
  const fold = (from: number): StageSpec['feed'] => ({ kind: 'fold', from, fanIn: 2 + dice.below(5), ordered: dice.chance(0.5) });
  const feeds: Record<Exclude<Shape, 'graph'>, () => StageSpec['feed'][]> = {
    map: () => [{ kind: 'inputs' }],
    fold: () => [{ kind: 'inputs' }, fold(0)],
    each: () => [{ kind: 'inputs' }, { kind: 'each', from: 0 }],
    'each fold': () => [{ kind: 'inputs' }, { kind: 'each', from: 0 }, fold(1)],
    'spread fold': () => [{ kind: 'inputs' }, { kind: 'spread', from: 0 }, fold(1)],
    spread: () => [{ kind: 'inputs' }, { kind: 'spread', from: 0 }],
  };
  const hash = faults.gate('programs', where, 0.5).strikes() ? programHash(dice) : undefined;
  const stageOf = (feed: StageSpec['feed']): StageSpec => drawStage(faults, dice, feed, where, hash);
  const stages = shape === 'graph' ? drawGraph(dice, stageOf) : feeds[shape]().map(stageOf);
  const deadline = faults.gate('deadline', where, 0.3).stroke();
  const delay = faults.gate('delay', where, 0.3).stroke();
  const isFold = stages.at(-1)!.feed.kind === 'fold';
  return {
    name: `job-${dice.below(1e9)}`,
    stages,
    output: { stage: stages.length - 1, take: isFold ? 'one' : 'all' },
    priority: dice.below(3) - 1,
    keepMs: dice.chance(0.2) ? 0 : 86_400_000,
    ...(key === undefined ? {} : { key }),
    ...(deadline ? { deadlineWallMs: wallStartMs + Math.round(deadline.between(0.1, 1.2) * plan.stormMs) } : {}),
    ...(delay ? { delayMs: Math.round(delay.between(50, 4_000)) } : {}),
  };
}

/** One of few, so that jobs share them. */
function programHash(dice: Dice): string {
  return `${dice.below(3)}`.repeat(64);
}

function runAll({ stages }: JobSpec, bundle: string): void {
  for (const { definition } of stages) if (definition) definition.bundle = bundle;
}

/** Little, more than half of a worker, more than there is of what can be stretched, and what only few have. */
function drawNeeds(dice: Dice, { slots }: Plan): Pick<StageSpec, 'resources' | 'concurrency'> {
  const resources = dice.pick([{ cpu: 0.4 }, { cpu: 0.7 * slots }, { cpu: slots + 1 }, { cpu: 0.5, memory: 6e8 }, { device: 1 }, {}]);
  return { resources, ...(dice.chance(0.4) ? { concurrency: 2 + dice.below(3) } : {}) };
}

function drawStage(faults: Faults, dice: Dice, feed: StageSpec['feed'], where: string, bundle: string | undefined): StageSpec {
  const { plan } = faults;
  const ttl = feed.kind === 'inputs' ? faults.gate('ttl', where, 0.5).stroke() : undefined;
  const needs = faults.gate('needs', `${where}/${feed.kind}`, 0.5).stroke();
  const failuresMax = dice.chance(0.5) ? { count: dice.chance(0.5) ? 0 : dice.below(5) } : { share: dice.next() };
  return {
    definition: { name: feed.kind, ...(bundle === undefined ? {} : { bundle }) },
    feed,
    queue: dice.chance(0.25) ? 'other' : 'default',
    ...(needs ? drawNeeds(needs, plan) : { resources: {} }),
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
    ...(dice.chance(0.3) ? { chunkSize: 1 + dice.below(4) } : {}),
    ...(ttl ? { ttlMs: Math.round(ttl.between(200, 8_000)) } : {}),
  };
}
