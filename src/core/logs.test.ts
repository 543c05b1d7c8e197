import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';

function printing(): { d: Driver; job: string; print: () => void; begun: () => number[] } {
  const d = new Driver(1, false);
  d.hello('w1');
  const job = d.submit(jobSpec([stage()]), ['a', 'b']);
  const line = { wallMs: 1, job, stage: 0, index: 0, attempt: 1, task: 't', level: 'info', message: 'hi' };
  const facts = (): number[] =>
    (d.journal.get(`job.${job}`) ?? []).flatMap((entry) =>
      entry.facts.flatMap((fact) => (fact.fact === 'logs-begun' ? [fact.generation] : [])),
    );
  return { d, job, print: () => d.worker({ kind: 'logs', lines: [line, line] }), begun: facts };
}

describe('the log of a job', () => {
  it('begins with a fact, once, before its first line is stored', () => {
    const { d, job, print, begun } = printing();
    expect(begun()).toEqual([]);
    print();
    print();
    expect(begun()).toEqual([1]);
    d.takeOver();
    d.hello('w1');
    print();
    expect(begun()).toEqual([1]);
    expect(d.state.jobs.get(job)?.logs).toBe(1);
  });

  it('goes on in another stream when one is full, and the one before the last goes, with the next leader at the latest', () => {
    const { d, job, print, begun } = printing();
    print();
    for (const generation of [1, 1, 2]) d.turn([{ from: 'self', event: 'logFull', job, generation }]);
    expect(begun()).toEqual([1, 2, 3]);
    expect(d.dropped).toEqual([`logs.${job}.1`]);
    d.takeOver();
    expect(d.dropped).toEqual([`logs.${job}.1`, `logs.${job}.1`]);
  });

  it('goes with its job, with the next leader at the latest', () => {
    const { d, job, print } = printing();
    print();
    d.turn([{ from: 'self', event: 'logFull', job, generation: 1 }]);
    d.client({ kind: 'cancel', request: 0, job, reason: 'enough' });
    d.client({ kind: 'deleteJob', request: 0, job });
    const streams = [`job.${job}`, `logs.${job}.1`, `logs.${job}.2`];
    expect(d.dropped).toEqual(streams);
    d.takeOver();
    expect(d.dropped).toEqual([...streams, ...streams]);
    d.hello('w1');
    print();
    expect(d.journal.has(`job.${job}`)).toBe(false);
  });
});
