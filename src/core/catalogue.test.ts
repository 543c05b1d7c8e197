/** Faults of the catalogue (docs/explanation/faults.md) that are about many tasks, or about time, and have no other home here. */
import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { leaseMs } from './limits.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;

describe('a worker', () => {
  it('that dies while nobody leads is noticed by whoever leads next, a lease after that one began (C13, C18)', () => {
    const d = new Driver(1, false);
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(2));
    d.assigned.length = 0;
    d.takeOver();
    d.hello('w2');
    d.passWithBeats(leaseMs - 1000, ['w2']);
    // The leader goes as well, before it could judge: the next one starts to count anew.
    d.takeOver();
    d.hello('w2');
    d.worker({ kind: 'held', term: 3, lastSerial: 0, held: [] }, 'w2');
    d.assigned.length = 0;
    d.passWithBeats(leaseMs - 1000, ['w2']);
    expect(d.assigned).toEqual([]);
    d.passWithBeats(3000, ['w2']);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', succeeded: 2 });
  });

  it('that is heard keeps a task without a time-out for as long as it takes, though others are idle (C20)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage()]), texts(1));
    const long = d.take();
    d.hello('w2');
    d.passWithBeats(100 * leaseMs, ['w1', 'w2']);
    expect(d.assigned).toEqual([]);
    d.done(long, (frame) => `<${frame}>`);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('that hands everything back is given each task once a turn, and no attempt is charged (C15)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(1));
    for (let round = 0; round < 300; round++) {
      const { ranges, attempt } = d.assigned[0]!;
      expect([d.assigned.length, attempt]).toEqual([1, 1]);
      d.report(d.take(), { kind: 'released', ranges, why: 'no' });
    }
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });
});

it('a job that is deleted while its tasks run is gone for good: what is said of them later finds nothing (S15)', () => {
  const d = new Driver();
  d.hello();
  const job = d.submit(jobSpec([stage()]), texts(2));
  const running = d.take();
  d.ask({ kind: 'deleteJob', job });
  expect(d.sent.map(({ message }) => message)).toContainEqual(expect.objectContaining({ kind: 'abort', serial: running.serial }));
  d.done(running, (frame) => frame);
  expect(d.state.jobs.size).toBe(0);
  d.takeOver();
  expect([d.state.jobs.size, d.journal.has(`job.${job}`)]).toEqual([0, false]);
});

describe('thousands of tasks', () => {
  it('that nobody can run, in front of one that somebody can, hold it back neither by resources nor by a queue (C21)', () => {
    const d = new Driver();
    d.hello();
    for (let i = 0; i < 10; i++) {
      d.submit(jobSpec([stage(undefined, i % 2 === 0 ? { resources: { gpu: 1 } } : { queue: 'elsewhere' })]), texts(1000));
    }
    expect(d.assigned).toEqual([]);
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.work(upper);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('that fail in one second come back spread over their delay, in few turns (L03)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 8 });
    const count = 2_000;
    const retry = { retries: 1, backoff: 'exponential', delayMs: 10_000, delayMsMax: 10_000, jitter: true } as const;
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: count, retry })]), texts(count));
    const all = d.take();
    const entries = d.journal.get(`job.${job}`)!.length;
    const failures = texts(count).map((index) => ({
      ...{ from: 'worker' as const },
      message: {
        ...{ kind: 'failed', worker: 'w1', incarnation: 'i1', term: 1, serial: all.serial, job, stage: 0, attempt: 1 },
        ...{ number: Number(index) + 1, index: Number(index), verdict: 'retry', durationUs: 5, error: { name: 'Error', message: 'no' } },
      } as never,
    }));
    d.turn(failures);
    expect(d.journal.get(`job.${job}`)!.length).toBe(entries + 1);
    const back: number[] = [];
    for (let passed = 0; passed < 10_000; passed += 1_000) {
      d.passWithBeats(1_000, ['w1']);
      back.push(d.assigned.reduce((sum, { ranges }) => sum + ranges.filter((_, at) => at % 2 === 1).reduce((a, b) => a + b, 0), 0));
      d.work(upper);
    }
    // Uniform over ten seconds: 200 in each, give or take.
    for (const tasks of back) expect(Math.abs(tasks - 200)).toBeLessThan(70);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', succeeded: count });
  });
});
