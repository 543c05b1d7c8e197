import { describe, expect, it } from 'vitest';
import { type Assigned, Driver, jobSpec, pack, stage } from './drive.suite.ts';
import { openGates } from './edges.ts';
import { indicesOf } from './ranges.ts';
import type { ArgSpec, StageSpec } from './spec.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const join = (frames: string[]): string => frames.join('');
const single = { chunkSize: 1 };

/** Runs what is assigned; tasks named "stage/index" fail for good. */
function workBut(d: Driver, broken: readonly string[], run: (frames: string[], assigned: Assigned) => string | string[] = join): void {
  while (d.assigned.length > 0) {
    const assigned = d.take();
    const index = assigned.ranges[0]!;
    if (broken.includes(`${assigned.stage}/${index}`)) d.fail(assigned, index, 'dead');
    else d.workOne(assigned, run);
  }
}

describe('a replay', () => {
  it('looks at each stage of a graph a few times, however many there are (L01)', () => {
    const looksAt = (count: number): number => {
      const d = new Driver();
      const after = (from: number): Partial<StageSpec> => ({ args: [{ stage: from, take: 'one', path: [] }], template: '' });
      const stages = Array.from({ length: count }, (_, i) => stage(undefined, i === 0 ? {} : after(i - 1)));
      const job = d.state.jobs.get(d.submit(jobSpec(stages), undefined))!;
      let looks = 0;
      for (const each of job.stages) {
        const { links } = each;
        const look = (): typeof links => {
          looks++;
          return links;
        };
        Object.defineProperty(each, 'links', { get: look });
      }
      openGates(d.state, job);
      expect(job.stages.map(({ gatesLeft }) => gatesLeft)).toEqual(stages.map((_, i) => Math.min(i, 1)));
      return looks;
    };
    expect(looksAt(40)).toBeLessThan(5 * looksAt(10));
  });

  it.each([
    ['elements', 6_011_676, { kind: 'spread', from: 1 }],
    ['a fold', 970_038_467, { kind: 'fold', from: 1, fanIn: 4, ordered: false }],
    ['an ordered fold', 970_038_467, { kind: 'fold', from: 1, fanIn: 4, ordered: true }],
  ] as const)(
    'ends a job one of whose stages has nothing to do any more, and %s that would have come of it (found by the simulator, seed %i)',
    (_, __, feed) => {
      const d = new Driver();
      d.hello('w1', { slots: 4 });
      const one: ArgSpec = { stage: 0, take: 'one', path: [] };
      const job = d.submit(
        jobSpec([
          stage(undefined, { ...single, failuresMax: { count: 2 } }),
          stage({ kind: 'each', from: 0 }, { args: [one], template: 'T' }),
          stage(feed),
        ]),
        texts(2),
      );
      d.fail(d.take(), 0, 'dead');
      d.ask({ kind: 'purge', job });
      d.ask({ kind: 'cancel', job, reason: 'enough' });
      d.assigned.length = 0;
      expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 1 });
      d.work(join);
      expect(d.view(job).state).toBe('succeeded');
    },
  );

  it.each([false, true])('of the last task of a map finds its fold still open (ordered %s)', (ordered) => {
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    const job = d.submit(
      jobSpec([stage(undefined, single), stage({ kind: 'fold', from: 0, fanIn: 8, ordered })], { output: { stage: 1, take: 'one' } }),
      texts(3),
    );
    const all = d.assigned.splice(0);
    for (const assigned of all) if (assigned.ranges[0] !== 1) d.workOne(assigned, join);
    d.fail(all[1]!, 1, 'dead');
    d.assigned.length = 0;
    expect(d.view(job).state).toBe('failed');
    d.ask({ kind: 'replay', job });
    d.work(join);
    expect(d.view(job).state).toBe('succeeded');
    expect([...d.read(job)[0]!].sort().join('')).toBe('012');
    if (ordered) expect(d.read(job)).toEqual(['012']);
  });

  it('of a task whose place in a finished fold is gone does not bring it back, and what needs it is not waited for (I15)', () => {
    const d = new Driver();
    d.hello();
    const tolerant = { ...single, failuresMax: { count: 1 } };
    const spec = jobSpec([
      stage(undefined, tolerant),
      stage({ kind: 'fold', from: 0, fanIn: 4, ordered: true }),
      stage({ kind: 'each', from: 0 }, single),
    ]);
    const job = d.submit(spec, texts(3));
    workBut(d, ['0/1', '2/2']);
    expect(d.view(job).state).toBe('failed');
    // The failed one, and the combine task that was stopped.
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 2 });
    d.work(join);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 1, skipped: 1 });
  });

  it('in a running job brings back what was skipped for want of the dead task', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(
      jobSpec([stage(undefined, { ...single, failuresMax: { count: 1 } }), stage({ kind: 'each', from: 0 }, single)]),
      texts(2),
      false,
    );
    workBut(d, ['0/0']);
    expect(d.view(job)).toMatchObject({ state: 'running', failed: 1, skipped: 1 });
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 2 });
    d.client({ kind: 'seal', job, stage: 0, total: 2 });
    d.work(join);
    expect(d.read(job)).toEqual(['0', '1']);
  });

  it('of one task of an ended job takes along all that was stopped with it: no success with holes (I12)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, single)]), texts(5));
    d.fail(d.take(), 0);
    d.assigned.length = 0;
    expect(d.ask({ kind: 'replay', job, stage: 0, index: 0, expectedAttempt: 1 })).toMatchObject({ replayed: 0 });
    expect(d.ask({ kind: 'replay', job, stage: 0, index: 0, expectedAttempt: 2 })).toMatchObject({ replayed: 5 });
    d.work(join);
    expect(d.read(job)).toEqual(texts(5));
  });

  it('opens what had ended behind it: new elements are waited for', () => {
    const d = new Driver();
    d.hello();
    const spec = jobSpec(
      [
        stage(undefined, { ...single, failuresMax: { count: 1 } }),
        stage({ kind: 'spread', from: 0 }),
        stage({ kind: 'each', from: 1 }),
        stage(undefined, { ...single, after: [2] }),
      ],
      { output: { stage: 2, take: 'all' } },
    );
    const job = d.submit(spec, ['ab', 'cd']);
    d.client({ kind: 'inputs', job, stage: 3, from: 0, lengths: Uint32Array.of(1), body: [new Uint8Array([65])] });
    d.client({ kind: 'seal', job, stage: 3, total: 1 });
    const split = (frames: string[], assigned: Assigned): string | string[] => (assigned.stage === 0 ? [...frames[0]!] : join(frames));
    workBut(d, ['0/0', '3/0'], split);
    expect(d.view(job).state).toBe('failed');
    d.ask({ kind: 'replay', job });
    d.work(split);
    expect(d.view(job).state).toBe('succeeded');
    expect(d.read(job).sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('shows a task once to who reads in order of completion', () => {
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    const job = d.submit(jobSpec([stage(undefined, { ...single, failuresMax: { count: 1 } })]), texts(3));
    d.client({ kind: 'read', reader: 9, job, order: 'completion', credit: 2, inputs: false });
    workBut(d, ['0/1']);
    d.ask({ kind: 'replay', job });
    d.work(join);
    d.client({ kind: 'readCredit', reader: 9, credit: 10 });
    expect(d.read(job, { order: 'completion' })).toEqual(['0', '2', '1']);
    const kept = d.delivered.filter(({ reader }) => reader === 9).flatMap(({ values }) => values.filter((value) => value !== ''));
    expect(kept.sort()).toEqual(['0', '1', '2']);
  });

  it('of a job that was stopped while it waited for inputs takes more of them', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(2), false);
    d.work(join);
    d.ask({ kind: 'cancel', job, reason: 'enough' });
    d.ask({ kind: 'replay', job });
    d.client({ kind: 'inputs', job, stage: 0, from: 2, lengths: Uint32Array.of(1), body: [new Uint8Array([50])] });
    d.client({ kind: 'seal', job, stage: 0, total: 3 });
    d.work(join);
    expect(d.read(job)).toEqual(texts(3));
  });

  it('lifts a deadline that has ended the job, for the next leader as well (K01)', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()], { deadlineWallMs: d.wallMs + 1000 }), texts(1));
    d.pass(1000);
    expect(d.view(job).state).toBe('expired');
    d.ask({ kind: 'replay', job });
    d.takeOver();
    d.hello();
    d.client({ kind: 'wait', request: 0, job });
    d.work(join);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('never runs out of numbers: after 255 attempts a task is buried and stays so (I9)', () => {
    const d = new Driver();
    d.hello();
    const retry = { retries: 1000, backoff: 'fixed' as const, delayMs: 0, delayMsMax: 0, jitter: false };
    const job = d.submit(jobSpec([stage(undefined, { retry })]), texts(1));
    for (let tries = 0; d.assigned.length > 0; tries++) {
      expect(tries).toBeLessThan(255);
      d.fail(d.take(), 0);
    }
    expect(d.view(job)).toMatchObject({ state: 'failed', failed: 1, error: { attempts: 255 } });
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 0 });
  });
});

