/** The client on the real thing: coordinator, worker and threads of this process, from the built package. */
import { type Cluster, connect, type Task, TaskError, taskRef } from 'shoal';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

type Tasks = Record<string, Task<any, any>>;
const fixtures: Tasks = await import(new URL('./fixtures/tasks.mjs', import.meta.url).href);

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

describe.each(['inline:', 'local:2'])('on %s', (address) => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await connect(address);
    await cluster.waitForWorkers(1);
  });

  afterAll(() => cluster.close());

  const on = (name: string): Task<any, any> => fixtures[name]!.on(cluster);

  it('says where it is', () => {
    expect(cluster.address).toBe(address);
  });

  it('runs one task', async () => {
    expect(await on('square').run(12)).toBe(144);
    expect(await Promise.all(range(50).map((n) => on('square').run(n)))).toEqual(range(50).map((n) => n * n));
  });

  it('runs as many waiting tasks in a thread as it has lanes, also of jobs of one task each', async () => {
    const lone = await connect(address === 'local:2' ? 'local:1' : address);
    try {
      const meeting = fixtures.meeting!.on(lone);
      expect(await Promise.all(range(8).map((n) => meeting.run(n)))).toEqual(range(8));
    } finally {
      await lone.close();
    }
  });

  it('maps arrays, generators and async generators', async () => {
    const squares = range(1_000).map((n) => n * n);
    expect(await on('square').map(range(1_000)).toArray()).toEqual(squares);
    expect(await all(on('square').map(new Set(range(1_000))))).toEqual(squares);
    const slowly = (async function* () {
      yield* range(1_000);
    })();
    const asTheyCome = await all(on('square').map(slowly, { order: 'completion' }));
    expect(asTheyCome.sort((a, b) => a - b)).toEqual(squares);
  });

  it('maps nothing and one', async () => {
    expect(await on('square').map([]).toArray()).toEqual([]);
    expect(await all(on('square').map([]))).toEqual([]);
    expect(await on('square').map([]).done()).toMatchObject({ total: 0, succeeded: 0 });
    expect(await on('square').map([]).reduce(fixtures.sum!)).toBe(0);
    expect(await on('square').map([5]).reduce(fixtures.sum!)).toBe(25);
  });

  it('maps more than a window holds', async () => {
    const count = 200_000;
    let seen = 0;
    const job = on('square').map(
      (function* () {
        for (let n = 0; n < count; n++) yield n;
      })(),
    );
    for await (const value of job) {
      if (value !== seen * seen) throw new Error(`${value} at ${seen}`);
      seen++;
    }
    expect(seen).toBe(count);
  });

  it('gives what a task threw as the cause, with its own properties', async () => {
    const error = await on('http')
      .run(502)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TaskError);
    expect((error as TaskError).cause).toMatchObject({ message: 'bad gateway', status: 502, response: { headers: ['x'] } });
  });

  it('reduces, in order if asked to', async () => {
    expect(await on('square').map(range(10_000)).reduce(fixtures.sum!)).toBe(range(10_000).reduce((a, n) => a + n * n, 0));
    const text = await on('letter').map(range(2_000)).reduce(fixtures.join!, { fanIn: 3, ordered: true });
    expect(text).toBe(
      range(2_000)
        .map((n) => String.fromCharCode(97 + (n % 26)))
        .join(''),
    );
    const job = on('square').map(range(100));
    await job.state();
    expect(await job.reduce(fixtures.sum!)).toBe(328_350);
  });

  it('T04: takes a result of 64 MiB less its frame, and refuses a larger one with the limit named', async () => {
    const limit = 64 * 2 ** 20;
    expect((await on('bytes').run(limit - 100)).length).toBe(limit - 100);
    await expect(on('bytes').run(limit + 1)).rejects.toThrow(/bytes, more than the 67108864 that one value may have/);
  });

  it('runs chains and graphs', async () => {
    expect(await on('square').pipe(fixtures.letter!).run(5)).toBe('z');
    expect(await on('square').pipe(fixtures.letter!).map(range(4)).toArray()).toEqual(['a', 'b', 'e', 'j']);
    expect(await on('lengths').run({ text: 'to be or not to be' })).toBe(13);
    expect(await on('listed').run({ words: ['a', 'bc', 'def'] })).toBe(6);
    expect(await on('whole').run({ text: 'a bc def', extra: 10 })).toBe(16);
    expect(await on('literal').run(5)).toEqual([6, 7, 7]);
    expect(await on('both').run('a bc')).toBe(7);
    expect(await on('nested').run('a bc def')).toEqual([2, 6, 12]);
    expect(await on('mixed').run({ n: 1 })).toEqual({ n: 2 });
    expect(await on('calls').map(range(100)).toArray()).toEqual(range(100).map((n) => n * n + n));
  });

  it('A02, P8: gives one set of inputs its results, of those that come under one key at the same time', async () => {
    const outcomes = async (promises: Promise<unknown>[]) =>
      (await Promise.allSettled(promises)).map((each) =>
        each.status === 'fulfilled' ? each.value : (each.reason as { code: string }).code,
      );
    const runs = await outcomes([2, 3].map((n) => on('square').run(n, { idempotencyKey: 'race run' })));
    expect([
      [4, 'SH1403'],
      ['SH1403', 9],
    ]).toContainEqual(runs);
    const lists = [range(1_500), range(900).map((n) => n + 1)];
    const maps = await outcomes(lists.map((list) => on('square').map(list, { idempotencyKey: 'race map' }).toArray()));
    const won = maps.findIndex((each) => each !== 'SH1403');
    expect(maps[won]).toEqual(lists[won]!.map((n) => n * n));
    expect(maps[1 - won]).toBe('SH1403');
    const same = await outcomes(
      [0, 1].map(() =>
        on('square')
          .map(new Set(range(50)), { idempotencyKey: 'same' })
          .toArray(),
      ),
    );
    expect(same).toEqual([range(50).map((n) => n * n), range(50).map((n) => n * n)]);
  });

  it('tells how each task fared', async () => {
    const outcomes = await all(on('odd').map([1, 2, 3], { maxFailures: 1 }).settled());
    expect(outcomes).toMatchObject([
      { status: 'fulfilled', index: 0, input: 1, value: 1, attempts: 1 },
      { status: 'rejected', index: 1, input: 2, attempts: 1, reason: { code: 'SH2001', attempts: 1 } },
      { status: 'fulfilled', index: 2, input: 3, value: 3 },
    ]);
    const late = on('odd').map(new Set([1, 2]), { maxFailures: 1 });
    await late.done();
    expect((await all(late.settled())).map(({ input, status }) => [input, status])).toEqual([
      [1, 'fulfilled'],
      [2, 'rejected'],
    ]);
    const piped = on('odd').pipe(fixtures.square!).map([1, 2, 3], { maxFailures: 1 });
    const fared = (await all(piped.settled())).map(({ index, status }): [number, string] => [index, status]);
    expect(fared.sort(([a], [b]) => a - b)).toEqual([
      [0, 'fulfilled'],
      [1, 'rejected'],
      [2, 'fulfilled'],
    ]);
  });

  it('ends with the first failure', async () => {
    const error = await on('odd')
      .map([1, 4])
      .toArray()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TaskError);
    expect(error).toMatchObject({
      code: 'SH2001',
      message: 'real.odd[1] failed: RangeError: 4 is even',
      remoteStack: expect.stringContaining('fixtures/tasks.mjs'),
      cause: expect.any(RangeError),
    });
    await expect(all(on('odd').map(range(100_000)))).rejects.toMatchObject({ code: 'SH2001' });
    await expect(on('unserialisable').run(1)).rejects.toThrow(/\$\.deep\.fn/);
  });

  it('tries again', async () => {
    expect(await on('flaky').run(3)).toBe(3);
    await expect(on('flaky').with({ retries: 1 }).run(3)).rejects.toThrow(/failed after 2 attempts: Error: attempt 2/);
  });

  it('A02: knows a key again', async () => {
    const key = `k-${address}`;
    const first = await on('square').submit(9, { idempotencyKey: key });
    const again = await on('square').submit(9, { idempotencyKey: key });
    expect(again.id).toBe(first.id);
    expect(again.deduplicated).toBe(true);
    expect(await again.result()).toBe(81);
    await expect(on('square').submit(8, { idempotencyKey: key })).rejects.toMatchObject({ code: 'SH1403' });
    await expect(on('odd').submit(9, { idempotencyKey: key })).rejects.toMatchObject({
      code: 'SH1402',
      why: expect.stringContaining('task (then real.square, now real.odd)'),
    });
    expect(await (await cluster.job(key)).result()).toBe(81);
    const many = on('square').map(range(3), { idempotencyKey: `${key}-many` });
    await many.toArray();
    expect(await (await cluster.job(many.id)).result()).toEqual([0, 1, 4]);
    expect(
      await on('square')
        .map(range(3), { idempotencyKey: `${key}-many` })
        .toArray(),
    ).toEqual([0, 1, 4]);
  });

  it('cancels', async () => {
    const job = await on('forever').submit(1);
    for await (const { running } of job.progress({ every: 1 })) if (running === 1) break;
    await job.cancel('enough');
    expect(await job.state()).toBe('cancelled');
    await expect(job.result()).rejects.toMatchObject({ code: 'SH2005', why: 'enough' });
    const controller = new AbortController();
    const running = on('forever').run(1, { signal: controller.signal });
    controller.abort(new Error('stop'));
    await expect(running).rejects.toThrow('stop');
    await expect(on('forever').run(1, { timeout: 20 })).rejects.toMatchObject({ code: 'SH2002' });
    expect(await on('square').run(3)).toBe(9);
  });

  it('keeps what tasks log, and knows them by their ids', async () => {
    const job = on('chatty').map([7]);
    await job.toArray();
    // `inline:` is for debuggers: what is printed there stays on the console.
    const kept = address === 'inline:' ? [] : [['real.chatty', 'saw 7']];
    expect((await all(job.logs({ follow: true }))).map(({ task, message }) => [task, message])).toEqual(kept);
    const ids = on('identify').map([1, 2]);
    expect(await ids.toArray()).toEqual([0, 1].map((index) => ({ id: `${ids.id}/0/${index}`, index })));
  });

  it('calls tasks by name, with their own codecs', async () => {
    expect(await taskRef<Task<any, any>>('real.json').on(cluster).run({ n: 1 })).toEqual({ n: 2 });
    expect(
      await on('asJson')
        .map([{ n: 1 }, { n: 2 }])
        .toArray(),
    ).toEqual([{ n: 2 }, { n: 3 }]);
  });
});

describe('connect', () => {
  it('refuses what it does not understand', async () => {
    await expect(connect('carrier-pigeon:')).rejects.toMatchObject({ code: 'SH1301' });
    await expect(connect('local:', { threads: 0 })).rejects.toMatchObject({ code: 'SH1102' });
  });
});
