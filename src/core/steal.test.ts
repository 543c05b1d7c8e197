/** What waits on one worker behind long tasks, while another has a free slot. */
import { describe, expect, it } from 'vitest';
import { type Assigned, Driver, jobSpec, pack, stage } from './drive.suite.ts';
import { stealGraceMs } from './limits.ts';
import { indicesOf } from './ranges.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frame: string): string => `<${frame}>`;

/** w1 has one slot, a task that runs and one that waits, both of one assignment; then w2 comes, for which nothing is left. */
function behindALongTask({ stealing = true, queues = ['default'] } = {}): { d: Driver; job: string; both: Assigned } {
  const d = new Driver(1, false, {}, { stealing });
  d.hello('w1', { slots: 1 });
  const job = d.submit(jobSpec([stage()]), texts(2));
  expect(whereabouts(d)).toEqual([['w1', 0, 1]]);
  const both = d.take();
  d.hello('w2', { slots: 1, queues });
  expect(d.assigned).toEqual([]);
  return { d, job, both };
}

function part(assigned: Assigned, index: number): Assigned {
  return { ...assigned, ranges: Uint32Array.of(index, 1), lengths: Uint32Array.of(1), frames: [String(index)] };
}

/** What was asked back so far, as the worker's address and the tasks' indices. */
function asked(d: Driver): [string, ...number[]][] {
  return d.sent.flatMap(({ address, message }) => (message.kind === 'revoke' ? [[address, ...indicesOf(message.ranges)]] : []));
}

const backIndices = (d: Driver): number[] =>
  asked(d)
    .flatMap(([, ...indices]) => indices)
    .sort((a, b) => a - b);

/** The worker has started none of them. */
function giveBack(d: Driver, assigned: Assigned): void {
  d.report(assigned, { kind: 'released', ranges: assigned.ranges, why: 'revoked' });
}

const whereabouts = (d: Driver): unknown[] => d.assigned.map(({ worker, ranges }) => [worker, ...indicesOf(ranges)]);

describe('what waits behind a long task', () => {
  it('is asked back after a beat, and goes to the worker with a free slot (C16)', () => {
    const { d, job, both } = behindALongTask();
    d.pass(stealGraceMs - 1);
    expect(asked(d)).toEqual([]);
    d.passWithBeats(1000, ['w1', 'w2']);
    expect(asked(d)).toEqual([['worker.w1.i1', 1]]);
    giveBack(d, part(both, 1));
    expect(whereabouts(d)).toEqual([['w2', 1]]);
    d.done(d.take(), upper);
    d.done(part(both, 0), upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
    expect(d.read(job)).toEqual(['<0>', '<1>']);
  });

  it('stays where it is if it has started meanwhile, and counts once (C16)', () => {
    const { d, job, both } = behindALongTask();
    d.passWithBeats(1000, ['w1', 'w2']);
    expect(asked(d)).toHaveLength(1);
    d.done(part(both, 0), upper);
    d.done(part(both, 1), upper);
    // The answer to the question comes behind the result, as if both had been true.
    giveBack(d, part(both, 1));
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('is given back once: an answer that is repeated does not take it from whoever has it now (C16)', () => {
    const { d, job, both } = behindALongTask();
    d.passWithBeats(2000, ['w1', 'w2']);
    giveBack(d, part(both, 1));
    const moved = d.take();
    giveBack(d, part(both, 1));
    expect(d.assigned).toEqual([]);
    d.done(moved, upper);
    d.done(part(both, 0), upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('is asked for once a beat, while nobody answers', () => {
    const { d } = behindALongTask();
    d.passWithBeats(4000, ['w1', 'w2']);
    expect(asked(d)).toHaveLength(4);
  });

  it('stays where it is while nobody else could run it', () => {
    const { d } = behindALongTask({ queues: ['other'] });
    d.passWithBeats(4000, ['w1', 'w2']);
    expect(asked(d)).toEqual([]);
  });

  it('stays where it is while its queue is paused', () => {
    const { d } = behindALongTask();
    d.ask({ kind: 'setQueue', queue: 'default', paused: true });
    d.passWithBeats(4000, ['w1', 'w2']);
    expect(asked(d)).toEqual([]);
  });

  it('stays where it is if stealing is off', () => {
    const { d } = behindALongTask({ stealing: false });
    d.passWithBeats(4000, ['w1', 'w2']);
    expect(asked(d)).toEqual([]);
  });
});

describe('of many tasks', () => {
  it('free workers are given what they can start at once, the last ones first', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 4 });
    d.submit(jobSpec([stage()]), texts(8));
    const tasks = d.assigned.flatMap(({ ranges }) => [...indicesOf(ranges)]);
    expect(tasks).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    d.hello('w2', { slots: 1 });
    d.hello('w3', { slots: 1 });
    d.passWithBeats(1000, ['w1', 'w2', 'w3']);
    expect(backIndices(d)).toEqual([6, 7]);
  });

  it('all that wait go where they can start at once', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 2 });
    d.submit(jobSpec([stage()]), texts(4));
    d.hello('w2', { slots: 8 });
    d.passWithBeats(1000, ['w1', 'w2']);
    expect(backIndices(d)).toEqual([2, 3]);
  });

  it('short ones go by halves, for one that is long may be among them', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(100));
    // Each took a millisecond: from now on many are given at a time.
    d.done(d.take(), upper);
    const held = d.state.workers[0]!.heldTasks;
    expect(held).toBeGreaterThan(50);
    d.hello('w2', { slots: 1 });
    d.passWithBeats(1000, ['w1', 'w2']);
    expect(backIndices(d)).toHaveLength(Math.ceil((held - 1) / 2));
  });

  it('a stage that no free worker takes does not hide another that one takes', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1, queues: ['other'] });
    d.submit(jobSpec([stage(undefined, { queue: 'other' })]), texts(2));
    d.hello('w2', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(2));
    d.hello('w3', { slots: 1 });
    d.passWithBeats(1000, ['w1', 'w2', 'w3']);
    expect(asked(d)).toEqual([['worker.w2.i1', 1]]);
  });

  it('suspects stay: they run alone where they are', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(2));
    d.assigned.length = 0;
    d.loseWorker();
    d.hello('w2', { slots: 1 });
    expect(d.assigned.every(({ alone, worker }) => alone && worker === 'w2')).toBe(true);
    expect(d.assigned.length).toBeGreaterThan(0);
    d.hello('w3', { slots: 1 });
    d.passWithBeats(3000, ['w2', 'w3']);
    expect(asked(d)).toEqual([]);
  });
});

