import { describe, expect, it } from 'vitest';
import type { ClusterView, Explanation, Reason } from './answers.ts';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import type { StageSpec } from './spec.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const cluster = (): Driver => new Driver(1, false);
const explain = (d: Driver, job: string, at?: [stage: number, index: number]): Explanation =>
  d.ask({ kind: 'explain', job, ...(at && { stage: at[0], index: at[1] }) });
const whats = (reasons: readonly Reason[]): string => reasons.map(({ what }) => what).join('\n');
const advice = (reasons: readonly Reason[]): string => reasons.map((reason) => reason.try ?? '').join('\n');
const named = (name: string, feed?: StageSpec['feed'], options: Partial<StageSpec> = {}): StageSpec =>
  stage(feed, { definition: { name }, ...options });
const echo = ([frame]: string[]): string => frame!;

describe('who goes first', () => {
  it('jobs that hold the workers are named', () => {
    const d = cluster();
    d.hello('w1', { slots: 1 });
    d.submit(jobSpec([stage()], { name: 'early' }), texts(20));
    const late = d.submit(jobSpec([stage()], { name: 'late' }), texts(3));
    expect(explain(d, late).summary).toMatch(/^late waits: all workers that may run it are busy with other jobs: early \(job/);
    expect(whats(explain(d, late, [0, 2]).reasons)).toMatch(/busy with other jobs: early.*\n2 other tasks of its stage are ready as well/);
  });

  it('a more urgent job whose queue is paused holds nobody back', () => {
    const d = cluster();
    d.hello('w1', { slots: 1, queues: ['*'] });
    d.ask({ kind: 'setQueue', queue: 'night', paused: true });
    d.submit(jobSpec([stage(undefined, { queue: 'night' })], { name: 'urgent', priority: 10 }), texts(20));
    d.submit(jobSpec([stage()], { name: 'early' }), texts(20));
    const late = d.submit(jobSpec([stage()]), texts(1));
    expect(explain(d, late).reasons[0]!.what).toMatch(/busy with other jobs: early/);
  });

  it('tasks of its own job may be what its workers have', () => {
    const d = cluster();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([stage()]), texts(20));
    expect(explain(d, job).summary).toBe('job is running');
    expect(explain(d, job).reasons[0]!.what).toMatch(/of inputs are with w1/);
    expect(explain(d, job, [0, 19]).reasons[0]!.what).toBe('its workers are busy with other tasks of its job');
  });
});

