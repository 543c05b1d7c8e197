import { describe, expect, it } from 'vitest';
import type { LetterPage } from './answers.ts';
import { Driver, jobSpec, stage } from './drive.suite.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;

describe('a map', () => {
  it('gives every result once, in input order', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(100));
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', total: 100, succeeded: 100, queued: 0, running: 0 });
    expect(d.read(job)).toEqual(texts(100).map((text) => `<${text}>`));
  });

  it('over nothing succeeds at once and delivers nothing', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), []);
    expect(d.view(job).state).toBe('succeeded');
    expect(d.read(job)).toEqual([]);
    expect(d.delivered.at(-1)!.done).toBe(true);
  });

  it('takes inputs for as long as they come, and ends only when sealed', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(3), false);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'running', succeeded: 3 });
    expect(d.view(job).total).toBeUndefined();
    d.client({ kind: 'seal', job, stage: 0, total: 3 });
    expect(d.view(job)).toMatchObject({ state: 'succeeded', total: 3 });
  });

  it('adds repeated inputs once (a client that sends again)', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), texts(3), false);
    const again = {
      kind: 'inputs' as const,
      job,
      stage: 0,
      from: 1,
      lengths: Uint32Array.of(1, 1, 1),
      body: [new TextEncoder().encode('12X')],
    };
    d.client(again);
    d.hello();
    const seen: string[] = [];
    d.work((frames) => {
      seen.push(frames[0]!);
      return frames[0]!;
    });
    expect(seen.sort()).toEqual(['0', '1', '2', 'X']);
  });

  it('delivers in completion order as far as the credit goes', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(4));
    const [first, second] = [d.take(), d.take()];
    d.client({ kind: 'read', reader: 77, job, order: 'completion', credit: 1, inputs: true });
    d.done(second, (frame) => `r${frame}`);
    d.done(first, (frame) => `r${frame}`);
    const values = (): string[] => d.delivered.filter((delivery) => delivery.reader === 77).flatMap((delivery) => delivery.values);
    expect(values()).toHaveLength(1);
    d.client({ kind: 'readCredit', reader: 77, credit: 10 });
    d.work(upper);
    expect(values()).toHaveLength(4);
    expect(d.delivered.at(-1)!.done).toBe(true);
  });
});

describe('failures', () => {
  const retrying = { retry: { retries: 2, backoff: 'exponential' as const, delayMs: 1000, delayMsMax: 60_000, jitter: false } };

  it('are tried again after their delay, then buried, and fail the job (I9)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage(undefined, retrying)]), texts(1));
    d.fail(d.take(), 0);
    expect(d.assigned).toEqual([]);
    d.pass(999);
    expect(d.assigned).toEqual([]);
    d.pass(1);
    expect(d.assigned[0]).toMatchObject({ attempt: 2 });
    d.fail(d.take(), 0);
    d.pass(2000);
    d.fail(d.take(), 0, 'retry', 'for good');
    expect(d.view(job)).toMatchObject({ state: 'failed', failed: 1, error: { attempts: 3, error: { message: 'for good' } } });
    expect(d.ask<LetterPage>({ kind: 'deadLetters', job }).letters).toHaveLength(1);
  });

  it('are not tried again when the verdict is dead', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage(undefined, retrying)]), texts(1));
    d.fail(d.take(), 0, 'dead');
    expect(d.view(job)).toMatchObject({ state: 'failed', retried: 0 });
  });

  it('within maxFailures are delivered as rejected and leave the job succeeded', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { failuresMax: { share: 0.5 }, chunkSize: 1 })]), texts(2));
    d.fail(d.take(), 0);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 1, succeeded: 1 });
    d.read(job);
    expect([...d.delivered.at(-1)!.statuses]).toEqual([1, 0]);
  });

  it('beyond maxFailures stop the job: the rest is skipped and running work is aborted', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(10));
    d.fail(d.take(), 0);
    expect(d.view(job)).toMatchObject({ state: 'failed', failed: 1, skipped: 9, running: 0 });
    expect(d.sent.some(({ message }) => message.kind === 'abort')).toBe(true);
    const late = d.take();
    d.done(late, (frame) => frame);
    expect(d.view(job)).toMatchObject({ succeeded: 0 });
  });

  it('can be replayed with what was skipped; numbers go on (A06, A07)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(5));
    d.fail(d.take(), 0);
    d.assigned.length = 0;
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 5 });
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 0 });
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', succeeded: 5 });
  });

  it('of a late copy never count against a task that somebody else has finished (C17)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    const first = d.take();
    d.report(first, { kind: 'released', ranges: first.ranges, why: 'revoked' });
    const second = d.take();
    expect(second).toMatchObject({ attempt: 1 });
    d.fail(first, 0, 'dead');
    d.done(second, (frame) => frame);
    expect(d.view(job)).toMatchObject({ state: 'succeeded' });
  });

  it('with different results per attempt: the first accepted wins (T08, I1)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    const first = d.take();
    d.done(first, () => 'one');
    d.done(first, () => 'two');
    expect(d.read(job)).toEqual(['one']);
  });
});