describe('one free slot among many that wait', () => {
  it('is not missed because what is asked first can give nothing back: the newer of two assignments runs', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    // The first one comes late, or waits for its program: the worker runs the second, and answers nothing.
    for (let i = 0; i < 2; i++) d.submit(jobSpec([stage()]), texts(1));
    const [first] = d.assigned.splice(0);
    d.hello('w2', { slots: 1 });
    d.passWithBeats(2 * stealGraceMs + 500, ['w1', 'w2']);
    expect(d.sent.filter(({ message }) => message.kind === 'revoke' && message.serial === first!.serial)).not.toEqual([]);
  });

  it('is not kept for a worker that gives nothing back, while another would', () => {
    const d = new Driver(1, false);
    for (const name of ['w1', 'w2']) {
      d.hello(name, { slots: 1 });
      d.submit(jobSpec([stage()]), texts(2));
    }
    d.hello('w3', { slots: 1 });
    d.passWithBeats(2 * stealGraceMs + 500, ['w1', 'w2', 'w3']);
    expect(new Set(asked(d).map(([address]) => address)).size).toBe(2);
  });

  it('is found for what waits beside lanes that only a later work could fill', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(1));
    d.submit(jobSpec([stage(undefined, { concurrency: 8 })]), texts(7));
    const [, later] = d.assigned.splice(0);
    d.hello('w2', { slots: 4 });
    d.passWithBeats(2 * stealGraceMs + 500, ['w1', 'w2']);
    expect(d.sent.filter(({ message }) => message.kind === 'revoke' && message.serial === later!.serial)).not.toEqual([]);
  });

  it('is found behind many jobs that no free worker may run: each kind is looked at once a tick', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 8, queues: ['gpu'] });
    for (let i = 0; i < 16; i++) d.submit(jobSpec([stage(undefined, { queue: 'gpu' })]), texts(1));
    d.hello('w2', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(2));
    const free = Array.from({ length: 70 }, (_, i) => `free${i}`);
    for (const name of free) d.hello(name, { slots: 1 });
    d.passWithBeats(stealGraceMs + 500, ['w1', 'w2', ...free]);
    expect(asked(d)[0]).toEqual(['worker.w2.i1', 1]);
  });
});

describe('a task that is known to be long', () => {
  const slow = (assigned: Assigned, d: Driver): void =>
    d.report(assigned, {
      kind: 'results',
      ranges: assigned.ranges,
      durations: new Uint32Array(assigned.lengths.length).fill(5_000_000),
      ...pack(assigned.frames),
    });

  it('lets none wait behind it, so that there is nothing to ask back', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    d.submit(jobSpec([stage()]), texts(6));
    while (d.assigned.length > 0 && d.state.workers[0]!.heldTasks > 0 && d.assigned[0]!.ranges[0]! < 3) slow(d.take(), d);
    expect(d.state.workers[0]!.heldTasks).toBe(1);
  });

  it('nor does one that has taken long and has not ended: its worker is given no more than it can start', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 2 });
    d.submit(jobSpec([stage()]), texts(1));
    d.passWithBeats(2000, ['w1']);
    d.assigned.length = 0;
    d.submit(jobSpec([stage()]), texts(6));
    expect(d.assigned.flatMap(({ ranges }) => [...indicesOf(ranges)])).toEqual([0]);
    // As soon as it has told of one, it is given more.
    d.done(d.take(), upper);
    expect(d.state.workers[0]!.heldTasks).toBeGreaterThan(2);
  });
});
