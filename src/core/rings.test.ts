/** Lines of jobs that wait: what a turn costs, and that nobody stands in the way of others. */
import { expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { schedule } from './schedule.ts';
import type { StageSpec } from './spec.ts';
import { Turn } from './turn.ts';

const one = (options: Partial<StageSpec> = {}, feed?: StageSpec['feed']) => jobSpec([stage(feed, options)]);
const noCode = { name: 'ShoalError', code: 'SH5001', message: 'no such task' };

/** Of one worker that runs `busy` tasks and takes no more. */
function full(d: Driver): void {
  d.hello('w1', { slots: 1 });
  d.submit(one({ chunkSize: 1 }), ['a', 'b', 'c']);
}

it('a turn in which nobody takes anything looks at one of a hundred jobs that wait', () => {
  const d = new Driver();
  full(d);
  let looks = 0;
  for (let i = 0; i < 100; i++) {
    const job = d.state.jobs.get(d.submit(one(), undefined))!;
    const { stages } = job;
    d.client({ kind: 'inputs', job: job.id, stage: 0, from: 0, lengths: Uint32Array.of(1), body: [new Uint8Array(1)] });
    const look = (): typeof stages => {
      looks++;
      return stages;
    };
    Object.defineProperty(job, 'stages', { get: look });
  }
  looks = 0;
  const handedOut = d.assigned.length;
  schedule(d.state, new Turn({ nowMs: d.nowMs, wallMs: d.wallMs, seed: 1 }, new Map()));
  expect(d.assigned).toHaveLength(handedOut);
  expect(looks).toBeLessThan(10);
});

it('a turn looks at each line a few times, however many there are that nobody serves (L02)', () => {
  const looksAt = (count: number): number => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 1 });
    const inputs = { kind: 'inputs', stage: 0, from: 0, lengths: Uint32Array.of(1), body: [new Uint8Array(1)] } as const;
    for (let i = 0; i < count; i++) d.client({ ...inputs, job: d.submit(one({ queue: `tenant-${i}` }), undefined) });
    let looks = 0;
    expect(d.state.rings[0]!.lines.size).toBe(count);
    for (const line of d.state.rings[0]!.lines.values()) {
      const { first } = line;
      const look = (): typeof first => {
        looks++;
        return first;
      };
      Object.defineProperty(line, 'first', { get: look });
    }
    schedule(d.state, new Turn({ nowMs: d.nowMs, wallMs: d.wallMs, seed: 1 }, new Map()));
    return looks;
  };
  expect(looksAt(80)).toBeLessThan(6 * looksAt(20));
});

it('jobs that wait for one thing do not hold up those that wait for another', () => {
  const d = new Driver();
  d.hello('w1', { slots: 4, resources: { gpu: 1 } });
  d.submit(one({ resources: { gpu: 1 } }), ['a', 'b']);
  for (let i = 0; i < 3; i++) d.submit(one({ resources: { gpu: 1 } }), ['c']);
  d.assigned.length = 0;
  const other = d.submit(one(), ['d']);
  expect(d.assigned.map(({ job }) => job)).toEqual([other]);
});

it('a stage that has something to do at last is seen, wherever its job stands (L02)', () => {
  const d = new Driver();
  d.hello('w1', { slots: 4, resources: { gpu: 1 } });
  const gpu = { resources: { gpu: 1 } };
  d.submit(one(gpu), ['c']);
  const graph = d.submit(jobSpec([stage(undefined, gpu), stage({ kind: 'each', from: 0 })]), ['a', 'b']);
  const others = ['d', 'e'].map((input) => d.submit(one(gpu), [input]));
  for (const job of [graph, others[0]]) {
    d.done(d.take(), (frame) => frame);
    expect(d.assigned[0]!.job).toBe(job);
  }
  expect(d.assigned.map(({ job, stage: at }) => [job, at])).toContainEqual([graph, 1]);
});

it('a job of very many kinds has a line of its own, whatever comes to them', () => {
  const d = new Driver();
  full(d);
  const stages = Array.from({ length: 20 }, (_, i) => stage(undefined, { chunkSize: i + 1 }));
  const job = d.submit(jobSpec(stages), undefined);
  for (let at = 0; at < stages.length; at++) {
    d.client({ kind: 'inputs', job, stage: at, from: 0, lengths: Uint32Array.of(1), body: [new Uint8Array(1)] });
  }
  d.hello('w2', { slots: 20 });
  expect(d.assigned.filter((assigned) => assigned.job === job)).toHaveLength(20);
});

it('who has been refused by a worker does not stand in the way of those whom it would take (V01)', () => {
  const d = new Driver(1, false);
  d.hello('w1', { slots: 1 });
  const first = d.submit(one({ chunkSize: 1 }), ['a']);
  const refused = d.take();
  d.report(refused, { kind: 'refused', ranges: refused.ranges, why: 'no code', error: noCode });
  expect(d.assigned).toEqual([]);
  const second = d.submit(one({ chunkSize: 1 }), ['b']);
  expect(d.assigned.map(({ job }) => job)).toEqual([second]);
  d.hello('w2', { slots: 1 });
  expect(d.assigned.map(({ job, worker }) => [job, worker])).toContainEqual([first, 'w2']);
});

it('a worker that refused a program may have the next one that its job is given (V01)', () => {
  const d = new Driver(1, false);
  for (const hash of ['old', 'new']) d.ask({ kind: 'putBundle', hash, name: 'p.ts', body: [new Uint8Array(1)] });
  d.hello('w1', { slots: 1, code: { kind: 'named', names: [], bundles: true } });
  const of = (bundle: string) => jobSpec([stage(undefined, { definition: { name: 'inputs', bundle } })], { key: 'k' });
  d.submit(of('old'), ['a']);
  const refused = d.take();
  d.report(refused, { kind: 'refused', ranges: refused.ranges, why: 'no code', error: noCode });
  expect(d.assigned).toEqual([]);
  d.submit(of('new'), undefined);
  expect(d.assigned.map(({ definition }) => definition.bundle)).toEqual(['new']);
});
