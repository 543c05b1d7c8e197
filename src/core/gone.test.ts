import { describe, expect, it } from 'vitest';
import type { SubmitReply } from './answers.ts';
import { Driver, jobSpec, pack, stage } from './drive.suite.ts';
import { freeIndex } from './gone.ts';
import { workersMax } from './limits.ts';
import { createState } from './state.ts';

const goneMs = 60_000;
const names = (d: Driver): string[] => d.state.workers.map(({ name }) => name);

function isForgottenAfterAll(d: Driver): void {
  d.passWithBeats(goneMs + 2_000, ['stays']);
}

describe('workers that have left', () => {
  it('neither fill the memory nor what a new leader reads, however many there have been (issue 6)', () => {
    const d = new Driver(1, false);
    d.hello('stays');
    for (let i = 0; i < 300; i++) {
      d.hello(`w${i}`);
      d.worker({ kind: 'goodbye' }, `w${i}`);
      d.passWithBeats(1_000, ['stays']);
    }
    expect(d.state.workers.length).toBeLessThan(goneMs / 1_000 + 5);
    isForgottenAfterAll(d);
    expect(names(d)).toEqual(['stays']);
    const present = d.journal.get(d.state.registry.stream)!.flatMap(({ facts }) => facts);
    expect(present.length).toBeLessThan(300);
    d.takeOver();
    expect(names(d)).toEqual(['stays']);
    d.hello('new');
    expect(d.state.workersByName.get('new')!.index).not.toBe(d.state.workersByName.get('stays')!.index);
  });

  it('are remembered for as long as a job is kept that they may have worked for', () => {
    const d = new Driver(1, false);
    d.hello('stays', { slots: 0 });
    d.hello('w1');
    const job = d.submit(jobSpec([stage()]), ['a']);
    d.fail(d.take(), 0, 'dead');
    d.hello('later');
    d.worker({ kind: 'goodbye' }, 'w1');
    isForgottenAfterAll(d);
    d.takeOver();
    isForgottenAfterAll(d);
    expect(d.view(job).error).toMatchObject({ worker: 'w1' });
    expect(names(d)).toEqual(['stays', 'w1', 'later']);
    d.client({ kind: 'deleteJob', request: 0, job });
    isForgottenAfterAll(d);
    expect(names(d)).toEqual(['stays']);
  });

  it('are not remembered for the sake of jobs that were opened later', () => {
    const d = new Driver(1, false);
    d.hello('stays');
    d.hello('w1');
    d.worker({ kind: 'goodbye' }, 'w1');
    d.submit(jobSpec([stage()]), ['a']);
    isForgottenAfterAll(d);
    expect(names(d)).toEqual(['stays']);
  });

  it('are not kept without end for a job without end: of the first of them no name is left', () => {
    const d = new Driver(1, false, { goneMs, goneMax: 2 });
    d.hello('stays', { slots: 0 });
    d.client({ kind: 'submit', request: 0, spec: jobSpec([stage()]), digest: 'd' });
    const { job } = (d.told.at(-1)!.message as { value: SubmitReply } & { kind: 'reply' }).value;
    for (let i = 0; i < 5; i++) {
      d.hello(`w${i}`);
      d.client({ kind: 'inputs', job, stage: 0, from: i, ...pack([String(i)]) });
      d.done(d.take(), (text) => text);
      d.worker({ kind: 'goodbye' }, `w${i}`);
      d.passWithBeats(1_000, ['stays']);
    }
    isForgottenAfterAll(d);
    expect(names(d)).toEqual(['stays', 'w3', 'w4']);
    for (const again of [false, true]) {
      if (again) d.takeOver();
      d.delivered.length = 0;
      expect(d.read(job)).toEqual(['0', '1', '2', '3', '4']);
      const { workers, workerNames } = d.delivered[0]!;
      expect([...workers].map((at) => workerNames[at])).toEqual(['', '', '', 'w3', 'w4']);
    }
  });

  it('and had handed back what may start once only: after a takeover it is not blamed for those whom nobody knows', () => {
    const d = new Driver(1, false, { goneMs, goneMax: 0 });
    d.hello('stays', { slots: 0 });
    d.hello('w1');
    const job = d.submit(jobSpec([stage(undefined, { crashLimit: 0 })]), ['a']);
    d.take();
    d.worker({ kind: 'goodbye' }, 'w1');
    isForgottenAfterAll(d);
    expect(names(d)).toEqual(['stays']);
    d.takeOver();
    d.hello('w2');
    d.work(([text]) => text!);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', retried: 0 });
  });

  it('are fenced when they come back to the leader that has forgotten them, and new to the next (W12)', () => {
    const d = new Driver(1, false);
    d.hello('stays');
    d.hello('w1');
    d.passWithBeats(10_000, ['stays']);
    isForgottenAfterAll(d);
    const hello = { kind: 'hello' as const, address: 'worker.w1.i1', slots: 1, labels: {}, resources: {}, queues: ['default'] };
    const rest = { host: 'here', pid: 1, version: '0.0.0', code: { kind: 'any' }, welcomed: 1 } as const;
    d.worker({ ...hello, ...rest }, 'w1');
    expect(d.sent.at(-1)).toMatchObject({ address: 'worker.w1.i1', message: { kind: 'fenced' } });
    expect(names(d)).toEqual(['stays']);
    d.takeOver();
    d.worker({ ...hello, ...rest }, 'w1');
    expect(d.sent.at(-1)).toMatchObject({ address: 'worker.w1.i1', message: { kind: 'welcome', term: 2 } });
  });
});

it('an index that was somebody’s is given again as late as can be', () => {
  const state = createState({ writer: 'w', registryStream: 'registry', isOneMachine: false });
  const join = (index: number): void => {
    const worker = { index } as (typeof state.workers)[number];
    state.workers.push(worker);
    state.workersByIndex.set(index, worker);
  };
  expect(freeIndex(state)).toBe(0);
  join(0);
  join(7);
  expect(freeIndex(state)).toBe(8);
  join(workersMax - 1);
  expect(freeIndex(state)).toBe(1);
});

it('jobs that were dropped while no worker was there are not kept until one comes', () => {
  const d = new Driver(1, false);
  for (let i = 0; i < 3; i++) {
    const job = d.submit(jobSpec([stage()]), ['a']);
    d.client({ kind: 'deleteJob', request: 0, job });
  }
  expect(d.state.rings).toEqual([]);
});
