/** Versions of jobs and queues: what raises them, who is refused, and what a repeated change is told (issue 6, A03). */
import { describe, expect, it } from 'vitest';
import type { CancelReply, PurgeReply, QueueReply, ReplayReply } from './answers.ts';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { changesKept } from './limits.ts';
import type { FromClient, Refusal } from './messages.ts';

const tolerant = () => jobSpec([stage(undefined, { failuresMax: { count: 9 } })]);

/** A job of two that has failed in both. */
function failedJob(d: Driver): string {
  d.hello('w1', { slots: 4 });
  const job = d.submit(tolerant(), ['a', 'b']);
  failAll(d);
  return job;
}

function failAll(d: Driver): void {
  for (const assigned of d.assigned.splice(0)) {
    for (let r = 0; r < assigned.ranges.length; r += 2) {
      for (let i = 0; i < assigned.ranges[r + 1]!; i++) d.fail(assigned, assigned.ranges[r]! + i, 'dead');
    }
  }
}

function refusalOf(ask: () => unknown): Refusal {
  try {
    ask();
  } catch (error) {
    const { code, message, why, hint } = error as Refusal;
    return { code, message, ...(why !== undefined && { why }), ...(hint !== undefined && { hint }) };
  }
  throw new Error('it was not refused');
}

describe('the version of a job', () => {
  it('counts what people do, and not what its tasks do or what changes nothing', () => {
    const d = new Driver(1, false);
    const job = failedJob(d);
    expect(d.view(job)).toMatchObject({ state: 'succeeded', failed: 2, version: 0 });
    expect(d.ask<CancelReply>({ kind: 'cancel', job, reason: 'late' })).toEqual({ cancelled: false, state: 'succeeded', version: 0 });
    expect(d.ask<ReplayReply>({ kind: 'replay', job })).toEqual({ replayed: 2, version: 1 });
    failAll(d);
    expect(d.ask<PurgeReply>({ kind: 'purge', job, index: 0 })).toEqual({ purged: 1, version: 2 });
    expect(d.ask<PurgeReply>({ kind: 'purge', job, index: 0 })).toEqual({ purged: 0, version: 2 });
    expect(d.ask<ReplayReply>({ kind: 'replay', job })).toEqual({ replayed: 1, version: 3 });
    expect(d.ask<CancelReply>({ kind: 'cancel', job, reason: 'enough' })).toEqual({ cancelled: true, state: 'cancelled', version: 4 });
    expect(d.ask<{ jobs: unknown[] }>({ kind: 'listJobs', limit: 1 }).jobs).toMatchObject([{ job, version: 4 }]);
    d.takeOver();
    expect(d.view(job)).toMatchObject({ state: 'cancelled', version: 4 });
  });

  it('counts one for a replay of several stages, and for one that only waits for inputs again', () => {
    const d = new Driver(1, false);
    d.hello('w1', { slots: 4 });
    const chain = d.submit(
      jobSpec([stage(undefined, { failuresMax: { count: 9 } }), stage({ kind: 'each', from: 0 }, { failuresMax: { count: 9 } })]),
      ['a', 'b'],
    );
    failAll(d);
    expect(d.ask<ReplayReply>({ kind: 'replay', job: chain })).toEqual({ replayed: 4, version: 1 });
    const open = d.submit(jobSpec([stage()]), [], false);
    d.ask({ kind: 'cancel', job: open, reason: 'enough' });
    expect(d.ask<ReplayReply>({ kind: 'replay', job: open })).toEqual({ replayed: 0, version: 2 });
    expect(d.view(open).state).toBe('queued');
  });

  it('refuses a change that was decided on at another, and tells what has happened since', () => {
    const d = new Driver(1, false);
    const job = failedJob(d);
    d.ask({ kind: 'replay', job, expectedVersion: 0 });
    d.pass(61_000);
    d.ask({ kind: 'cancel', job, reason: 'enough', expectedVersion: 1 });
    d.pass(2_000);
    expect(refusalOf(() => d.ask({ kind: 'purge', job, expectedVersion: 0 }))).toEqual({
      code: 'SH1414',
      message: `job ${job} is at version 2, and you looked at 0`,
      why: 'since then it was replayed 63.0 s ago (version 1), cancelled 2.0 s ago (version 2)',
      hint: `look again: shoal jobs get ${job}`,
    });
    expect(refusalOf(() => d.ask({ kind: 'deleteJob', job, expectedVersion: 7 })).why).toBe('it has never been at version 7');
    for (const kind of ['cancel', 'replay', 'purge', 'deleteJob'] as const) {
      expect(refusalOf(() => d.ask({ kind, job, reason: 'x', expectedVersion: 1 })).code).toBe('SH1414');
    }
    expect(d.view(job).version).toBe(2);
    expect(d.ask({ kind: 'deleteJob', job, expectedVersion: 2 })).toEqual({});
    expect(refusalOf(() => d.ask({ kind: 'cancel', job, reason: 'x', expectedVersion: 2 })).code).toBe('SH1401');
  });

  it('lets one of two through who decided on the same, in one batch and under another leader', () => {
    const d = new Driver(1, false);
    const job = failedJob(d);
    const both: FromClient[] = [
      { kind: 'purge', request: 901, job, expectedVersion: 0 },
      { kind: 'replay', request: 902, job, expectedVersion: 0 },
    ];
    d.turn(both.map((message, at) => ({ from: 'client', session: `operator ${at}`, message, newId: `unused${at}` })));
    expect(d.told.slice(-2).map(({ session, message }) => [session, message.kind])).toEqual([
      ['operator 0', 'reply'],
      ['operator 1', 'refusal'],
    ]);
    d.takeOver();
    expect(refusalOf(() => d.ask({ kind: 'replay', job, expectedVersion: 0 })).message).toContain('is at version 1');
    expect(d.ask<ReplayReply>({ kind: 'replay', job, expectedVersion: 1 })).toEqual({ replayed: 0, version: 1 });
  });

  it('answers a change that is said again as it was, whatever has come since, and does not make it twice (A03)', () => {
    const d = new Driver(1, false);
    const job = failedJob(d);
    const replay = { kind: 'replay', job, change: 'mine', expectedVersion: 0 };
    expect(d.ask(replay)).toEqual({ replayed: 2, version: 1 });
    expect(d.ask(replay)).toEqual({ replayed: 2, version: 1 });
    failAll(d);
    d.takeOver();
    expect(d.ask(replay)).toEqual({ replayed: 2, version: 1 });
    const purge = { kind: 'purge', job, change: 'yours' };
    expect(d.ask(purge)).toEqual({ purged: 2, version: 2 });
    expect([d.ask(replay), d.ask(purge)]).toEqual([
      { replayed: 2, version: 1 },
      { purged: 2, version: 2 },
    ]);
    expect(d.view(job)).toMatchObject({ version: 2, failed: 2 });
    const open = d.submit(tolerant(), ['a']);
    const cancel = { kind: 'cancel', job: open, reason: 'enough', change: 'mine' };
    expect([d.ask(cancel), d.ask(cancel)]).toEqual([
      { cancelled: true, state: 'cancelled', version: 1 },
      { cancelled: true, state: 'cancelled', version: 1 },
    ]);
  });

  it('keeps so many changes that it tells of them, and counts all', () => {
    const d = new Driver(1, false);
    const job = failedJob(d);
    for (let i = 0; i < changesKept + 3; i++) {
      d.ask({ kind: 'replay', job, change: `replay ${i}`, expectedVersion: i });
      failAll(d);
    }
    const { version, last } = d.state.jobs.get(job)!.changes;
    expect([version, last.length]).toEqual([changesKept + 3, changesKept]);
    expect(refusalOf(() => d.ask({ kind: 'purge', job, expectedVersion: 1 })).why).toMatch(/^since then it was changed, and then replayed/);
    // Too long ago to be known: a change again, if nothing was expected.
    expect(refusalOf(() => d.ask({ kind: 'replay', job, change: 'replay 1', expectedVersion: 1 })).code).toBe('SH1414');
  });
});

