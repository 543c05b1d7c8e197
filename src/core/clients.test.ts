import { describe, expect, it } from 'vitest';
import type { SubmitReply } from './answers.ts';
import { TaskState } from './columns.ts';
import { Driver, jobSpec, pack, stage } from './drive.suite.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;

describe('time', () => {
  it('a deadline ends the job, a ttl expires what never started, a delay holds it back (K01)', () => {
    const d = new Driver();
    const late = d.submit(jobSpec([stage()], { deadlineWallMs: d.wallMs + 5000 }), texts(2));
    const stale = d.submit(jobSpec([stage(undefined, { ttlMs: 2000 })]), texts(2));
    const delayed = d.submit(jobSpec([stage()], { delayMs: 3000 }), texts(1));
    d.pass(2000);
    expect(d.view(stale)).toMatchObject({ state: 'failed', failed: 2 });
    d.hello();
    expect(d.assigned.map(({ job }) => job)).toEqual([late]);
    d.pass(1000);
    expect(d.assigned.map(({ job }) => job)).toEqual([late, delayed]);
    d.wallMs -= 3_600_000;
    d.pass(2000);
    expect(d.view(late)).toMatchObject({ state: 'expired', skipped: 0, failed: 2 });
  });

  it.each([
    ['a piped task', { kind: 'each', from: 0 }],
    ['an element', { kind: 'spread', from: 0 }],
    ['a combine task', { kind: 'fold', from: 0, fanIn: 2, ordered: false }],
  ] as const)('a ttl of %s counts from when it may start, whoever leads (K01)', (_, feed) => {
    for (const isTakenOver of [false, true]) {
      const d = new Driver(1, false);
      d.hello();
      const job = d.submit(jobSpec([stage(), stage(feed, { queue: 'other', ttlMs: 5000 })]), texts(2));
      d.pass(20_000);
      d.work((frames) => (feed.kind === 'spread' ? frames : frames[0]!));
      d.pass(3000);
      if (isTakenOver) d.takeOver();
      d.pass(1999);
      expect(d.view(job).state).toBe('running');
      d.pass(1);
      expect(d.view(job)).toMatchObject({ state: 'failed', reason: 'tasks waited longer than their ttl' });
    }
  });

  it('what waited at a worker for longer than its ttl and is handed back expires; what has started does not (K01)', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { ttlMs: 5000 })]), texts(2));
    const held = d.take();
    d.passWithBeats(20_000, ['w1']);
    expect(d.view(job)).toMatchObject({ state: 'running', failed: 0 });
    d.state.workersByName.get('w1')!.status = 'draining';
    d.report(held, { kind: 'released', ranges: Uint32Array.of(1, 1), why: 'draining' });
    d.passWithBeats(1000, ['w1']);
    expect(d.state.jobs.get(job)!.stages[0]!.counts[TaskState.expired]).toBe(1);
  });

  it('an ended job is kept for as long as was asked, then its stream goes (rule 12)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()], { keepMs: 10_000 }), texts(1));
    d.work(upper);
    d.pass(9_999);
    expect(d.view(job).state).toBe('succeeded');
    d.pass(1);
    expect(() => d.view(job)).toThrow('there is no job');
    expect(d.dropped).toEqual([`job.${job}`]);
  });

  it('keep 0: it goes once its result was read', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()], { keepMs: 0 }), texts(1));
    d.work(upper);
    d.client({ kind: 'read', reader: 5, job, order: 'input', credit: 1, inputs: false });
    expect(d.delivered.at(-1)).toMatchObject({ done: true });
    // Who may only look has looked.
    d.client({ kind: 'read', reader: 6, job, order: 'input', credit: 1, inputs: false });
    d.client({ kind: 'unread', reader: 6, keeps: true });
    expect(d.state.readers.size).toBe(1);
    expect(d.state.jobs.size).toBe(1);
    d.client({ kind: 'unread', reader: 5 });
    expect(d.state.jobs.size).toBe(0);
  });
});

describe('shares and queues', () => {
  it('a higher priority goes first, equals take turns (L02)', () => {
    const d = new Driver();
    const big = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(50));
    const small = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(2));
    const urgent = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })], { priority: 20 }), texts(2));
    d.hello('w1', { slots: 1 });
    const order: string[] = [];
    d.work((frames, assigned) => {
      order.push(assigned.job);
      return frames[0]!;
    });
    expect(order.slice(0, 2)).toEqual([urgent, urgent]);
    expect(order.indexOf(small)).toBeLessThan(5);
    expect(order.filter((job) => job === big)).toHaveLength(50);
  });

  it('a paused queue hands out nothing and says so; resumed it goes on', () => {
    const d = new Driver();
    d.hello();
    d.ask({ kind: 'setQueue', queue: 'default', paused: true });
    const job = d.submit(jobSpec([stage()]), texts(1));
    expect(d.assigned).toEqual([]);
    expect(d.view(job).waiting).toContain('paused');
    d.ask({ kind: 'setQueue', queue: 'default', paused: false });
    d.work(upper);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('resources bound what runs at once; a larger task than the machine runs by itself', () => {
    const d = new Driver();
    d.hello('w1', { slots: 8, resources: { cpu: 8, memory: 100 } });
    const job = d.submit(jobSpec([stage(undefined, { resources: { memory: 40 } })]), texts(5));
    expect(d.assigned.map(({ lengths }) => lengths.length)).toEqual([2]);
    d.work(upper);
    expect(d.view(job).state).toBe('succeeded');
    const large = d.submit(jobSpec([stage(undefined, { resources: { memory: 1000 } })]), texts(2));
    expect(d.assigned.map(({ lengths }) => lengths.length)).toEqual([1]);
    d.work(upper);
    expect(d.view(large).state).toBe('succeeded');
    const gpu = d.submit(jobSpec([stage(undefined, { resources: { gpu: 1 } })]), texts(1));
    expect(d.view(gpu).waiting).toContain('gpu');
  });
});