describe('who could run it', () => {
  it('a stage that nobody can run is told although another stage of its job runs', () => {
    const d = cluster();
    d.hello('w1', { slots: 1 });
    const job = d.submit(jobSpec([named('load'), named('train', { kind: 'each', from: 0 }, { resources: { gpu: 1 } })]), texts(9));
    d.workOne(d.take(), echo);
    const { summary, reasons } = explain(d, job);
    expect(summary).toBe('job is running');
    expect(whats(reasons)).toContain('train: no worker has 1 gpu (the best worker has 0)');
    const task = explain(d, job, [1, 0]);
    expect(task.state).toBe('ready');
    expect(task.reasons[0]!.what).toBe('no worker has 1 gpu (the best worker has 0)');
    expect(task.reasons[0]!.try).toContain('--resource gpu:1');
    expect(whats(d.ask<ClusterView>({ kind: 'status' }).problems)).toContain("can't go on: no worker has 1 gpu");
  });

  it('only what is lacking is named; where each is somewhere, that no single worker has all', () => {
    const d = cluster();
    d.hello('w1', { resources: { cpu: 2, memory: 1e9, gpu: 2 } });
    d.hello('w2', { resources: { cpu: 2, memory: 1e9, tpu: 2 } });
    const lacking = d.submit(jobSpec([stage(undefined, { resources: { cpu: 64, gpu: 1, disk: 5 } })]), texts(1));
    expect(explain(d, lacking).reasons[0]!.what).toBe('no worker has 5 disk (the best worker has 0)');
    const both = d.submit(jobSpec([stage(undefined, { resources: { gpu: 1, tpu: 1 } })]), texts(1));
    expect(explain(d, both).reasons[0]!.what).toMatch(/^no single worker has all of 1 gpu .*, 1 tpu/);
  });

  it('workers that drain or are silent are told of, and do not count', () => {
    const d = cluster();
    d.hello('w1');
    d.hello('w2');
    d.takeOver();
    d.hello('w1');
    d.ask({ kind: 'drainWorker', worker: 'w1' });
    const job = d.submit(jobSpec([stage()]), texts(1));
    expect(explain(d, job).reasons[0]!.what).toBe(
      'there is no worker that takes work: 1 draining, 1 not heard of since the coordinator began',
    );
    expect(whats(d.ask<ClusterView>({ kind: 'status' }).problems)).toContain('worker w2 has not been heard of');
  });

  it('code that all have refused is had by nobody (V01)', () => {
    const d = cluster();
    d.hello('w1', { code: { kind: 'named', names: [], bundles: true } });
    d.ask({ kind: 'putBundle', hash: 'abc', name: 'program', body: [] });
    const job = d.submit(jobSpec([stage(undefined, { definition: { name: 'render', bundle: 'abc' } })]), texts(1));
    const assigned = d.take();
    const error = {
      name: 'Error',
      message: 'it is broken',
      cause: { name: 'Error', message: 'not at its top level\nat render', code: 'SH1104' },
    };
    d.report(assigned, { kind: 'refused', ranges: assigned.ranges, why: error.message, error });
    expect(explain(d, job).reasons[0]).toMatchObject({
      what: 'no worker could load the code of "render" from its bundle: not at its top level',
      try: expect.stringMatching(/^put what starts the work into main\(.*submit the program again, and: shoal jobs cancel /),
    });
  });

  it('with a full journal nobody starts anything (S02)', () => {
    const d = cluster();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.turn([{ from: 'self', event: 'full', full: true }]);
    expect(explain(d, job).reasons[0]!.what).toMatch(/journal has no room/);
    expect(whats(d.ask<ClusterView>({ kind: 'status' }).problems)).toMatch(/journal has no room/);
  });

  it('without the broker nothing reaches the workers (N01)', () => {
    const d = cluster();
    const problem = (): string => whats(d.ask<ClusterView>({ kind: 'status' }).problems);
    d.turn([{ from: 'self', event: 'tick', isBrokerDown: true }]);
    expect(problem()).toMatch(/broker at .* does not answer/);
    d.turn([{ from: 'self', event: 'tick' }]);
    expect(problem()).toBe('');
  });
});

describe('what it waits for', () => {
  it('an earlier stage that has to end, and how far that is', () => {
    const d = cluster();
    d.hello('w1', { slots: 1 });
    const spec = jobSpec([named('load'), named('check', { kind: 'each', from: 0 }, { after: [0] })]);
    const job = d.submit(spec, texts(3));
    d.workOne(d.take(), echo);
    const done = 3 - d.state.jobs.get(job)!.stages[0]!.counts[1]! - d.state.jobs.get(job)!.stages[0]!.counts[2]!;
    expect(done).toBeGreaterThan(0);
    expect(whats(explain(d, job).reasons)).toContain(`check waits for all of load: ${done} of 3 are done`);
    expect(whats(explain(d, job, [1, 0]).reasons)).toBe(`it waits for all of load: ${done} of 3 are done`);
  });

  it('the one result of a fold', () => {
    const d = cluster();
    const fold = named('sum', { kind: 'fold', from: 0, fanIn: 2, ordered: false });
    const use = named('use', { kind: 'each', from: 0 }, { args: [{ stage: 1, take: 'one', path: [] }], template: '' });
    const job = d.submit(jobSpec([named('load'), fold, use]), texts(2));
    expect(whats(explain(d, job, [2, 0]).reasons)).toContain('it waits for the one result of sum');
  });

  it('its start time', () => {
    const d = cluster();
    const job = d.submit(jobSpec([stage()], { delayMs: 60_000 }), texts(1));
    expect(whats(explain(d, job).reasons)).toBe('delayed: its start time has not come\nit starts in 60 s');
    expect(explain(d, job, [0, 0]).reasons[0]!.what).toBe('delayed: its start time has not come');
  });

  it('the next attempt, and when the first is due', () => {
    const d = cluster();
    d.hello();
    const retry = { retries: 3, backoff: 'fixed' as const, delayMs: 30_000, delayMsMax: 30_000, jitter: false };
    const job = d.submit(jobSpec([stage(undefined, { retry })]), texts(2));
    const assigned = d.assigned.splice(0).flatMap((each) => [...each.frames].map((frame) => [each, Number(frame)] as const));
    d.fail(assigned[0]![0], assigned[0]![1]);
    d.pass(10_000);
    d.fail(assigned[1]![0], assigned[1]![1]);
    expect(whats(explain(d, job).reasons)).toMatch(
      /^waiting for the next attempt.*\n2 tasks wait for their next attempt, the first in 20 s$/,
    );
    expect(explain(d, job, [0, 1]).summary).toMatch(/is delayed: attempt 2 starts in 30 s; the last one failed on w1: no/);
  });

  it('inputs from a program that is gone', () => {
    const d = cluster();
    const job = d.submit(jobSpec([stage()]), undefined);
    expect(explain(d, job).reasons).toEqual([{ what: 'waiting for inputs' }]);
    d.turn([{ from: 'client', session: 'client', message: 'closed' }]);
    expect(explain(d, job).reasons[0]!.what).toMatch(/is not connected/);
    expect(explain(d, job).reasons[0]!.try).toContain(`shoal jobs cancel ${job}`);
  });

  it('somebody who wants it: asking why does not wake it', () => {
    const d = new Driver();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.takeOver();
    d.hello();
    for (let i = 0; i < 2; i++) expect(explain(d, job).summary).toMatch(/nobody has asked for it/);
    expect(d.assigned).toEqual([]);
  });

  it('a worker of before the coordinator changed', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.takeOver();
    expect(explain(d, job, [0, 0]).summary).toMatch(/attempt 1 is with w1 since before this coordinator began/);
  });

  it('its worker was lost: it is suspected', () => {
    const d = cluster();
    d.hello();
    const job = d.submit(jobSpec([stage()]), texts(1));
    d.loseWorker();
    expect(whats(explain(d, job, [0, 0]).reasons)).toMatch(/there is no worker\nits worker was lost once/);
  });
});

