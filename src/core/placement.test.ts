/** What a worker is given of a job beside what it holds of others. */
import { expect, test } from 'vitest';
import { type Assigned, Driver, jobSpec, stage } from './drive.suite.ts';
import { wants } from './placement.ts';
import { indicesOf, RangeList } from './ranges.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));
const other = stage({ kind: 'inputs' }, { definition: { name: 'other' } });

interface Held {
  assigned: Assigned;
  index: number;
}

/** Runs what `job` has been assigned in the order in which that came, `count` tasks at a time, until it ends or `isDone`. */
function runInOrder(d: Driver, job: string, held: Held[], count: number, durationUs: number, isDone: () => boolean): void {
  while (!isDone()) {
    const own = d.assigned.filter((assigned) => assigned.job === job);
    d.assigned = d.assigned.filter((assigned) => assigned.job !== job);
    for (const assigned of own) for (const index of indicesOf(assigned.ranges)) held.push({ assigned, index });
    const [first] = held;
    if (!first) return;
    const done = held.splice(0, count).filter(({ assigned }) => assigned === first.assigned);
    const ranges = new RangeList();
    for (const { index } of done) ranges.add(index);
    d.report(first.assigned, {
      kind: 'results',
      ranges: ranges.take(),
      lengths: new Uint32Array(done.length),
      durations: new Uint32Array(done.length).fill(durationUs),
      body: [],
    });
    d.pass(5);
  }
}

test('thousands of tiny tasks do not keep out a job that nobody has measured (L02)', () => {
  const d = new Driver();
  d.hello('w1', { slots: 1 });
  const many = d.submit(jobSpec([stage()]), texts(4_000));
  const held: Held[] = [];
  const measured = (): boolean => d.state.workers[0]!.heldTasks > 100;
  runInOrder(d, many, held, 1, 100, measured);
  const urgent = d.submit(jobSpec([other], { priority: 10 }), texts(1));
  const isServed = (): boolean => d.assigned.some(({ job }) => job === urgent);
  runInOrder(d, many, held, 20, 100, isServed);
  expect(isServed()).toBe(true);
  expect(d.view(many).succeeded).toBeLessThan(2_000);
});

test('tasks in lanes do not keep out a job without (L02)', () => {
  const d = new Driver();
  d.hello('w1', { slots: 1 });
  const many = d.submit(jobSpec([stage({ kind: 'inputs' }, { concurrency: 10 })]), texts(400));
  const held: Held[] = [];
  runInOrder(d, many, held, 1, 100_000, () => d.view(many).succeeded === 50);
  const urgent = d.submit(jobSpec([other], { priority: 10 }), texts(1));
  const isServed = (): boolean => d.assigned.some(({ job }) => job === urgent);
  runInOrder(d, many, held, 1, 100_000, isServed);
  expect(isServed()).toBe(true);
  expect(d.view(many).succeeded).toBeLessThan(100);
});

test('tasks that share a slot in lanes count as a part of one', () => {
  const d = new Driver();
  d.hello('w1', { slots: 2 });
  d.submit(jobSpec([stage({ kind: 'inputs' }, { concurrency: 10 })]), texts(10));
  expect(d.state.workers[0]).toMatchObject({ heldTasks: 10, heldSlots: 1 });
  const job = d.submit(jobSpec([other]), texts(9));
  expect(d.state.workers[0]).toMatchObject({ heldTasks: 13, heldSlots: 4 });
  expect(wants(d.state, d.state.workers[0]!, d.state.jobs.get(job)!.stages[0]!, d.nowMs)).toBe(0);
});
