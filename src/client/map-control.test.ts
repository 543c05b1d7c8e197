/** A map that is stopped, and one that is watched. */
import { describe, expect, it } from 'vitest';
import { all, coordinator, on, range, square } from './map-job.suite.ts';
import { task } from './task.ts';
import type { MapJob } from './types.ts';

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
