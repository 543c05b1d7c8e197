/** What a map gives, when it opens, and what its failures are. */
import { describe, expect, it } from 'vitest';
import { all, coordinator, numbers, odd, on, range, slowly, square, sum } from './map-job.suite.ts';
import { task } from './task.ts';
import type { Settled } from './types.ts';

describe('map gives every result', () => {
  it.each([
    ['an array', () => range(100)],
    ['a set', () => new Set(range(100))],
    ['a generator', () => numbers(100)],
    ['an async generator', () => slowly(100)],
  ])('of %s', async (_what, inputs) => {
    expect(await on(square).map(inputs()).toArray()).toEqual(range(100).map((n) => n * n));
    expect(await all(on(square).map(inputs()))).toEqual(range(100).map((n) => n * n));
  });

  it('of none and of one', async () => {
    expect(await on(square).map([]).toArray()).toEqual([]);
    expect(await all(on(square).map([]))).toEqual([]);
    expect(await on(square).map([3]).toArray()).toEqual([9]);
  });

  it('whose value is undefined', async () => {
    const nothing = task('map.nothing', (_n: number): undefined => undefined);
    expect(await all(on(nothing).map([1, 2]))).toEqual([undefined, undefined]);
    expect(await on(nothing).map([1, 2]).toArray()).toEqual([undefined, undefined]);
  });

  it('of more than one message, in input order or as they come', async () => {
    coordinator.isEager = false;
    const job = on(square).map(range(40_000));
    const array = job.toArray();
    await job.state();
    const inOrder = all(job);
    const asTheyCome = on(square).map(range(10), { order: 'completion' });
    await asTheyCome.state();
    const [first, second] = [...coordinator.jobs.values()];
    while (!first!.sealed) {
      await job.state();
      coordinator.run(first!, 1_000, 'last');
    }
    coordinator.run(first!);
    expect(await array).toEqual(range(40_000).map((n) => n * n));
    expect(await inOrder).toEqual(range(40_000).map((n) => n * n));
    coordinator.run(second!, Number.POSITIVE_INFINITY, 'last');
    expect(await all(asTheyCome)).toEqual([...range(10)].reverse().map((n) => n * n));
  });

  it('twice, if asked twice: the array from memory, a loop by reading anew', async () => {
    const job = on(square).map([1, 2, 3]);
    expect(await job.toArray()).toBe(await job.result());
    expect(await all(job)).toEqual([1, 4, 9]);
    expect(await all(job)).toEqual([1, 4, 9]);
    expect(coordinator.of('submit')).toHaveLength(1);
    expect(coordinator.of('unread').length).toBe(coordinator.of('read').length);
  });

  it('to calls that do not wait for each other, in their order', async () => {
    const iterator = on(square).map([1, 2, 3])[Symbol.asyncIterator]();
    const steps = await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()]);
    expect(steps.map((step) => step.value)).toEqual([1, 4, 9, undefined]);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });
});

describe('map opens in the next microtask', () => {
  it('so that a reduce is part of it', async () => {
    expect(await on(square).map(range(10)).reduce(sum, { fanIn: 4 })).toBe(285);
    expect(coordinator.job.spec.stages.map(({ feed }) => feed.kind)).toEqual(['inputs', 'fold']);
    expect(coordinator.jobs.size).toBe(1);
  });

  it('and a later reduce combines what is there in a job of its own', async () => {
    const job = on(square).map(range(10));
    await job.state();
    expect(await job.reduce(sum)).toBe(285);
    expect(await job.reduce(sum)).toBe(285);
    expect(coordinator.jobs.size).toBe(3);
  });

  it('and its results then are not to be had one by one', async () => {
    const job = on(square).map(range(3));
    const total = job.reduce(sum);
    await expect(job.toArray()).rejects.toMatchObject({ code: 'SH1106' });
    expect(() => job.settled()).toThrow(expect.objectContaining({ code: 'SH1106' }));
    expect(await total).toBe(5);
  });

  it('before which it has no id', async () => {
    const job = on(square).map([1]);
    expect(() => job.id).toThrow(expect.objectContaining({ code: 'SH1105' }));
    await job.state();
    expect(job.id).toBe('job1');
    expect(job.deduplicated).toBe(false);
  });

  it('and over nothing, combine decides what that is', async () => {
    expect(await on(square).map([]).reduce(sum)).toBe(0);
  });
});

