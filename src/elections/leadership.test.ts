import { expect, it } from 'vitest';
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

it('who was granted the lease late makes sure that a renewal is quick enough before it leads: it would lose it at once (C10)', async () => {
  let nowMs = 0;
  const outside: Outside = { ...realOutside, nowMs: () => nowMs };
  const answersAfterMs = [1_000, 600];
  const claim: Claim = {
    take: async () => {
      nowMs += answersAfterMs.shift()!;
      return 2_000;
    },
    renew: async () => true,
    release: async () => undefined,
  };
  const store = { name: 'a test', claim: () => claim, holder: async () => undefined, close: async () => undefined };
  const election = leaseElection(store, { cluster: 'a', outside });
  const leadership = await election.campaign({ id: 'a', address: 'hello' }, new AbortController().signal);
  expect(answersAfterMs).toEqual([]);
  expect(leadership.lost.aborted).toBe(false);
  await election.close();
});