it('a partial of an ordered fold that leaves out a neighbour does not count (rule 11)', () => {
  const d = new Driver();
  d.hello('w1', { slots: 4 });
  const fold = stage({ kind: 'fold', from: 0, fanIn: 4, ordered: true });
  const job = d.submit(jobSpec([stage(undefined, { chunkSize: 3 }), fold], { output: { stage: 1, take: 'one' } }), texts(3));
  const first = d.take();
  const body = [new TextEncoder().encode('02')];
  d.report(first, { kind: 'partial', ranges: Uint32Array.of(0, 1, 2, 1), durations: new Uint32Array(2), body });
  d.workOne(first, join);
  d.work(join);
  expect(d.read(job)).toEqual(['012']);
});

describe('a reader in input order that has passed what comes back (A07)', () => {
  const two = [stage(undefined, { ...single, failuresMax: { count: 9 } }), stage({ kind: 'each', from: 0 }, single)];
  const seen = (d: Driver, reader: number): string[] => d.delivered.filter((to) => to.reader === reader).flatMap(({ values }) => values);
  function passed(order: 'input' | 'completion' = 'input'): { d: Driver; job: string } {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 8 });
    const job = d.submit(jobSpec(two), texts(6), false);
    d.client({ kind: 'read', reader: 77, job, order, credit: 4, inputs: false });
    workBut(d, ['0/0', '0/2', '0/3']);
    expect(seen(d, 77)).toEqual(['1', '4', '5']);
    return { d, job };
  }
  const finish = (d: Driver, job: string): void => {
    d.work(join);
    d.client({ kind: 'seal', job, stage: 0, total: 6 });
  };

  it.each(['input', 'completion'] as const)('gets it before its end, as far as its credit goes (order %s)', (order) => {
    const { d, job } = passed(order);
    expect(d.ask({ kind: 'replay', job })).toMatchObject({ replayed: 6 });
    finish(d, job);
    expect(seen(d, 77)).toHaveLength(4);
    d.client({ kind: 'readCredit', reader: 77, credit: 10 });
    expect(seen(d, 77)).toEqual(['1', '4', '5', '0', '2', '3']);
    expect(d.delivered.at(-1)).toMatchObject({ reader: 77, done: true });
  });

  it('is not held up by it, and gets each once when it is stopped and brought back again', () => {
    const { d, job } = passed();
    d.client({ kind: 'readCredit', reader: 77, credit: 10 });
    d.ask({ kind: 'replay', job });
    workBut(d, ['0/2']);
    d.client({ kind: 'inputs', job, stage: 0, from: 6, ...pack(['6']) });
    d.ask({ kind: 'replay', job });
    d.workOne(d.assigned.pop()!, join);
    const late = d.assigned.splice(0);
    expect(seen(d, 77)).toEqual(['1', '4', '5', '0', '3']);
    for (const assigned of late) d.workOne(assigned, join);
    d.work(join);
    d.client({ kind: 'seal', job, stage: 0, total: 7 });
    expect(seen(d, 77).sort()).toEqual(texts(7));
    expect(d.delivered.at(-1)).toMatchObject({ reader: 77, done: true });
  });

  it('gets it when its line broke meanwhile, too', () => {
    const { d, job } = passed();
    d.ask({ kind: 'replay', job });
    d.takeOver();
    d.client({ kind: 'read', reader: 78, job, order: 'input', credit: 10, inputs: false, ...d.given(77) });
    d.hello('w1', { slots: 8 });
    d.worker({ kind: 'held', term: 2, lastSerial: 0, held: [] });
    finish(d, job);
    expect(seen(d, 78)).toEqual(['0', '2', '3']);
  });

  it.each(['input', 'completion'] as const)('gets it when it has run before the line is back (order %s)', (order) => {
    const { d, job } = passed(order);
    const had = d.given(77);
    d.client({ kind: 'unread', reader: 77, keeps: true });
    d.ask({ kind: 'replay', job });
    finish(d, job);
    d.takeOver();
    d.client({ kind: 'read', reader: 78, job, order, credit: 10, inputs: false, ...had });
    expect(seen(d, 78).sort()).toEqual(['0', '2', '3']);
    expect(d.delivered.at(-1)).toMatchObject({ reader: 78, done: true });
  });

  it.each(['input', 'completion'] as const)('and each as it is now, once, where it was told that they failed (order %s)', (order) => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 8 });
    const job = d.submit(jobSpec([stage(undefined, { ...single, failuresMax: { count: 9 } })]), texts(6), false);
    d.client({ kind: 'read', reader: 77, job, order, credit: 10, inputs: false });
    workBut(d, ['0/0', '0/2', '0/3']);
    const [before] = d.delivered.filter(({ failures }) => failures.length > 0);
    expect(before).toMatchObject({ reader: 77 });
    const had = d.given(77);
    d.client({ kind: 'unread', reader: 77, keeps: true });
    d.ask({ kind: 'replay', job });
    workBut(d, ['0/3']);
    d.client({ kind: 'read', reader: 78, job, order, credit: 1, inputs: false, ...had });
    d.client({ kind: 'readCredit', reader: 78, credit: 10 });
    const came = (reader: number) => d.delivered.filter((to) => to.reader === reader).flatMap(({ indices }) => [...indicesOf(indices)]);
    expect(new Set(came(78))).toEqual(new Set([0, 2, 3]));
    expect(came(78)).toHaveLength(3);
    d.client({ kind: 'seal', job, stage: 0, total: 6 });
    d.client({ kind: 'read', reader: 79, job, order, credit: 10, inputs: false, ...d.given(78) });
    expect(new Set(came(79))).toEqual(new Set([1, 4, 5]));
  });
});

