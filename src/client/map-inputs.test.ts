/** Where the inputs of a map come from, and what they are compared with under a key. */
import { describe, expect, it } from 'vitest';
import { all, coordinator, numbers, odd, on, range, slowly, square } from './map-job.suite.ts';
import { task } from './task.ts';

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

  it.each<[string, () => unknown]>([
    ['gives no promise', () => ({ done: true, value: undefined })],
    ['gives nothing', () => undefined],
    [
      'throws',
      () => {
        throw new Error('no thanks');
      },
    ],
  ])('of an async iterator whose return() %s are closed on cancel all the same', async (_what, answer) => {
    coordinator.isEager = false;
    let closed!: () => void;
    const isClosed = new Promise<void>((resolve) => (closed = resolve));
    let pulled = 0;
    const iterator = {
      next: () => Promise.resolve({ done: false, value: pulled++ }),
      return() {
        closed();
        return answer() as Promise<IteratorResult<number>>;
      },
    };
    const job = on(square).map({ [Symbol.asyncIterator]: () => iterator }, { maxInFlight: 100 });
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
    // As many as filled batches before the iterator threw.
    const { job } = coordinator;
    const { length } = job.inputs;
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThan(700);
    job.state = 'running';
    const again = on(square).map(range(1_000), { idempotencyKey: 'k' });
    expect(await again.toArray()).toEqual(range(1_000).map((n) => n * n));
    expect(coordinator.of('inputs').filter(({ from }) => from === length)).toHaveLength(1);
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
