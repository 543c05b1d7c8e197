import { describe, expect, it } from 'vitest';
import { type Outside, realOutside } from '../lib/outside.ts';
import { Calls } from './calls.ts';
import { HeldLease } from './leadership.ts';
import { type Claim, leaseElection } from './lease.ts';

it('who resigns when its time is over has lost, though no timer has told it yet (C04; found by the simulator, seed 1045004)', async () => {
  let nowMs = 0;
  const never = { cancel: () => undefined, ref: () => undefined, unref: () => undefined };
  const outside: Outside = { ...realOutside, nowMs: () => nowMs, after: () => never };
  const claim = { take: async () => 2_000, renew: async () => true, release: async () => undefined };
  const calls = new Calls({ name: 'a test', outside, onWarning: () => undefined });
  const lease = new HeldLease({ claim, calls, outside, ttlMs: 2_000, startMs: 0, release: async () => undefined, onOver: () => undefined });
  expect(lease.lost.aborted).toBe(false);
  nowMs = 1_500;
  await lease.resign();
  expect(lease.lost.aborted).toBe(true);
});

describe('who was granted the lease late', () => {
  /** A store whose takes and renewals answer correctly, after so long. */
  function slowStore(takesMs: number, renewalsMs: () => number) {
    let nowMs = 0;
    const warnings: string[] = [];
    const calls: string[] = [];
    const later =
      <T>(name: string, lastsMs: () => number, answer: T) =>
      async (): Promise<T> => {
        calls.push(name);
        nowMs += lastsMs();
        return answer;
      };
    const take = later('take', () => takesMs, 2_000);
    const claim: Claim = { take, renew: later('renew', renewalsMs, true), release: later('release', () => 0, undefined) };
    const store = { name: 'a test', claim: () => claim, holder: async () => undefined, close: async () => undefined };
    // What is waited for comes at once, and the time with it.
    const after: Outside['after'] = (ms, act) =>
      realOutside.after(ms > 1_000 ? ms : 0, () => {
        nowMs += ms;
        act();
      });
    const outside: Outside = { ...realOutside, nowMs: () => nowMs, after };
    return { election: leaseElection(store, { cluster: 'a', outside, onWarning: (line) => warnings.push(line) }), calls, warnings };
  }
  const me = { id: 'a', address: 'hello' };

  it('makes sure that a renewal is quick enough before it leads: it would lose it at once (C10)', async () => {
    const { election, calls, warnings } = slowStore(1_000, () => 600);
    const leadership = await election.campaign(me, new AbortController().signal);
    expect(calls).toEqual(['take', 'renew']);
    expect(leadership.lost.aborted).toBe(false);
    expect(warnings).toEqual([]);
    await election.close();
  });

  it('lets go of it where it is not, for another may be nearer, and says once that it is too slow (C10)', async () => {
    const lastMs = [700, 800, 900, 600];
    const { election, calls, warnings } = slowStore(700, () => lastMs.shift()!);
    await election.campaign(me, new AbortController().signal);
    const tooLate = ['take', 'renew', 'release'];
    expect(calls).toEqual([...tooLate, ...tooLate, ...tooLate, 'take', 'renew']);
    expect(warnings).toEqual([
      'the election at a test answers too slowly to lead, and is tried again: a renewal took 700 ms, of 666 that it may take',
      'the election at a test answers soon enough again',
    ]);
    await election.close();
  });
});

it('of a store that is known to be slow it is no news that it misses a deadline', async () => {
  const warnings: string[] = [];
  const outside: Outside = { ...realOutside, after: (_ms, act) => realOutside.after(0, act) };
  const calls = new Calls({ name: 'a test', outside, onWarning: (line) => warnings.push(line) });
  calls.tooSlow(700, 666);
  calls.tooSlow(700, 666);
  await expect(calls.make(10, () => new Promise(() => undefined))).rejects.toMatchObject({ code: 'SH3010' });
  await calls.make(10, async () => undefined);
  expect(warnings).toEqual([expect.stringContaining('too slowly')]);
  await expect(calls.make(10, () => Promise.reject(new Error('refused')))).rejects.toMatchObject({ code: 'SH3010' });
  expect(warnings).toEqual([expect.anything(), expect.stringContaining("can't be reached")]);
});
