/** Jobs of all kinds, one after another, whose answers are exact whatever happens to the cluster meanwhile. */
import { isDeepStrictEqual } from 'node:util';
import type { Cluster } from 'shoal';
import type { Dice } from '../../simulation/chance.ts';
import * as tasks from '../cluster/fixtures/tasks.ts';

interface Job {
  kind: string;
  result: Promise<unknown>;
  expected: unknown;
}

const mixedUpTo = (count: number): number[] => Array.from({ length: count }, (_, seed) => tasks.mixed(seed));

/** So many blows in a row may hit a task that runs by itself, and it can't show that it was not the guilty one. */
const hardy = { crashLimit: 50 };

/** Draws one, and submits it. */
const kinds: ((client: Cluster, dice: Dice) => Omit<Job, 'kind'>)[] = [
  function ordered(client, dice) {
    const count = 200 + dice.below(4_000);
    const ms = dice.between(0, 1.5);
    const inputs = Array.from({ length: count }, (_, seed) => ({ seed, ms }));
    return { result: tasks.mix.with(hardy).on(client).map(inputs).toArray(), expected: mixedUpTo(count) };
  },
  function folded(client, dice) {
    const count = 200 + dice.below(4_000);
    const inputs = Array.from({ length: count }, (_, seed) => ({ seed, ms: 0 }));
    const expected = mixedUpTo(count).reduce((total, value) => (total + value) >>> 0, 0);
    return { result: tasks.mix.with(hardy).on(client).map(inputs).reduce(tasks.sum), expected };
  },
  function singly(client, dice) {
    const count = 1 + dice.below(60);
    const mix = tasks.mix.with(hardy).on(client);
    return { result: Promise.all(Array.from({ length: count }, (_, seed) => mix.run({ seed, ms: 1 }))), expected: mixedUpTo(count) };
  },
  function uneven(client, dice) {
    const inputs = Array.from({ length: 30 }, (_, value) => ({ ms: dice.chance(0.2) ? 2_500 : 20, value }));
    return { result: tasks.wait.with(hardy).on(client).map(inputs).toArray(), expected: inputs.map(({ value }) => value) };
  },
  function failing(client, dice) {
    const count = 50 + dice.below(300);
    return {
      result: tasks.flaky
        .on(client)
        .map(Array.from({ length: count }, (_, seed) => ({ seed })))
        .toArray(),
      expected: mixedUpTo(count),
    };
  },
  function large(client, dice) {
    const inputs = Array.from({ length: 20 }, () => ({ bytes: dice.below(300_000) }));
    const lengths = async (): Promise<number[]> =>
      (await tasks.big.with(hardy).on(client).map(inputs).toArray()).map(({ length }) => length);
    return { result: lengths(), expected: inputs.map(({ bytes }) => bytes) };
  },
];

/** Ends when `isOver` says so and its last job has ended; `told` hears of each job that was right. Throws if one was not. */
export async function work(client: Cluster, dice: Dice, isOver: () => boolean, told: (kind: string) => void): Promise<void> {
  while (!isOver()) {
    const draw = dice.pick(kinds);
    const { result, expected } = draw(client, dice);
    const got = await result;
    if (!isDeepStrictEqual(got, expected)) throw new Error(`a job (${draw.name}) gave ${JSON.stringify(got)?.slice(0, 2_000)}`);
    told(draw.name);
  }
}