describe('the version of a queue', () => {
  const set = (d: Driver, paused: boolean, more: Record<string, unknown> = {}): QueueReply =>
    d.ask({ kind: 'setQueue', queue: 'other', paused, ...more });

  it('counts pauses and resumptions, lets one of two through, and outlives leaders and rolls of the registry', () => {
    const d = new Driver(1, false);
    expect(set(d, false)).toEqual({ paused: false, version: 0 });
    expect(set(d, true, { expectedVersion: 0, change: 'a' })).toEqual({ paused: true, version: 1 });
    expect(refusalOf(() => set(d, true, { expectedVersion: 0, change: 'b' }))).toEqual({
      code: 'SH1414',
      message: 'queue "other" is at version 1, and you looked at 0',
      why: 'since then it was paused 0 ms ago (version 1)',
      hint: 'look again: shoal queues list',
    });
    expect(set(d, false, { expectedVersion: 1 })).toEqual({ paused: false, version: 2 });
    expect(set(d, true, { expectedVersion: 0, change: 'a' })).toEqual({ paused: true, version: 1 });
    const { rolls } = d;
    for (let i = 0; d.rolls < rolls + 2; i++) d.ask({ kind: 'setQueue', queue: 'busy', paused: i % 2 === 0 });
    d.takeOver();
    expect(refusalOf(() => set(d, true, { expectedVersion: 0 })).message).toContain('is at version 2');
    expect(set(d, true, { expectedVersion: 0, change: 'a' })).toEqual({ paused: true, version: 1 });
    expect(d.state.pausedQueues.has('other')).toBe(false);
    expect(set(d, true, { expectedVersion: 2 })).toEqual({ paused: true, version: 3 });
    expect(d.ask<unknown[]>({ kind: 'listQueues' })).toContainEqual(expect.objectContaining({ queue: 'other', version: 3 }));
  });

  it('of a journal from before there were versions is what it tells of', () => {
    const d = new Driver(1, false);
    for (const paused of [true, false, true]) set(d, paused);
    const job = d.submit(tolerant(), ['a']);
    d.ask({ kind: 'cancel', job, reason: 'enough' });
    for (const entries of d.journal.values()) {
      for (const entry of entries) {
        entry.facts = entry.facts.filter(({ fact }) => fact !== 'job-changed');
        for (const fact of entry.facts) if (fact.fact === 'queue-set') delete fact.wallMs;
      }
    }
    d.takeOver();
    expect(d.state.jobs.get(job)).toMatchObject({ outcome: 'cancelled', changes: { version: 0, last: [] } });
    expect(d.state.queueChanges.get('other')?.version).toBe(3);
    expect(refusalOf(() => set(d, false, { expectedVersion: 2 })).why).toBe('since then it was paused (version 3)');
  });
});
