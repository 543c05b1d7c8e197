import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { leaseMs } from './limits.ts';

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
    expect(d.ask<unknown[]>({ kind: 'deadLetters', job })).toHaveLength(1);
  });

  it('are not tried again when the verdict is dead', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage(undefined, retrying)]), texts(1));
    d.fail(d.take(), 0, 'dead');
    expect(d.view(job)).toMatchObject({ state: 'failed', retried: 1 });
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
    expect(d.ask({ kind: 'replay', job })).toEqual({ replayed: 5 });
    expect(d.ask({ kind: 'replay', job })).toEqual({ replayed: 0 });
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

describe('crashes', () => {
  const error = { name: 'Error', message: 'exit 1' };

  it('are survived crashLimit times, then the task is buried (W04)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    for (let i = 0; i < 4; i++) d.report(d.take(), { kind: 'crashed', index: 0, how: 'exit', error });
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'failed', error: { code: 'SH2003' } });
  });

  it('of a lost worker charge nobody: its tasks run again as suspects in a group alone (W01, W16)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    const job = d.submit(jobSpec([stage()]), texts(8));
    const first = d.take();
    d.report(first, {
      kind: 'results',
      ranges: Uint32Array.of(0, 1),
      lengths: Uint32Array.of(1),
      durations: Uint32Array.of(1000),
      body: [new Uint8Array([65])],
    });
    d.loseWorker();
    expect(d.view(job)).toMatchObject({ succeeded: 1 });
    d.assigned.length = 0;
    d.hello('w2');
    expect(d.assigned[0]).toMatchObject({ alone: true, attempt: 1 });
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('again and again: the group of suspects shrinks to one, and only then is it charged', () => {
    const d = new Driver();
    d.submit(jobSpec([stage()]), texts(20));
    const sizes: number[] = [];
    for (let i = 0; i < 4; i++) {
      d.hello(`w${i}`, { slots: 32 });
      sizes.push(d.assigned[0]!.lengths.length);
      d.assigned.length = 0;
      d.loseWorker();
    }
    expect(sizes).toEqual([20, 20, 16, 1]);
    const job = [...d.state.jobs.values()][0]!;
    expect([...job.stories.values()].filter((story) => story.crashes === 1).length).toBeGreaterThan(0);
  });

  it('with crashLimit 0 nothing starts twice', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage(undefined, { crashLimit: 0 })]), texts(1));
    d.take();
    d.loseWorker();
    d.hello('w2');
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'failed' });
  });

  it('a worker that was declared lost is fenced and its late results are refused (W12)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    const first = d.take();
    d.loseWorker();
    d.done(first, (frame) => frame);
    expect(d.sent.at(-1)).toMatchObject({ address: 'worker.w1.i1', message: { kind: 'fenced' } });
    expect(d.view(job)).toMatchObject({ succeeded: 0 });
  });

  it('a new incarnation voids the old one at once (W11)', () => {
    const d = new Driver();
    d.hello();
    d.submit(jobSpec([stage()]), texts(1));
    d.take();
    d.hello('w1', { incarnation: 'i2' });
    expect(d.assigned[0]).toMatchObject({ alone: true });
  });

  it('a pause of the coordinator itself renews all leases (K05)', () => {
    const d = new Driver();
    d.hello();
    d.pass(leaseMs * 10);
    d.turn([{ from: 'self', event: 'tick' }]);
    expect(d.state.workers[0]!.status).toBe('live');
  });

  it('a beat that disagrees twice asks for the full list; what is missing runs again uncharged (rule 8)', () => {
    const d = new Driver();
    d.hello();
    d.submit(jobSpec([stage()]), texts(1));
    const lost = d.take();
    for (const number of [1, 2]) d.worker({ kind: 'beat', number, term: 1, lastSerial: lost.serial, load: 0, count: 0, hash: 0 });
    expect(d.sent.at(-1)!.message.kind).toBe('report');
    d.worker({ kind: 'held', term: 1, lastSerial: lost.serial, held: [] });
    expect(d.take()).toMatchObject({ attempt: 1 });
  });

  it('an assignment that the worker never saw is sent again under the same serial', () => {
    const d = new Driver();
    d.hello();
    d.submit(jobSpec([stage()]), texts(1));
    const lost = d.take();
    d.pass(2500);
    d.worker({ kind: 'held', term: 1, lastSerial: 0, held: [] });
    expect(d.take().serial).toBe(lost.serial);
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

  it('after a confirmed cancel nothing completes and nothing starts (A04, I11)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 1 })]), texts(5));
    const running = d.take();
    expect(d.ask({ kind: 'cancel', job, reason: 'enough' })).toEqual({ cancelled: true, state: 'cancelled' });
    d.assigned.length = 0;
    d.done(running, (frame) => frame);
    expect(d.assigned).toEqual([]);
    expect(d.view(job)).toMatchObject({ state: 'cancelled', succeeded: 0, reason: 'enough' });
    expect(d.ask({ kind: 'cancel', job, reason: 'again' })).toEqual({ cancelled: false, state: 'cancelled' });
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

describe('takeover', () => {
  it('goes on where the journal ends: done stays done, started waits for its worker, the rest goes at once (rule 6)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { chunkSize: 2 })]), texts(10));
    d.done(d.take(), (frame) => `a${frame}`);
    d.assigned.length = 0;
    d.takeOver();
    expect(d.view(job)).toMatchObject({ succeeded: 2, recovered: 2 });
    d.hello('w2', { slots: 8 });
    expect(d.assigned.every(({ alone }) => !alone)).toBe(true);
    d.work((frames) => `b${frames[0]}`);
    expect(d.view(job).state).toBe('running');
    d.passWithBeats(leaseMs + 2000, ['w2']);
    d.work((frames) => `c${frames[0]}`);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', succeeded: 10 });
    expect(d.read(job).filter((value) => value.startsWith('a'))).toEqual(['a0', 'a1']);
  });

  it('adopts what a worker still holds; its results under the old term count (C01)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage()]), texts(1));
    const held = d.take();
    d.takeOver();
    d.hello('w1', { slots: 1 });
    d.worker({ kind: 'held', term: 2, lastSerial: 0, held: [{ serial: held.serial, term: 1, job, stage: 0, attempt: 1, ranges: [0, 1] }] });
    expect(d.assigned).toEqual([]);
    d.done(held, () => 'adopted');
    expect(d.read(job)).toEqual(['adopted']);
  });

  it('finishes what the last leader left between two lines', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()], { keepMs: 1000 }), texts(1));
    d.work(upper);
    d.pass(2000);
    const registry = d.journal.get('registry')!;
    registry.pop();
    d.journal.set(`job.${job}`, [
      { seq: 0, facts: [{ fact: 'job-ended', outcome: 'cancelled', wallMs: d.wallMs }, { fact: 'stream-sealed' }], body: new Uint8Array() },
    ]);
    d.takeOver();
    expect(d.state.jobs.size).toBe(0);
    expect(d.dropped).toEqual([`job.${job}`, `job.${job}`]);
  });
});