describe('folds', () => {
  const sum = (frames: string[]): string => String(frames.reduce((total, frame) => total + Number(frame), 0));
  const run = (frames: string[], assigned: { stage: number }): string => (assigned.stage === 0 ? frames[0]! : sum(frames));

  it.each([false, true])('combine everything to one (ordered %s)', (ordered) => {
    const d = new Driver();
    d.hello('w1', { slots: 3 });
    const job = d.submit(
      jobSpec([stage(undefined, { chunkSize: 1 }), stage({ kind: 'fold', from: 0, fanIn: 4, ordered })], {
        output: { stage: 1, take: 'one' },
      }),
      texts(100),
    );
    d.work(run);
    expect(d.view(job).state).toBe('succeeded');
    expect(d.read(job)).toEqual(['4950']);
  });

  it('ordered combine neighbours only', () => {
    const d = new Driver();
    d.hello('w1', { slots: 3 });
    const spec = jobSpec([stage(undefined, { chunkSize: 2 }), stage({ kind: 'fold', from: 0, fanIn: 3, ordered: true })], {
      output: { stage: 1, take: 'one' },
    });
    const job = d.submit(spec, [...'abcdefghijklmnopqrstuvwxyz']);
    for (let turn = 0; d.assigned.length > 0; turn++) {
      const assigned = turn % 2 === 0 ? d.assigned.pop()! : d.take();
      d.workOne(assigned, (frames) => frames.join(''));
    }
    expect(d.read(job)).toEqual(['abcdefghijklmnopqrstuvwxyz']);
  });

  it('of nothing call the combine task with nothing', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(
      jobSpec([stage(), stage({ kind: 'fold', from: 0, fanIn: 4, ordered: true })], { output: { stage: 1, take: 'one' } }),
      [],
    );
    d.work(run);
    expect(d.read(job)).toEqual(['0']);
  });

  it('take partials that workers combined, all or nothing (H16)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 2 });
    const spec = jobSpec([stage(undefined, { chunkSize: 4 }), stage({ kind: 'fold', from: 0, fanIn: 4, ordered: false })], {
      output: { stage: 1, take: 'one' },
    });
    const job = d.submit(spec, texts(4));
    const first = d.take();
    expect(first.combine).toMatchObject({ ordered: false });
    d.report(first, { kind: 'released', ranges: Uint32Array.of(2, 1), why: 'neighbour' });
    const again = d.take();
    d.done(again, (frame) => frame);
    const partial = {
      kind: 'partial' as const,
      ranges: Uint32Array.of(0, 4),
      durations: new Uint32Array(4),
      body: [new TextEncoder().encode('6')],
    };
    d.report(first, partial);
    expect(d.view(job)).toMatchObject({ succeeded: 1 });
    d.work(run);
    expect(d.read(job)).toEqual(['6']);
  });

  it('leave dead tasks out where failures are tolerated', () => {
    const d = new Driver();
    d.hello('w1', { slots: 2 });
    const spec = jobSpec(
      [stage(undefined, { chunkSize: 1, failuresMax: { count: 2 } }), stage({ kind: 'fold', from: 0, fanIn: 2, ordered: true })],
      {
        output: { stage: 1, take: 'one' },
      },
    );
    const job = d.submit(spec, texts(9));
    const kept: typeof d.assigned = [];
    while (d.assigned.length > 0) {
      const assigned = d.take();
      if (assigned.stage === 0 && [3, 8].includes(assigned.ranges[0]!)) d.fail(assigned, assigned.ranges[0]!);
      else if (assigned.stage === 0 && assigned.ranges[0] === 0) kept.push(assigned);
      else d.workOne(assigned, run);
    }
    d.assigned.push(...kept);
    d.work(run);
    expect(d.read(job)).toEqual([String(36 - 3 - 8)]);
  });
});

describe('graphs', () => {
  it.each([
    [
      'of 2 800 calls one behind another',
      Array.from({ length: 2_800 }, (_, i) => {
        const before = { args: [{ stage: i - 1, take: 'same' as const, path: [] }], template: 'T' };
        return i === 0 ? stage() : stage({ kind: 'each', from: 0 }, before);
      }),
    ],
    ['of 3 900 piped tasks', Array.from({ length: 3_900 }, (_, i) => stage(i === 0 ? { kind: 'inputs' } : { kind: 'each', from: i - 1 }))],
  ])('a job %s ends when its first task dies, or has nothing to do: no leader dies of it', (_, stages) => {
    const d = new Driver(1, false);
    d.hello();
    const job = d.submit(jobSpec(stages), ['a']);
    d.fail(d.take(), 0, 'dead');
    expect(d.view(job).state).toBe('failed');
    expect(d.view(d.submit(jobSpec(stages), [])).state).toBe('succeeded');
  });

  it('split, spread, map, all: a value stage feeds a call, its elements a map, their array a call', () => {
    const d = new Driver();
    d.hello();
    const { definition: _none, ...value } = stage();
    const same = (from: number) => ({ stage: from, take: 'same' as const, path: [] });
    const spec = jobSpec(
      [
        value,
        stage({ kind: 'each', from: 0 }, { args: [same(0)], template: 'T' }),
        stage({ kind: 'spread', from: 1 }),
        stage({ kind: 'each', from: 0 }, { args: [{ stage: 2, take: 'all', path: [] }], template: 'T' }),
      ],
      { output: { stage: 3, take: 'one' } },
    );
    const job = d.submit(spec, ['abc']);
    d.work((frames, assigned) => {
      if (assigned.stage === 1) return [...frames[0]!];
      if (assigned.stage === 2) return frames[0]!.toUpperCase();
      return frames.join('-');
    });
    expect(d.read(job)).toEqual(['A-B-C']);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('a chain runs the stage nearest the end first and skips what lost its input', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const spec = jobSpec([stage(undefined, { chunkSize: 1, failuresMax: { count: 1 } }), stage({ kind: 'each', from: 0 })]);
    const job = d.submit(spec, texts(3));
    const order: string[] = [];
    d.fail(d.take(), 0);
    d.work((frames, assigned, index) => {
      order.push(`${assigned.stage}/${index}`);
      return `${frames[0]}!`;
    });
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 1, skipped: 1 });
    expect(d.read(job)).toEqual(['1!!', '2!!']);
    expect(order.indexOf('1/1')).toBeLessThan(4);
  });
});
