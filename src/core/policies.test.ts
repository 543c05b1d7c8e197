/** Which worker is served first. Each job here has one task, which is not finished unless a test says so. */
import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { type PolicyName, policies, policyNames } from './policies.ts';

function driver(policy: PolicyName, slots = [4, 4]): Driver {
  const d = new Driver(1, false, {}, { policy });
  slots.forEach((count, at) => d.hello(`w${at + 1}`, { slots: count, resources: { cpu: count, memory: 1e9 } }));
  return d;
}

/** Where a task of a job of its own goes. */
function next(d: Driver): string {
  d.submit(jobSpec([stage()]), ['0']);
  return d.take().worker;
}

const many = (d: Driver, count: number): string => Array.from({ length: count }, () => next(d).slice(1)).join('');

function beat(d: Driver, worker: string, number: number, cpu?: number): void {
  d.worker({ kind: 'beat', number, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0, ...(cpu !== undefined && { cpu }) }, worker);
}

describe('all policies', () => {
  it.each(policyNames)('%s: nobody is left out, and nobody is given what it can’t take', (policy) => {
    const d = driver(policy, [1, 1, 1]);
    expect(new Set(many(d, 3))).toEqual(new Set('123'));
    // Two for each slot while nobody knows how long they take; the seventh waits.
    many(d, 3);
    d.submit(jobSpec([stage()]), ['0']);
    expect(d.assigned).toEqual([]);
  });
});

describe('of a worker with one task of 80 ms and one with thirty of 1 ms', () => {
  const d = new Driver(1, false);
  d.hello('w1', { slots: 1 });
  const [worker] = d.state.workers;
  const few = { ...worker!, heldSlots: 1, heldMs: 80 };
  const many = { ...worker!, heldSlots: 30, heldMs: 30 };

  it('adaptive serves the one with less time of work', () => {
    expect(policies.adaptive(many)).toBeLessThan(policies.adaptive(few));
  });

  it('least-loaded serves the one with fewer tasks', () => {
    expect(policies['least-loaded'](few)).toBeLessThan(policies['least-loaded'](many));
  });
});

describe('adaptive', () => {
  it('serves whoever has a free slot, however long the others of its slots are taken', () => {
    const d = driver('adaptive', [16, 1]);
    const [first, second] = d.state.workers;
    const busy = { ...first!, heldSlots: 1, heldMs: 600_000 };
    expect(policies.adaptive(busy)).toBeLessThan(policies.adaptive({ ...second!, heldSlots: 1, heldMs: 30 }));
  });
});

describe('a worker that holds more tasks than it can spread over its slots', () => {
  const held = { kind: 'beat', term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 } as const;

  it('is given as many as its last beat says it has idle slots, and no more until the next', () => {
    const d = driver('adaptive', [2]);
    many(d, 4);
    d.submit(jobSpec([stage()]), ['0', '1', '2']);
    expect(d.assigned).toEqual([]);
    d.worker({ ...held, number: 1, idle: 1 });
    expect(d.assigned.map(({ ranges }) => [...ranges])).toEqual([[0, 1]]);
    d.worker({ ...held, number: 2, idle: 0 });
    expect(d.assigned).toHaveLength(1);
  });

  it('is one for which others are asked to give back what waits', () => {
    const d = driver('adaptive', [1, 1]);
    many(d, 4);
    for (let number = 1; number <= 3; number++) {
      d.worker({ ...held, number, idle: 0 }, 'w1');
      d.worker({ ...held, number, idle: 1 }, 'w2');
      d.pass(1_000);
      d.turn([{ from: 'self', event: 'tick' }]);
    }
    expect(d.sent.filter(({ address, message }) => address === 'worker.w1.i1' && message.kind === 'revoke')).not.toEqual([]);
  });
});

describe('least-loaded', () => {
  it('counts tasks for each slot', () => {
    const d = driver('least-loaded', [2, 4]);
    expect(many(d, 6)).toBe('122122');
  });
});

describe('round-robin', () => {
  it('serves one after the other, whatever they hold', () => {
    const d = driver('round-robin', [2, 4]);
    expect(many(d, 6)).toBe('121212');
  });
});

describe('least-cpu', () => {
  it('serves the worker whose machine is least in use, by whomever', () => {
    const d = driver('least-cpu');
    beat(d, 'w1', 1, 0.9);
    beat(d, 'w2', 1, 0.1);
    expect(many(d, 3)).toBe('222');
    beat(d, 'w1', 2, 0.05);
    expect(next(d)).toBe('w1');
  });

  it('counts on what it has given since to use the processors, too', () => {
    const d = driver('least-cpu');
    beat(d, 'w1', 1, 0.3);
    beat(d, 'w2', 1, 0);
    expect(many(d, 4)).toBe('2211');
  });

  it('goes by what they hold where nobody tells', () => {
    const d = driver('least-cpu', [2, 4]);
    expect(many(d, 6)).toBe('122122');
  });
});