describe('how it ended', () => {
  it('a dead task tells its story, and what was skipped because of it points to it', () => {
    const d = cluster();
    d.hello();
    const retry = { retries: 1, backoff: 'fixed' as const, delayMs: 0, delayMsMax: 0, jitter: false };
    const job = d.submit(jobSpec([named('load', undefined, { retry }), named('check', { kind: 'each', from: 0 })]), texts(1));
    d.fail(d.take(), 0, 'retry', 'first');
    d.fail(d.take(), 0, 'retry', 'second');
    const dead = explain(d, job, [0, 0]);
    expect(whats(dead.reasons)).toMatch(
      /load\[0\] failed for good after 2 attempts, last on w1: second .*\nattempt 1 failed on w1: first\nattempt 2 failed on w1: second/,
    );
    expect(advice(dead.reasons)).toContain(`shoal dlq replay ${job}/0/0`);
    const skipped = explain(d, job, [1, 0]);
    expect(skipped.summary).toBe('check[0] is skipped: it needs the result of load[0], which is dead');
    expect(advice(skipped.reasons)).toBe(`shoal explain ${job}/0/0`);
    expect(explain(d, job).summary).toMatch(/^job has failed: load\[0\] failed for good/);
    d.ask({ kind: 'purge', job });
    expect(whats(explain(d, job, [0, 0]).reasons)).toContain('purged');
    expect(advice(explain(d, job).reasons) + advice(explain(d, job, [0, 0]).reasons)).not.toContain('dlq replay');
  });

  it('cancelled, expired, and succeeded in spite of a dead task', () => {
    const d = cluster();
    const cancelled = d.submit(jobSpec([stage()], { name: 'report' }), texts(1));
    d.ask({ kind: 'cancel', job: cancelled, reason: 'not needed' });
    expect(explain(d, cancelled).summary).toBe('report was cancelled: not needed');
    expect(explain(d, cancelled, [0, 0]).summary).toBe('inputs[0] is cancelled: not needed');
    const expired = d.submit(jobSpec([stage()], { name: 'report', deadlineWallMs: d.wallMs + 1_000 }), texts(1));
    const late = d.submit(jobSpec([stage(undefined, { ttlMs: 500 })]), texts(1));
    d.pass(2_000);
    expect(explain(d, expired).summary).toBe('report has expired: its deadline has passed');
    expect(explain(d, late, [0, 0]).summary).toMatch(/^inputs\[0\] is expired: .*longer than its ttl/);
    d.hello();
    const tolerant = d.submit(jobSpec([stage(undefined, { failuresMax: { count: 1 } })]), texts(1));
    d.fail(d.take(), 0, 'dead');
    const { summary, reasons } = explain(d, tolerant);
    expect(summary).toBe('job has succeeded');
    expect(reasons[0]).toMatchObject({ what: 'it has 1 dead letter' });
  });
});
