import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

/** Ends what was begun first, one task after another, until the job has nothing left or so many have ended: how many that took. */
function endedUntilDone(d: Driver, job: string, most: number): number {
  for (let count = 0; count < most; count++) {
    if (d.view(job).state === 'succeeded') return count;
    d.workOne(d.assigned.shift()!, ([frame]) => frame!);
  }
  return most;
}

/** Assigned, and not ended. */
function tasksOf(d: Driver, job: string): number {
  return d.assigned.filter((assigned) => assigned.job === job).reduce((sum, { lengths }) => sum + lengths.length, 0);
}

describe('beside a job that takes each unit as it becomes free', () => {
  const needs = (resources: Record<string, number>) => stage(undefined, { chunkSize: 1, resources });
  function besides(resources: Record<string, number>, workers = 1): Driver {
    const d = new Driver();
    for (let i = 1; i <= workers; i++) d.hello(`w${i}`, { slots: 8, resources: { cpu: 8, memory: 100, gpu: 4 } });
    d.submit(jobSpec([needs(resources)]), texts(2_000));
    return d;
  }

  it.each([1, 3])('one that wants all units of a worker gets its turns (workers: %i)', (workers) => {
    const d = besides({ gpu: 1 }, workers);
    const wide = d.submit(jobSpec([needs({ gpu: 4 })]), texts(3));
    expect(endedUntilDone(d, wide, 500)).toBeLessThan(100);
  });

  it('one that wants more than there is of what every machine has runs alone', () => {
    const d = besides({ memory: 20 });
    const large = d.submit(jobSpec([needs({ memory: 1_000 })]), texts(2));
    expect(endedUntilDone(d, large, 500)).toBeLessThan(100);
  });

  it('what it does not need itself is given to others', () => {
    const d = new Driver();
    d.hello('w1', { slots: 8, resources: { cpu: 8, gpu: 1 } });
    d.submit(jobSpec([needs({ gpu: 1, cpu: 1 })]), texts(3));
    const small = d.submit(jobSpec([stage(undefined, { resources: { cpu: 1 } })]), texts(300));
    // One core is taken, and one is kept for the next that gets the device.
    expect(tasksOf(d, small)).toBe(6);
  });

  it('it is kept a worker that is free soon, and not one with a task of an hour', () => {
    const d = new Driver();
    for (const name of ['w1', 'w2']) d.hello(name, { slots: 4, resources: { cpu: 4 } });
    const long = d.submit(jobSpec([needs({ cpu: 1 })]), texts(1));
    d.assigned.length = 0;
    d.submit(jobSpec([needs({ cpu: 1 })]), texts(400));
    const wide = d.submit(jobSpec([needs({ cpu: 4 })]), texts(1));
    for (let rounds = 0; rounds < 100 && tasksOf(d, wide) === 0; rounds++) {
      d.workOne(d.assigned.shift()!, ([frame]) => frame!);
      d.passWithBeats(200, ['w1', 'w2']);
    }
    expect(tasksOf(d, wide)).toBe(1);
    expect(d.view(long).state).toBe('running');
  });

  it('what needs none of it is not held up', () => {
    const d = besides({ gpu: 1 });
    d.submit(jobSpec([needs({ gpu: 4 })]), texts(3));
    const other = d.submit(jobSpec([stage()]), texts(2));
    expect(tasksOf(d, other)).toBe(2);
  });

  it('it loses none of its turns where it waits for slots and not for units', () => {
    const d = besides({ gpu: 0.1 });
    const wide = d.submit(jobSpec([needs({ gpu: 2 })]), texts(3));
    expect(endedUntilDone(d, wide, 500)).toBeLessThan(100);
    expect(d.assigned.length).toBeGreaterThanOrEqual(8);
  });
});
