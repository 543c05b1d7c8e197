import { expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';

/** What a new leader reads of the registry: of the root all, then what that names. */
function read(d: Driver): { streams: string[]; facts: number } {
  const streams = [...d.journal.keys()].filter((name) => name.startsWith('registry'));
  return { streams, facts: streams.flatMap((name) => d.journal.get(name)!).reduce((sum, { facts }) => sum + facts.length, 0) };
}

it('what a new leader reads is bounded by the jobs that live, and not by those that have been', () => {
  const d = new Driver();
  d.hello();
  const kept = d.submit(jobSpec([stage()], { keepMs: 3_600_000, key: 'kept' }), ['a']);
  d.client({ kind: 'setQueue', request: 0, queue: 'other', paused: true });
  for (let i = 0; i < 500; i++) {
    const job = d.submit(jobSpec([stage()], { keepMs: 1000 }), ['b']);
    d.client({ kind: 'cancel', request: 0, job, reason: 'enough' });
    d.client({ kind: 'deleteJob', request: 0, job });
    if (i % 10 === 9) d.turn([{ from: 'self', event: 'streamsGone', streams: [...d.state.orphans] }]);
  }
  expect(d.rolls).toBeGreaterThan(20);
  const { streams, facts } = read(d);
  expect(streams).toHaveLength(2);
  // Each roll leaves one fact in the root; what is gone is written once more until its space is known to be free.
  expect(facts).toBeLessThan(d.rolls + 80);
  d.takeOver();
  expect([...d.state.pausedQueues]).toEqual(['other']);
  expect(d.state.keys.get('kept')).toBe(kept);
  expect(d.view(kept)).toMatchObject({ total: 1 });
});

it('leaders that come and go read the same as those that stayed, and what one half rolled into is dropped by the next (S11)', () => {
  const d = new Driver();
  for (let life = 0; life < 30; life++) {
    d.hello('w', { incarnation: `life-${life}` });
    for (let i = 0; i < 7; i++) d.client({ kind: 'setQueue', request: 0, queue: `q${i}`, paused: (life + i) % 2 === 0 });
    d.takeOver();
  }
  expect(d.rolls).toBeGreaterThan(5);
  expect(d.state.workersByName.get('w')!.past.size).toBeGreaterThan(25);
  expect([...d.state.pausedQueues].sort()).toEqual(['q1', 'q3', 'q5']);
});

it('a program that a job ran before its code changed stays as long as the job, also when the registry rolls (I8)', () => {
  const d = new Driver(1, false, { rollFactsMin: 4 });
  const submit = (bundle: string): string => {
    d.client({ kind: 'putBundle', request: 900, hash: bundle, name: 'p', body: [new Uint8Array(3)] });
    return d.submit(jobSpec([stage(undefined, { definition: { name: 'x', bundle } })], { key: 'k' }), undefined);
  };
  const job = submit('A');
  expect(submit('B')).toBe(job);
  for (let i = 0; i < 40; i++) d.ask({ kind: 'setQueue', queue: 'q', paused: i % 2 === 0 });
  expect(d.rolls).toBeGreaterThan(1);
  d.takeOver();
  expect([...d.state.bundles.values()].map(({ hash, jobs }) => [hash, ...jobs])).toEqual([
    ['A', job],
    ['B', job],
  ]);
  d.ask({ kind: 'cancel', job, reason: 'x' });
  d.ask({ kind: 'deleteJob', job });
  expect(d.state.bundles.size).toBe(0);
});
