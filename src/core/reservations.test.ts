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

  it('what needs none of it is not held up', () => {
    const d = besides({ gpu: 1 });
    d.submit(jobSpec([needs({ gpu: 4 })]), texts(3));
    const other = d.submit(jobSpec([stage()]), texts(2));
    expect(d.assigned.filter(({ job }) => job === other).reduce((sum, { lengths }) => sum + lengths.length, 0)).toBe(2);
  });

  it('it loses none of its turns where it waits for slots and not for units', () => {
    const d = besides({ gpu: 0.1 });
    const wide = d.submit(jobSpec([needs({ gpu: 2 })]), texts(3));
    expect(endedUntilDone(d, wide, 500)).toBeLessThan(100);
    expect(d.assigned.length).toBeGreaterThanOrEqual(8);
  });
});
