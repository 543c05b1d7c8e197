import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ClusterHandle } from './cluster.ts';
import { installOpener } from './opener.ts';
import { ScriptedCoordinator } from './scripted-coordinator.double.ts';
import { task } from './task.ts';
import type { Cluster, MapJob, Settled, Task } from './types.ts';

let coordinator: ScriptedCoordinator;
let cluster: Cluster;

beforeEach(() => {
  coordinator = new ScriptedCoordinator();
  installOpener(coordinator.open);
  cluster = new ClusterHandle('scripted:', {});
});

afterEach(async () => {
  await cluster.close();
  installOpener(undefined);
});

const square = task('map.square', (n: number) => n * n);
const sum = task('map.sum', (ns: number[]) => ns.reduce((a, b) => a + b, 0));
const odd = task('map.odd', (n: number) => {
  if (n % 2 === 0) throw new RangeError(`${n} is even`);
  return n;
});

function on<I, O>(definition: Task<I, O>): Task<I, O> {
  return definition.on(cluster);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function* numbers(count: number, closed: () => void = () => undefined): Generator<number> {
  try {
    for (let n = 0; n < count; n++) yield n;
  } finally {
    closed();
  }
}

async function* slowly(count: number, closed: () => void = () => undefined): AsyncGenerator<number> {
  yield* numbers(count, closed);
}

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

describe('inputs', () => {
  it('that cannot travel are named, and nothing of their batch is queued', async () => {
    const inputs = range(3).map((n) => ({ n, cb: n === 2 ? () => n : undefined }));
    const take = task('map.take', (value: { n: number }) => value.n);
    const job = on(take).map(inputs);
    await expect(job.toArray()).rejects.toThrow('map.take input 2: $.cb is a function');
    await expect(all(job)).rejects.toMatchObject({ code: 'SH1201' });
    await expect(job.done()).rejects.toMatchObject({ code: 'SH1201' });
    expect(coordinator.of('inputs')).toEqual([]);
    expect(coordinator.of('cancel')).toHaveLength(1);
  });

  it.each([
    [
      'sync',
      () =>
        (function* () {
          yield 1;
          throw new Error('disk gone');
        })(),
    ],
    [
      'async',
      () =>
        (async function* () {
          yield 1;
          throw new Error('disk gone');
        })(),
    ],
  ])('whose %s iterator throws cancel the job, and the reader gets the error', async (_what, inputs) => {
    const job = on(square).map(inputs());
    await expect(all(job)).rejects.toThrow('disk gone');
    await expect(job.settled()[Symbol.asyncIterator]().next()).rejects.toThrow('disk gone');
    expect(coordinator.job.state).toBe('cancelled');
    expect(coordinator.job.reason).toContain('disk gone');
  });

  it.each([
    ['sync', numbers],
    ['async', slowly],
  ])('of a %s iterator are closed on cancel', async (_what, make) => {
    coordinator.isEager = false;
    let closed!: () => void;
    const isClosed = new Promise<void>((resolve) => (closed = resolve));
    const job = on(square).map(make(1_000_000, closed), { maxInFlight: 100 });
    await job.state();
    await job.cancel('enough');
    await isClosed;
    await expect(job.toArray()).rejects.toMatchObject({ code: 'SH2005', why: 'enough' });
  });

  it('are pulled no further than maxInFlight', async () => {
    coordinator.isEager = false;
    let pulled = 0;
    const job = on(square).map(
      (function* () {
        for (; pulled < 1_000; pulled++) yield pulled;
      })(),
      { maxInFlight: 40 },
    );
    const array = job.toArray();
    while (!coordinator.jobs.size || !coordinator.job.sealed) {
      await job.state();
      expect(pulled - coordinator.job.outcomes.filter(Boolean).length).toBeLessThanOrEqual(41);
      coordinator.run(coordinator.job, 10);
    }
    coordinator.run(coordinator.job);
    expect(await array).toHaveLength(1_000);
    expect(coordinator.inFlightMax).toBeLessThanOrEqual(40);
  });

  it('wait for a loop that takes its time, and not for one that was left', async () => {
    let pulled = 0;
    const job = on(square).map(
      (function* () {
        for (; pulled < 5_000; pulled++) yield pulled;
      })(),
      { maxInFlight: 50 },
    );
    for await (const n of job) {
      await job.state();
      expect(pulled).toBeLessThanOrEqual(Math.sqrt(n) + 102);
      if (n === 400) break;
    }
    expect(await job.done()).toMatchObject({ succeeded: 5_000 });
    expect(coordinator.job.readers.size).toBe(0);
  });

  it('of a source that pauses go out while it pauses', async () => {
    let release!: () => void;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const job = on(square).map(
      (async function* () {
        yield 2;
        await gate;
        yield 3;
      })(),
    );
    const iterator = job[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 4 });
    release();
    expect(await iterator.next()).toEqual({ done: false, value: 9 });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it('that are none are refused', () => {
    expect(() => on(square).map(5 as never)).toThrow(
      expect.objectContaining({ code: 'SH1102', hint: expect.stringContaining('run(input)') }),
    );
    expect(() => on(square).map('text' as never)).toThrow(expect.objectContaining({ code: 'SH1102' }));
  });
});

describe('a job can be stopped', () => {
  it('by the signal of its options, whose reason its reader gets', async () => {
    coordinator.isEager = false;
    const controller = new AbortController();
    const job = on(square).map(range(10), { signal: controller.signal });
    const array = job.toArray();
    await job.state();
    controller.abort(new Error('changed my mind'));
    await expect(array).rejects.toThrow('changed my mind');
    expect(coordinator.job.state).toBe('cancelled');
    expect(() => on(square).map([1], { signal: controller.signal })).toThrow('changed my mind');
    expect(coordinator.jobs.size).toBe(1);
  });

  it('by disposing of it', async () => {
    coordinator.isEager = false;
    {
      await using job: MapJob<number, number> = on(square).map(range(10));
      await job.state();
    }
    expect(coordinator.job.state).toBe('cancelled');
  });

  it('from waiting, while it goes on', async () => {
    coordinator.isEager = false;
    const job = on(square).map(range(10));
    await expect(job.result({ timeout: 1 })).rejects.toMatchObject({ code: 'SH1405' });
    const controller = new AbortController();
    const waiting = job.result({ signal: controller.signal });
    controller.abort(new Error('not now'));
    await expect(waiting).rejects.toThrow('not now');
    while (!coordinator.job.sealed) await new Promise((resolve) => setImmediate(resolve));
    expect(coordinator.job.state).toBe('queued');
    coordinator.run(coordinator.job);
    expect(await job.result({ timeout: '40d' })).toHaveLength(10);
  });

  it('by the end of the session', async () => {
    coordinator.isEager = false;
    const job = on(square).map(range(10));
    const reading = all(job);
    const array = job.toArray();
    await job.state();
    coordinator.lose();
    await expect(reading).rejects.toMatchObject({ code: 'SH3001' });
    await expect(array).rejects.toMatchObject({ code: 'SH3001' });
    await expect(job.state()).rejects.toMatchObject({ code: 'SH3001' });
    await expect(all(job)).rejects.toMatchObject({ code: 'SH3001' });
  });
});

describe('a key', () => {
  it('A02: stands for the same job, whose inputs are not sent again', async () => {
    const first = on(square).map(range(1_000), { idempotencyKey: 'k' });
    expect(await first.toArray()).toHaveLength(1_000);
    const sent = coordinator.of('inputs').length;
    const again = on(square).map(numbers(1_000), { idempotencyKey: 'k', priority: 'high' });
    expect(await again.toArray()).toEqual(await first.toArray());
    expect(again.deduplicated).toBe(true);
    expect(coordinator.of('inputs')).toHaveLength(sent);
  });

  it('A01: lets a client that comes back go on where the inputs ended', async () => {
    const controller = new AbortController();
    const stopped = on(square).map(
      (function* () {
        yield* range(700);
        throw new Error('client gone');
      })(),
      { idempotencyKey: 'k', signal: controller.signal },
    );
    await expect(stopped.toArray()).rejects.toThrow('client gone');
    // The first 512 went out before the iterator threw.
    const { job } = coordinator;
    expect(job.inputs).toHaveLength(512);
    job.state = 'running';
    const again = on(square).map(range(1_000), { idempotencyKey: 'k' });
    expect(await again.toArray()).toEqual(range(1_000).map((n) => n * n));
    expect(coordinator.of('inputs').map(({ from }) => from)).toContain(512);
  });

  it.each([
    ['others', () => range(1_000).map((n) => n + 1)],
    ['fewer', () => range(999)],
    ['more', () => range(1_001)],
  ])('A02: with %s inputs is a conflict, and the job stays as it is', async (_what, inputs) => {
    await on(square).map(range(1_000), { idempotencyKey: 'k' }).toArray();
    const other = on(square).map(inputs(), { idempotencyKey: 'k' });
    await expect(other.toArray()).rejects.toMatchObject({ code: 'SH1403' });
    await expect(all(other)).rejects.toMatchObject({ code: 'SH1403' });
    await expect(other.state()).rejects.toMatchObject({ code: 'SH1403' });
    expect(coordinator.job.state).toBe('succeeded');
  });

  it('A02: with another task is a conflict', async () => {
    await on(square).map([1], { idempotencyKey: 'k' }).toArray();
    await expect(on(odd).map([1], { idempotencyKey: 'k' }).toArray()).rejects.toMatchObject({ code: 'SH1402' });
  });
});

describe('a job can be watched', () => {
  it('by its counts, until it has ended', async () => {
    const job = on(square).map(range(10));
    const views = await all(job.progress({ every: 1 }));
    expect(views.at(-1)).toMatchObject({ total: 10, succeeded: 10, failed: 0, queued: 0, etaSeconds: 0 });
    await expect(job.progress({ every: -1 })[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'SH1102' });
  });

  it('by its logs', async () => {
    const job = on(square).map([1]);
    await job.toArray();
    const line = { wallMs: 5_000, job: job.id, stage: 0, index: 0, attempt: 1, task: 'map.square', level: 'info', message: 'hello' };
    coordinator.printed.push(line, { ...line, job: 'another' });
    expect(await all(job.logs({ follow: true }))).toEqual([{ time: new Date(5_000), task: 'map.square', level: 'info', message: 'hello' }]);
    expect(await all(job.logs({ since: '1m' }))).toEqual([]);
  });

  it('A06: and its failures can be replayed, after which results are read anew', async () => {
    let isBroken = true;
    const flaky = task('map.flaky', (n: number) => {
      if (isBroken && n === 1) throw new Error('down');
      return n;
    });
    const job = on(flaky).map([0, 1, 2]);
    await expect(job.toArray()).rejects.toMatchObject({ code: 'SH2001' });
    isBroken = false;
    expect(await job.replayFailed()).toBe(1);
    expect(await job.toArray()).toEqual([0, 1, 2]);
  });
});
