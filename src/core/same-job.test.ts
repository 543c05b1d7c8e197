import { expect, it } from 'vitest';
import { jobSpec, stage } from './drive.suite.ts';
import { differences } from './same-job.ts';
import type { JobSpec, StageSpec } from './spec.ts';

const was = jobSpec([stage()]);
const of = (options: Partial<StageSpec>, job: Partial<JobSpec> = {}): string[] =>
  differences(was, jobSpec([stage(undefined, options)], job));

it('names what another job under the same key has otherwise, as people write it (A02)', () => {
  expect(differences(was, structuredClone(was))).toEqual([]);
  expect(of({ retry: { ...was.stages[0]!.retry, retries: 9, delayMs: 5 }, timeoutMs: 10 })).toEqual([
    'timeout (then none, now 10)',
    'retries (then 0, now 9)',
    'retries.delay (then 1000, now 5)',
  ]);
  expect(of({ definition: { name: 'other' } }, { name: 'other' })).toEqual(['name (then job, now other)', 'task (then inputs, now other)']);
  expect(of({ resources: { gpu: 1 } })).toEqual(['resources']);
  expect(of({ resources: {}, definition: { name: 'inputs', bundle: 'elsewhere' } }, { priority: 5, tags: { a: 'b' } })).toEqual([]);
  expect(differences(was, jobSpec([stage(), stage({ kind: 'each', from: 0 })]))).toContain('number of stages (then 1, now 2)');
});

it('has a name for each option of a stage', () => {
  const others: Required<Omit<StageSpec, 'definition' | 'retry'>> = {
    feed: { kind: 'each', from: 0 },
    args: [],
    template: 'x',
    after: [0],
    queue: 'other',
    resources: { gpu: 1 },
    timeoutMs: 1,
    ttlMs: 1,
    crashLimit: 9,
    failuresMax: { count: 9 },
    onFailure: 'drop',
    chunkSize: 9,
    concurrency: 9,
  };
  for (const [name, value] of Object.entries(others)) expect(of({ [name]: value }), name).toHaveLength(1);
});