describe('an end is found', () => {
  it('though a task comes after the one value that all need has failed (I15)', () => {
    const d = new Driver();
    d.hello();
    const one = { args: [{ stage: 0, take: 'one' as const, path: [] }] };
    const job = d.submit(jobSpec([stage(undefined, { failuresMax: { count: 1 } }), stage(undefined, one)]), texts(1));
    d.fail(d.take(), 0, 'dead');
    d.client({ kind: 'inputs', job, stage: 1, from: 0, lengths: Uint32Array.of(1), body: [new Uint8Array([65])] });
    d.client({ kind: 'seal', job, stage: 1, total: 1 });
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 1, skipped: 1 });
  });

  it('though a combine task is buried where failures are tolerated', () => {
    const d = new Driver();
    d.hello();
    const fold = stage({ kind: 'fold', from: 0, fanIn: 4, ordered: false }, { failuresMax: { count: 5 } });
    const job = d.submit(jobSpec([stage(undefined, single), fold], { output: { stage: 1, take: 'one' } }), texts(2));
    workBut(d, ['1/0']);
    expect(d.view(job).state).toBe('failed');
  });

  it('though the entry that told of the worker was lost with its leader (H1)', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.hello();
    d.take();
    d.journal.get('registry')!.pop();
    const late = d.journal.get(`job.${job}`)!;
    late.push({
      seq: late.length,
      facts: [{ fact: 'tasks-started', stage: 0, ranges: Uint32Array.of(0, 1), worker: 7 }],
      body: new Uint8Array(),
    });
    d.takeOver();
    d.client({ kind: 'wait', request: 0, job });
    d.hello('w2');
    d.work(join);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('by the process as well: jobs that rest do not keep it alive, until somebody asks for one', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.takeOver();
    expect([d.state.openJobs, d.state.restingJobs]).toEqual([1, 1]);
    d.client({ kind: 'wait', request: 0, job });
    expect(d.state.restingJobs).toBe(0);
    d.takeOver();
    d.ask({ kind: 'deleteJob', job });
    d.takeOver();
    expect([d.state.openJobs, d.state.restingJobs]).toEqual([0, 0]);
  });

  it('by who waits for a job that somebody else deletes', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.client({ kind: 'wait', request: 500, job }, 'other');
    d.ask({ kind: 'deleteJob', job });
    const answer = d.told.find(({ session }) => session === 'other')!.message;
    expect(answer).toMatchObject({ kind: 'reply', request: 500, value: { state: 'cancelled', reason: 'deleted' } });
  });
});

it('an assignment of results, elements or partials is bounded in bytes as one of inputs is (rule 15)', () => {
  const d = new Driver();
  d.hello('w1', { queues: ['*'] });
  d.ask({ kind: 'setQueue', queue: 'later', paused: true });
  const job = d.submit(
    jobSpec([stage(undefined, { chunkSize: 1 }), stage({ kind: 'each', from: 0 }, { chunkSize: 64, queue: 'later' })]),
    texts(24),
  );
  const big = 'x'.repeat(1024 * 1024);
  const sizes: number[] = [];
  const run = (_: string[], assigned: Assigned): string => {
    if (assigned.stage === 1) sizes.push(assigned.body[0]!.length);
    return assigned.stage === 0 ? big : '';
  };
  d.work(run);
  d.ask({ kind: 'setQueue', queue: 'later', paused: false });
  d.work(run);
  expect(d.view(job).state).toBe('succeeded');
  expect(Math.max(...sizes)).toBeLessThanOrEqual(5 * 1024 * 1024);
});