describe('a task that fails', () => {
  it('ends the loop after the results before it', async () => {
    const job = on(odd).map([1, 3, 4, 5]);
    const seen: number[] = [];
    const reading = (async () => {
      for await (const n of job) seen.push(n);
    })();
    await expect(reading).rejects.toMatchObject({
      code: 'SH2001',
      message: 'map.odd[2] failed: RangeError: 4 is even',
      taskId: 'job1/0/2',
      attempts: 1,
      worker: 'w',
      remoteStack: 'remote',
      cause: expect.objectContaining({ message: '4 is even' }),
    });
    expect(seen).toEqual([1, 3]);
    await expect(job.toArray()).rejects.toMatchObject({ code: 'SH2001' });
    await expect(job.done()).rejects.toMatchObject({ code: 'SH2001' });
  });

  it('is named by its label', async () => {
    const label = (n: number, index: number) => `${n} at ${index}`;
    await expect(on(odd).map([1, 2], { label }).toArray()).rejects.toThrow(/^map\.odd\[1\] \(2 at 1\) failed/);
    await expect(all(on(odd).map(numbers(1), { label }))).rejects.toThrow(/^map\.odd\[0\] \(0 at 0\) failed/);
  });

  it('is left out where failures are tolerated', async () => {
    const job = on(odd).map([1, 2, 3, 4], { maxFailures: 2 });
    expect(await job.toArray()).toEqual([1, 3]);
    expect(await all(job)).toEqual([1, 3]);
    expect(await job.done()).toMatchObject({ succeeded: 2, failed: 2, total: 4 });
  });

  it.each([
    ['an array', () => [1, 2, 3]],
    [
      'a generator',
      () =>
        (function* () {
          yield* [1, 2, 3];
        })(),
    ],
  ])('is an outcome among others, with inputs from %s', async (_what, inputs) => {
    const outcomes = await all(on(odd).map(inputs(), { maxFailures: 1 }).settled());
    expect(outcomes).toEqual([
      { status: 'fulfilled', index: 0, input: 1, value: 1, attempts: 1, durationMs: 1.5, worker: 'w' },
      {
        status: 'rejected',
        index: 1,
        input: 2,
        reason: expect.objectContaining({ code: 'SH2001' }),
        attempts: 1,
        durationMs: 1.5,
        worker: 'w',
      },
      { status: 'fulfilled', index: 2, input: 3, value: 3, attempts: 1, durationMs: 1.5, worker: 'w' },
    ]);
  });

  it('comes with its input from the job where settled() is late', async () => {
    const job = on(odd).map(numbers(4), { maxFailures: 4 });
    await job.done();
    expect((await all(job.settled())).map(({ input, status }) => [input, status])).toEqual([
      [0, 'rejected'],
      [1, 'fulfilled'],
      [2, 'rejected'],
      [3, 'fulfilled'],
    ]);
  });

  it('comes with its input to each who asks, also after one who has left, or beside another (H14)', async () => {
    const job = on(square).map(numbers(6));
    for await (const { index, input } of job.settled()) {
      expect(input).toBe(index);
      if (index === 2) break;
    }
    const inputs = async () => (await all(job.settled())).map(({ input }) => input);
    expect(await inputs()).toEqual([0, 1, 2, 3, 4, 5]);
    const beside = on(square).map(numbers(6));
    const both = await Promise.all([all(beside.settled()), all(beside.settled())]);
    expect(both.map((outcomes) => outcomes.map(({ input }) => input))).toEqual([
      [0, 1, 2, 3, 4, 5],
      [0, 1, 2, 3, 4, 5],
    ]);
  });

  it('skips others, and settled() tells of each', async () => {
    const outcomes: Settled<number, number>[] = await all(on(odd).map([1, 2, 3, 4]).settled());
    expect(outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : outcome.value))).toEqual([
      1,
      'SH2001',
      'SH2004',
      'SH2004',
    ]);
    const kept = await all(on(odd).map(numbers(3)).settled());
    expect(kept.map(({ index, input }) => [index, input])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
  });
});