describe('clients', () => {
  it('one key is one job; another spec under it is a conflict (A02, I10)', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()], { key: 'k' }), texts(1));
    expect(d.ask({ kind: 'submit', spec: jobSpec([stage()], { key: 'k' }), digest: 'digest' })).toMatchObject({
      job,
      deduplicated: true,
      stages: [{ stage: 0, count: 1, sealed: true }],
    });
    expect(() => d.ask({ kind: 'submit', spec: jobSpec([stage()], { key: 'k' }), digest: 'other' })).toThrow('belongs to another job');
  });

  it('a submission that reads is answered first, then told its results; so is one that is said again (A03)', () => {
    const d = new Driver();
    d.hello();
    const read = { reader: 7, order: 'input', credit: 9, inputs: false };
    const submit = { kind: 'submit', spec: jobSpec([stage()], { keepMs: 0 }), digest: 'd', submission: 's', ...pack(['a']) };
    const { job } = d.ask<SubmitReply>({ ...submit, read });
    expect(d.told.at(-1)).toMatchObject({ message: { kind: 'reply' } });
    d.work(upper);
    expect(d.delivered).toMatchObject([{ reader: 7, values: ['<a>'], done: true }]);
    expect(d.ask({ ...submit, read: { ...read, reader: 8 } })).toMatchObject({ job });
    expect(d.delivered.at(-1)).toMatchObject({ reader: 8, values: ['<a>'], done: true });
    d.client({ kind: 'unread', reader: 8 });
    expect(() => d.view(job)).toThrow('there is no job');
  });

  it('a submission that is refused opens no reader', () => {
    const d = new Driver();
    d.submit(jobSpec([stage()], { key: 'k' }), texts(1));
    const read = { reader: 7, order: 'input', credit: 9, inputs: false };
    expect(() => d.ask({ kind: 'submit', spec: jobSpec([stage()], { key: 'k' }), digest: 'other', read })).toThrow('another job');
    expect(d.state.readers.size).toBe(0);
    expect(d.ask({ kind: 'submit', spec: jobSpec([stage()], { key: 'k' }), digest: 'digest', read })).toMatchObject({ deduplicated: true });
    expect(d.state.readers.size).toBe(1);
  });

  it('after a confirmed cancel nothing completes and nothing starts (A04, I11)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(5));
    const running = d.take();
    expect(d.ask({ kind: 'cancel', job, reason: 'enough' })).toMatchObject({ cancelled: true, state: 'cancelled' });
    d.assigned.length = 0;
    d.done(running, (frame) => frame);
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'cancelled', succeeded: 0, reason: 'enough' });
    expect(d.ask({ kind: 'cancel', job, reason: 'again' })).toMatchObject({ cancelled: false, state: 'cancelled' });
  });

  it('an unknown job is refused, not waited for (A10)', () => {
    const d = new Driver();
    expect(() => d.ask({ kind: 'wait', job: 'nope' })).toThrow('there is no job nope');
  });

  it('a full journal refuses new jobs and keeps the running ones (S02)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.turn([{ from: 'self', event: 'full', full: true }]);
    expect(() => d.ask({ kind: 'submit', spec: jobSpec([stage()]), digest: 'x' })).toThrow('no room');
    d.work(upper);
    expect(d.view(job).state).toBe('succeeded');
  });

  it('code that no worker has fails the job on one machine (V01)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(3));
    const assigned = d.take();
    d.report(assigned, {
      kind: 'refused',
      ranges: assigned.ranges,
      why: 'no such module',
      error: { name: 'Error', message: 'x.ts: not found', code: 'SH5001' },
    });
    expect(d.view(job)).toMatchObject({ state: 'failed', error: { code: 'SH5001' } });
  });
});

describe('a cancel in the very turn in which the last result came (A04)', () => {
  const texts1 = ['x'];
  for (const first of ['the result', 'the cancel'] as const) {
    it(`${first} before it in the inbox wins, and both sides are told the same`, () => {
      const d = new Driver();
      d.hello();
      const job = d.submit(jobSpec([stage()], { output: { stage: 0, take: 'one' } }), texts1);
      const { term, serial, stage: at, attempt, ranges } = d.take();
      const result = {
        from: 'worker' as const,
        message: {
          kind: 'results' as const,
          worker: 'w1',
          incarnation: 'i1',
          number: 1,
          term,
          serial,
          job,
          stage: at,
          attempt,
          ranges,
          lengths: Uint32Array.of(1),
          durations: Uint32Array.of(1),
          body: [new Uint8Array([89])],
        },
      };
      const cancel = {
        from: 'client' as const,
        session: 'c',
        newId: '',
        message: { kind: 'cancel' as const, request: 99, job, reason: 'no' },
      };
      d.turn(first === 'the result' ? [result, cancel] : [cancel, result]);
      const state = first === 'the result' ? 'succeeded' : 'cancelled';
      expect(d.view(job).state).toBe(state);
      expect(d.told.find(({ message }) => message.kind === 'reply' && message.request === 99)!.message).toMatchObject({
        value: { cancelled: state === 'cancelled', state },
      });
      expect(d.read(job)).toEqual(state === 'succeeded' ? ['Y'] : []);
    });
  }
});
