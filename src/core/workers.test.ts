import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, pack, stage } from './drive.suite.ts';
import { assignGraceMs, leaseMs, quietMs, tickGapMs } from './limits.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const upper = (frames: string[]): string => `<${frames.join('+')}>`;

interface Told {
  ranges: number[];
  tasks?: number;
  durations?: number;
  lengths?: number;
  bytes?: number;
  counts?: number[];
}

describe('a report', () => {
  it.each([
    ['a task twice', { ranges: [0, 1, 0, 1] }],
    ['ranges that overlap', { ranges: [1, 1, 0, 2], tasks: 3 }],
    ['a task that is not there', { ranges: [2, 2] }],
    ['half a range', { ranges: [0, 2, 2] }],
    ['a range of nothing', { ranges: [0, 2, 2, 0] }],
    ['fewer durations than tasks', { ranges: [0, 2], durations: 1 }],
    ['fewer lengths than tasks', { ranges: [0, 3], lengths: 2, tasks: 3 }],
    ['more bytes than there are', { ranges: [0, 2], bytes: 1 }],
    ['elements of what is no array', { ranges: [0, 2], counts: [1, 1] }],
  ])('that tells of %s counts for nothing (X10)', (_, told) => {
    const { ranges, tasks = 2, durations = tasks, lengths = tasks, bytes = lengths, counts } = told as Told;
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    const job = d.submit(jobSpec([stage()]), texts(3));
    const assigned = d.take();
    d.report(assigned, {
      kind: 'results',
      ranges: Uint32Array.from(ranges),
      durations: new Uint32Array(durations),
      lengths: new Uint32Array(lengths).fill(1),
      body: [new Uint8Array(bytes)],
      ...(counts && { counts: Uint32Array.from(counts) }),
    });
    expect(d.view(job)).toMatchObject({ state: 'running', succeeded: 0 });
    // In any order, as it was given them.
    d.report(assigned, { kind: 'results', ranges: Uint32Array.of(2, 1, 0, 2), durations: new Uint32Array(3), ...pack(['c', 'a', 'b']) });
    expect(d.read(job)).toEqual(['a', 'b', 'c']);
  });

  it('of a combined value that names a task twice counts for nothing (X10)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    const job = d.submit(jobSpec([stage(), stage({ kind: 'fold', from: 0, fanIn: 8, ordered: false })]), texts(2));
    const assigned = d.take();
    const tell = (...ranges: number[]): void => {
      d.report(assigned, { kind: 'partial', ranges: Uint32Array.from(ranges), durations: new Uint32Array(2), body: [new Uint8Array(1)] });
    };
    tell(0, 1, 0, 1);
    expect(d.view(job)).toMatchObject({ state: 'running', succeeded: 0 });
    tell(0, 2);
    expect(d.view(job)).toMatchObject({ state: 'succeeded' });
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
    d.submit(jobSpec([stage(undefined, { chunkSize: 20 })]), texts(20));
    const sizes: number[] = [];
    for (let i = 0; i < 5; i++) {
      d.hello(`w${i}`, { slots: 1 });
      sizes.push(d.assigned[0]!.lengths.length);
      d.assigned.length = 0;
      d.loseWorker();
    }
    expect(sizes).toEqual([20, 20, 16, 4, 1]);
    const job = [...d.state.jobs.values()][0]!;
    expect([...job.stories.values()].filter((story) => story.crashes === 1).length).toBeGreaterThan(0);
  });

  it('those that only waited for their turn to run alone are not charged for the loss of their worker', () => {
    const d = new Driver();
    d.submit(jobSpec([stage()]), texts(4));
    for (let i = 0; i < 4; i++) {
      d.assigned.length = 0;
      d.hello(`w${i}`, { slots: 2 });
      // Held one by one, in the order in which they start: two run.
      if (i === 3) expect(d.assigned.map(({ ranges }) => ranges[1])).toEqual([1, 1, 1, 1]);
      d.loseWorker();
    }
    const job = [...d.state.jobs.values()][0]!;
    expect([...job.stories.values()].map(({ crashes }) => crashes)).toEqual([1, 1]);
  });

  it('a worker that is quiet is given nothing, until it is heard of again', () => {
    const d = new Driver();
    d.hello();
    d.pass(quietMs + 1);
    d.submit(jobSpec([stage()]), texts(1));
    expect(d.assigned).toEqual([]);
    d.worker({ kind: 'beat', number: 1, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 });
    expect(d.assigned).toHaveLength(1);
  });

  it('long ones, or of unknown length, are spread over all slots, so that they are through soon', () => {
    const d = new Driver();
    d.submit(jobSpec([stage()]), texts(4));
    d.hello('w1', { slots: 2 });
    d.loseWorker();
    d.assigned.length = 0;
    d.hello('w2', { slots: 4 });
    expect(d.assigned.map(({ alone, lengths }) => [alone, lengths.length])).toEqual([
      [true, 1],
      [true, 1],
      [true, 1],
      [true, 1],
    ]);
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

  it('a worker that was declared lost is fenced and its late results are refused (W12, N05)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    const first = d.take();
    d.loseWorker();
    d.done(first, (frame) => frame);
    expect(d.sent.at(-1)).toMatchObject({ address: 'worker.w1.i1', message: { kind: 'fenced' } });
    expect(d.view(job)).toMatchObject({ succeeded: 0 });
  });

  it('a worker that a later leader has welcomed is fenced in its own term, behind a proof that nobody led later in this journal (S07)', () => {
    const d = new Driver();
    const before = d.journal.get('registry')?.length ?? 0;
    d.hello('w1', { welcomed: 7 });
    expect(d.sent).toMatchObject([{ address: 'worker.w1.i1', message: { kind: 'fenced', term: 7 } }]);
    expect(d.journal.get('registry')!.slice(before)).toMatchObject([{ facts: [{ fact: 'lease', term: 1 }] }]);
    expect(d.warned).toEqual([expect.stringMatching(/^worker w1 was led in term 7, of which this journal knows nothing/)]);
    d.hello('w1', { incarnation: 'i2' });
    expect(d.sent.at(-1)).toMatchObject({ address: 'worker.w1.i2', message: { kind: 'welcome', term: 1 } });
  });

  it('a new incarnation voids the old one at once (W11)', () => {
    const d = new Driver();
    d.hello();
    d.submit(jobSpec([stage()]), texts(1));
    d.take();
    d.hello('w1', { incarnation: 'i2' });
    expect(d.assigned[0]).toMatchObject({ alone: true });
  });

  it('a word that waits in the inbox behind the tick counts before its worker is judged (rule 10; found by the simulator, seed 447)', () => {
    const d = new Driver();
    d.hello();
    d.passWithBeats(leaseMs);
    d.nowMs += 1_000;
    const beat = { kind: 'beat', worker: 'w1', incarnation: 'i1', number: 1, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 } as const;
    d.turn([
      { from: 'self', event: 'tick' },
      { from: 'worker', message: beat },
    ]);
    expect(d.state.workers[0]!.status).toBe('live');
  });

  it('a pause of the coordinator itself renews all leases (K05)', () => {
    const d = new Driver();
    d.hello();
    d.pass(leaseMs * 10);
    d.turn([{ from: 'self', event: 'tick' }]);
    expect(d.state.workers[0]!.status).toBe('live');
  });

  it('a pause of the coordinator itself is no grace that a closed connection was given (K05, H12)', () => {
    const d = new Driver(1, false);
    d.hello();
    d.submit(jobSpec([stage(undefined, { crashLimit: 0 })]), texts(2));
    d.passWithBeats(1000, ['w1']);
    d.turn([{ from: 'self', event: 'connectionClosed', address: 'worker.w1.i1' }]);
    // The alarm comes before the tick, and before anything that has arrived meanwhile is read.
    d.pass(tickGapMs + leaseMs);
    expect(d.state.workers[0]!.status).toBe('live');
    d.turn([{ from: 'self', event: 'tick' }]);
    d.passWithBeats(leaseMs - 1000);
    expect(d.state.workers[0]!.status).toBe('live');
    d.passWithBeats(2000);
    expect(d.state.workers[0]!.status).toBe('left');
  });

  it('a beat that disagrees twice asks for the full list; what is missing runs again uncharged (rule 8)', () => {
    const d = new Driver();
    d.hello();
    d.submit(jobSpec([stage()]), texts(1));
    const lost = d.take();
    for (const number of [1, 2]) d.worker({ kind: 'beat', number, term: 1, lastSerial: lost.serial, load: 0, count: 0, hash: 0 });
    expect(d.sent.at(-1)!.message.kind).toBe('report');
    // Until then it may be on its way, overtaken by a later one.
    d.worker({ kind: 'held', term: 1, lastSerial: lost.serial, held: [] });
    expect(d.assigned).toEqual([]);
    d.passWithBeats(assignGraceMs);
    d.worker({ kind: 'held', term: 1, lastSerial: lost.serial, held: [] });
    expect(d.take()).toMatchObject({ attempt: 1 });
  });

  it('a late list has only what still runs sent again, not what has an end (N03; found by the simulator, seed 200711)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 4 });
    d.submit(jobSpec([stage(), stage({ kind: 'fold', from: 0, fanIn: 2, ordered: true }, { chunkSize: 2 })]), texts(4));
    while (d.assigned[0]!.stage === 0) d.workOne(d.take(), upper);
    const merging = d.take();
    expect([...merging.ranges]).toEqual([0, 2]);
    d.report(merging, { kind: 'results', ranges: Uint32Array.of(0, 1), durations: Uint32Array.of(1000), ...pack(['<0>']) });
    d.pass(2500);
    d.worker({ kind: 'held', term: 1, lastSerial: 0, held: [] });
    const again = d.take();
    expect([...again.ranges]).toEqual([1, 1]);
    expect(again).toMatchObject({ serial: merging.serial, frames: merging.frames.slice(2) });
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

  it('asks again for the list of what is held where the first one was lost (rule 8)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage()]), texts(1));
    // Of the assignment nothing arrives, and of the list after the welcome neither: beats agree that nothing is held.
    d.take();
    d.takeOver();
    expect(d.view(job).state).toBe('running');
    d.hello('w1', { slots: 1 });
    d.sent.length = 0;
    d.worker({ kind: 'beat', number: 1, term: 2, lastSerial: 0, load: 0, count: 0, hash: 0 });
    expect(d.sent.map(({ message }) => message.kind)).toContain('report');
    d.worker({ kind: 'held', term: 2, lastSerial: 0, held: [] });
    d.work(upper);
    expect(d.view(job).state).toBe('succeeded');
    d.sent.length = 0;
    d.worker({ kind: 'beat', number: 2, term: 2, lastSerial: 1, load: 0, count: 0, hash: 0 });
    expect(d.sent.map(({ message }) => message.kind)).not.toContain('report');
  });

  it('gives nothing to a worker that holds nobody knows what yet: it may have no room (C01, I20)', () => {
    const d = new Driver(1, false);
    const greet = (): void => d.hello('w1', { slots: 2, resources: { gpu: 1 }, welcomed: 1 });
    d.hello('w1', { slots: 2, resources: { gpu: 1 } });
    const running = d.submit(jobSpec([stage(undefined, { resources: { gpu: 1 } })]), texts(1));
    const held = d.take();
    const next = d.submit(jobSpec([stage(undefined, { resources: { gpu: 1 } })]), texts(1));
    d.takeOver();
    greet();
    expect(d.assigned).toEqual([]);
    // Its list is lost, and results of others are on the way: it is asked for all the same.
    d.sent.length = 0;
    d.worker({ kind: 'beat', number: 1, term: 2, lastSerial: 0, load: 1, count: 1, hash: 1 });
    expect(d.sent.map(({ message }) => message.kind)).toContain('report');
    greet();
    expect(d.assigned).toEqual([]);
    const list = [{ serial: held.serial, term: 1, job: running, stage: 0, attempt: 1, ranges: [0, 1] }];
    d.worker({ kind: 'held', term: 2, lastSerial: 0, held: list });
    expect(d.assigned).toEqual([]);
    d.done(held, () => 'adopted');
    d.work(upper);
    expect([d.view(running).state, d.view(next).state]).toEqual(['succeeded', 'succeeded']);
  });

  it('gives work at once to a process that no leader has welcomed', () => {
    const d = new Driver(1, false);
    d.submit(jobSpec([stage()]), texts(1));
    d.takeOver();
    d.hello('w1');
    expect(d.assigned).toHaveLength(1);
  });

  it('blames nothing on a worker that lives and never had it, however often leaders change; nor on one that left in order (rule 7)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage(undefined, { crashLimit: 0 })]), texts(4));
    for (let term = 2; term < 6; term++) {
      // Written down as perhaps started, and its assignment died with the leader.
      expect(d.take()).toMatchObject({ alone: false, attempt: 1 });
      d.assigned.length = 0;
      d.takeOver();
      expect(d.view(job).state).toBe('running');
      d.hello('w1', { slots: 1 });
      if (term < 5) d.worker({ kind: 'held', term, lastSerial: 0, held: [] });
      else d.worker({ kind: 'goodbye' });
    }
    d.hello('w2', { slots: 1 });
    expect(d.assigned.every(({ alone }) => !alone)).toBe(true);
    d.work(upper);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 0 });
  });

  it('blames nothing on a worker that had left in order before it (W10, rule 7)', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 4 });
    const jobs = [0, 3].map((crashLimit) => d.submit(jobSpec([stage(undefined, { crashLimit })]), texts(2)));
    expect(new Set(d.assigned.map(({ job }) => job))).toEqual(new Set(jobs));
    d.assigned.length = 0;
    d.worker({ kind: 'goodbye' });
    d.takeOver();
    d.hello('w2', { slots: 1 });
    expect(d.assigned.every(({ alone }) => !alone)).toBe(true);
    d.work(upper);
    for (const job of jobs) expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 0 });
  });

  it('does blame what it may have started on one that came back as another (rule 7)', () => {
    const d = new Driver();
    d.hello('w1', { slots: 1, incarnation: 'i1' });
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.take();
    d.assigned.length = 0;
    d.takeOver();
    expect(d.view(job).state).toBe('running');
    d.hello('w1', { slots: 1, incarnation: 'i2' });
    d.worker({ kind: 'held', term: 2, lastSerial: 0, held: [] }, 'w1', 'i2');
    expect(d.assigned).toMatchObject([{ alone: true }]);
  });

  it('gives no place to the late hello of an earlier life, nor after a takeover (H9, C19; found by the simulator, seed 1435)', () => {
    const d = new Driver();
    for (const incarnation of ['i1', 'i2']) d.hello('w1', { incarnation });
    for (const act of [() => undefined, () => d.takeOver()]) {
      act();
      d.sent.length = 0;
      d.hello('w1', { incarnation: 'i1' });
      expect(d.sent).toMatchObject([{ address: 'worker.w1.i1', message: { kind: 'fenced' } }]);
      expect(d.state.workersByName.get('w1')).toMatchObject({ incarnation: 'i2' });
    }
  });

  it('waits for a retry no longer than was meant, whatever its clock says (K01, K04)', () => {
    const d = new Driver();
    d.hello();
    const job = d.submit(
      jobSpec([stage(undefined, { retry: { retries: 1, backoff: 'fixed', delayMs: 500, delayMsMax: 500, jitter: false } })]),
      texts(1),
    );
    d.fail(d.take(), 0);
    d.wallMs -= 3_600_000;
    d.takeOver();
    expect(d.state.timers.nextMs - d.nowMs).toBe(500);
    expect(d.view(job).state).toBe('running');
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
