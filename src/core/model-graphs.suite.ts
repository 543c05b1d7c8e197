/** The random graphs of model.test.ts, and what their tasks give: a value that tells all that went into it. */
import { stage } from './drive.suite.ts';
import type { ArgSpec, StageSpec } from './spec.ts';

function hash(text: string): number {
  let sum = 7;
  for (let i = 0; i < text.length; i++) sum = (Math.imul(sum, 31) + text.charCodeAt(i)) >>> 0;
  return Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d) >>> 0;
}

export function giveOf(at: number, spec: StageSpec, frames: readonly string[]): string {
  if (spec.feed.kind !== 'fold') return `${at}[${frames.join('|')}]`;
  if (spec.feed.ordered) return frames.join('');
  const parts = frames.flatMap((frame) => frame.split(';')).filter((part) => part !== '');
  return parts.toSorted().join(';');
}

export const elementsOf = (value: string): string[] => Array.from({ length: hash(value) % 4 }, (_, i) => `${value}#${i}`);
export const isPoison = (frames: readonly string[]): boolean => hash(frames.join()) % 23 === 0;

export class Dice {
  private readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }
  chance(p: number): boolean {
    return this.random() < p;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** Of workers that have two cores, a gigabyte, and one device or two: little, much, and more than there is. */
const needs: readonly StageSpec['resources'][] = [{ cpu: 0.3 }, { cpu: 1.5 }, { cpu: 3 }, { cpu: 0.5, memory: 6e8 }, { device: 1 }];

export class Graphs {
  private readonly dice: Dice;

  constructor(dice: Dice) {
    this.dice = dice;
  }

  next(stages: StageSpec[], at: number): StageSpec {
    const isSpread = (from: number): boolean => stages.some(({ feed }) => feed.kind === 'spread' && feed.from === from);
    const isFolded = (from: number): boolean => stages.some(({ feed }) => feed.kind === 'fold' && feed.from === from);
    const root = (index: number): number => {
      const { feed } = stages[index]!;
      return feed.kind === 'each' ? root(feed.from) : index;
    };
    const options: Partial<StageSpec> = {
      retry: { retries: this.dice.below(3), backoff: 'exponential', delayMs: 200, delayMsMax: 1000, jitter: this.dice.chance(0.5) },
      crashLimit: this.dice.pick([0, 1, 3, 3]),
      failuresMax: this.dice.pick([{ count: 0 }, { count: 1 }, { count: 3 }, { share: 0.4 }]),
      ...(this.dice.chance(0.6) ? { chunkSize: 1 + this.dice.below(4) } : {}),
      ...(this.dice.chance(0.2) ? { queue: 'other' } : {}),
      ...(this.dice.chance(0.4) ? { resources: this.dice.pick(needs) } : {}),
      ...(this.dice.chance(0.2) ? { concurrency: 2 + this.dice.below(3) } : {}),
      ...(at > 0 && this.dice.chance(0.2) ? { after: [this.dice.below(at)] } : {}),
    };
    const sources = stages.map((_, index) => index).filter((index) => stages[index]!.feed.kind !== 'fold');
    const kind = at === 0 ? 'inputs' : this.dice.pick(['inputs', 'each', 'each', 'spread', 'fold', 'fold'] as const);
    const from = at === 0 ? 0 : this.dice.pick(sources);
    if (kind === 'fold' && !isSpread(from)) {
      const { after: _none, ...own } = options;
      return stage({ kind, from, fanIn: 2 + this.dice.below(3), ordered: this.dice.chance(0.5) }, own);
    }
    if (kind === 'spread' && stages[from]!.definition && !isFolded(from)) return stage({ kind, from }, this.withArgs(options, stages, []));
    if (kind === 'each' || kind === 'fold' || kind === 'spread') {
      const equals = sources.filter((other) => root(other) === root(from));
      return stage({ kind: 'each', from }, this.dice.chance(0.5) ? { ...this.withArgs(options, stages, equals), template: 'T' } : options);
    }
    if (this.dice.chance(0.3)) options.ttlMs = 20_000;
    const own = stage({ kind: 'inputs' }, this.withArgs(options, stages, []));
    if (this.dice.chance(0.2)) return { ...stage(), definition: undefined as never };
    return own;
  }

  private withArgs(options: Partial<StageSpec>, stages: StageSpec[], equals: number[]): Partial<StageSpec> {
    const args: ArgSpec[] = [];
    if (equals.length > 0) args.push({ stage: this.dice.pick(equals), take: 'same', path: [] });
    if (stages.length > 0 && this.dice.chance(0.4)) args.push({ stage: this.dice.below(stages.length), take: 'one', path: [] });
    if (stages.length > 0 && this.dice.chance(0.3)) args.push({ stage: this.dice.below(stages.length), take: 'all', path: [] });
    // A spread stage has its elements for inputs and no template to put anything into.
    return args.length > 0 ? { ...options, args } : options;
  }
}
