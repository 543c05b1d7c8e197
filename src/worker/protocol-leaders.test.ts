/** What a worker does with words that come twice or late, with leaders that change or fall silent, and when it leaves. */
import { describe, test } from 'vitest';
import { assignMessage, resultsOf, welcome, worker } from './protocol-double.suite.ts';

describe('repeated and reordered (N03, N04)', () => {
  test('the same serial again is nothing new: while held, when done, when acknowledged', () => {
    const w = worker({ slots: 1 }).welcomed();
    w.tell(assignMessage(1, 1, [0, 1]), assignMessage(1, 1, [0, 1])).expect('slot 0: run #1 0 0');
    w.done(1)
      .tell(assignMessage(1, 1, [0, 1]))
      .expect('→ coordinator.1: 1 results 1/1 0 [0]');
    w.tell({ kind: 'ackResults', term: 1, number: 1 }, assignMessage(1, 1, [0, 1])).expect();
  });

  test('an abort that comes before its assign is remembered for a while', () => {
    const w = worker({ slots: 1 }).welcomed();
    const abort = { kind: 'abort' as const, term: 1, serial: 5, ranges: Uint32Array.of(0, 2), reason: 'cancelled' };
    w.tell(abort)
      .tell(assignMessage(1, 5, [0, 2]))
      .expect();
    w.tell({ ...abort, serial: 6 })
      .tell(assignMessage(1, 6, [0, 3]))
      .expect('slot 0: run #1 0 2');
    w.tell({ ...abort, serial: 7 });
    for (let i = 0; i < 11; i++) w.tell({ kind: 'report', term: 1 }).pass(1000);
    w.take();
    w.done(1)
      .tell(assignMessage(1, 7, [0, 1]))
      .expect('→ coordinator.1: 1 results 1/6 2 [2]', 'slot 0: run #2 0 0');
  });

  test('a revoke that comes before its assign gives back at once (C16)', () => {
    const w = worker({ slots: 1 }).welcomed();
    w.tell({ kind: 'revoke', term: 1, serial: 5, ranges: Uint32Array.of(1, 2) }).tell(assignMessage(1, 5, [0, 3]));
    w.expect('→ coordinator.1: 1 released 1/5 1-2 (revoked)', 'slot 0: run #1 0 0');
  });

  test('a revoke that is said again is remembered from then on (C16, N04)', () => {
    const w = worker({ slots: 1 }).welcomed();
    const revoke = { kind: 'revoke', term: 1, serial: 5, ranges: Uint32Array.of(1, 2) } as const;
    for (let i = 0; i < 20; i++) w.tell(revoke).pass(1000);
    for (let i = 0; i < 8; i++) w.tell({ kind: 'report', term: 1 }).pass(1000);
    w.take();
    w.tell(assignMessage(1, 5, [0, 3])).expect('→ coordinator.1: 1 released 1/5 1-2 (revoked)', 'slot 0: run #1 0 0');
  });

  test('a revoke or an abort of what is over is nothing', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 1]));
    w.take();
    w.done(1).tell({ kind: 'ackResults', term: 1, number: 1 }).take();
    w.tell({ kind: 'revoke', term: 1, serial: 1, ranges: Uint32Array.of(0, 1) });
    w.tell({ kind: 'abort', term: 1, serial: 1, ranges: Uint32Array.of(0, 1), reason: 'late' }).expect();
  });
});

describe('revoke and abort', () => {
  test('a revoke gives back only what is not started (C16)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 9]));
    w.take();
    w.tell({ kind: 'revoke', term: 1, serial: 1, ranges: Uint32Array.of(0, 5) });
    w.expect('→ coordinator.1: 1 released 1/1 1-4 (revoked)', 'slot 0: revoke #1 0 (revoked)');
    w.done(1).expect('→ coordinator.1: 2 results 1/1 0 [0]', 'slot 0: run #2 0 5-6', 'slot 0: run #3 0 7-8');
  });

  test('an abort ends what runs and drops what waits; nothing more is said of either', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 9], { concurrency: 4 }));
    w.expect('slot 0: run #1 0 0-3');
    w.tell({ kind: 'abort', term: 1, serial: 1, ranges: Uint32Array.of(2, 6), reason: 'cancelled' });
    w.expect('slot 0: abort #1 2-3 (cancelled)');
    w.do(() => w.protocol.reports.onReleased(1, Uint32Array.of(3, 1), 'aborted', w.nowMs)).expect();
    // Task 2 was done before the abort reached it: it goes out of the batch of its neighbours.
    w.done(1, [0, 3]).expect('→ coordinator.1: 1 results 1/1 0-1 [0 1]');
    w.finished(1).expect('slot 0: run #2 0 8');
  });

  test('a partial with an aborted task in it is void: the others go back (rule 11)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 4], { concurrency: 4 }));
    w.take();
    w.tell({ kind: 'abort', term: 1, serial: 1, ranges: Uint32Array.of(1, 1), reason: 'cancelled' }).take();
    w.do(() => w.protocol.reports.onPartial(1, resultsOf([0, 4]), w.nowMs)).finished(1);
    w.expect('→ coordinator.1: 1 released 1/1 0 2-3 (combined with a task that was called off)');
  });

  test('an assignment that is aborted whole is not held any more, at once', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2]));
    w.take();
    w.tell({ kind: 'abort', term: 1, serial: 1, ranges: Uint32Array.of(0, 2), reason: 'cancelled' });
    w.expect('slot 0: abort #1 0 (cancelled)').pass(1000).expect('→ coordinator.1: beat 1 last 1 load 0 held 0');
  });
});

describe('terms (rules 4, 8)', () => {
  test('a new leader hears what is held, then every result that was not acknowledged, numbered from 1', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 3]));
    w.take();
    w.done(1, undefined, 50_000).tell({ kind: 'ackResults', term: 1, number: 1 }).done(2, undefined, 50_000).take();
    w.tell(welcome(2)).expect('→ coordinator.2: held last 0, 1/1 1-2', '→ coordinator.2: 1 results 1/1 1 [1]');
    w.done(3).expect('→ coordinator.2: 2 results 1/1 2 [2]');
    w.tell({ kind: 'ackResults', term: 1, number: 2 }, { kind: 'report', term: 2 }).expect('→ coordinator.2: held last 0, 1/1 1-2');
    w.tell({ kind: 'ackResults', term: 2, number: 2 }, { kind: 'report', term: 2 }).expect('→ coordinator.2: held last 0');
  });

  test('a leader of the past is not heard', () => {
    const w = worker({ slots: 1 }).welcomed().tell(welcome(2));
    w.take();
    w.tell(assignMessage(1, 9, [0, 1]), welcome(1), { kind: 'fenced', term: 1 }, { kind: 'drain', term: 1 }, { kind: 'report', term: 1 });
    w.expect();
  });

  test('serials start anew with a term; an older assignment keeps its own name', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2]));
    w.take();
    w.tell(welcome(2)).take();
    w.tell(assignMessage(2, 1, [7, 1])).expect();
    w.tell({ kind: 'abort', term: 1, serial: 1, ranges: Uint32Array.of(0, 2), reason: 'not wanted' }).expect(
      'slot 0: abort #1 0 (not wanted)',
    );
    w.finished(1).expect('slot 0: run #2 0 7');
  });

  test('work of a leader that did not greet waits for its welcome', () => {
    const w = worker({ slots: 1 }).welcomed();
    w.tell(assignMessage(2, 1, [0, 1])).expect();
    w.pass(250).expect('→ hello: hello w1.i1 slots 1');
    w.tell(welcome(2)).expect('→ coordinator.2: held last 1, 2/1 0', 'slot 0: run #1 0 0');
  });
});

describe('silence (rule 10)', () => {
  test('starts nothing after its lease ended, finishes what runs, goes on when it hears again (N06)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2]));
    w.take();
    w.pass(5000);
    w.take();
    w.done(1).expect('→ coordinator.1: 1 results 1/1 0 [0]');
    w.tell({ kind: 'ackResults', term: 1, number: 1 }).expect('slot 0: run #2 0 1');
  });

  test('a quiet leader is asked by a hello after the beat, so that a lost incarnation hears of it first (W02)', () => {
    const w = worker().welcomed();
    for (const _ of [1, 2]) w.pass(1000);
    w.expect('→ coordinator.1: beat 1 last 0 load 0 held 0', '→ coordinator.1: beat 2 last 0 load 0 held 0');
    w.pass(1000).expect('→ coordinator.1: beat 3 last 0 load 0 held 0');
    w.pass(500).expect('→ hello: hello w1.i1 slots 2');
    w.tell(welcome(1)).expect('→ coordinator.1: held last 0');
  });

  test('fenced: drops all, ends what runs, and starts over as a new incarnation (W12)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 3]));
    w.take();
    w.done(1, undefined, 50_000).take();
    w.tell({ kind: 'fenced', term: 1 }).expect('slot 0: abort #2 1 (fenced)', 'newIncarnation');
    w.tell(assignMessage(1, 2, [5, 1])).expect();
    w.begin().expect('→ hello: hello w1.i2 slots 1');
    w.tell(welcome(1)).expect('→ coordinator.1: held last 0');
    w.done(2).expect();
    w.tell(assignMessage(1, 3, [6, 1])).expect('slot 0: run #3 0 6');
    w.done(3).expect('→ coordinator.1: 1 results 1/3 6 [6]');
  });

  test('told that another process has its name, it says hello again until it is let in', () => {
    const w = worker();
    w.begin().take();
    w.tell({ kind: 'nameTaken', term: 1, host: 'there', pid: 7 }).expect('nameTaken');
    w.pass(500).expect('→ hello: hello w1.i1 slots 2');
    w.tell(welcome(1)).expect('→ coordinator.1: held last 0');
  });

  test('fenced, it forgets whom it heard: the leader of a journal that was set back has a lower term (S07)', () => {
    const w = worker().welcomed();
    w.tell(welcome(5)).take();
    w.tell(welcome(4), assignMessage(4, 1, [0, 1])).expect();
    w.tell({ kind: 'fenced', term: 5 }).expect('newIncarnation');
    w.begin().expect('→ hello: hello w1.i2 slots 2');
    w.tell(welcome(4)).expect('→ coordinator.4: held last 0');
    w.tell(assignMessage(4, 1, [0, 1])).expect('slot 0: run #1 0 0');
  });

  test('the broker is there again: beats, and says hello soon, since another may lead by now (N01)', () => {
    const w = worker().welcomed();
    w.do(() => w.protocol.onBrokerUp(w.nowMs))
      .pass(1)
      .expect('→ coordinator.1: beat 1 last 0 load 0 held 0');
    w.pass(50).expect('→ hello: hello w1.i1 slots 2');
    w.tell(welcome(2)).expect('→ coordinator.2: held last 0');
  });

  test('the broker is there again, and so is the leader: no hello', () => {
    const w = worker().welcomed();
    w.do(() => w.protocol.onBrokerUp(w.nowMs))
      .pass(1)
      .expect('→ coordinator.1: beat 1 last 0 load 0 held 0');
    w.tell({ kind: 'ackResults', term: 1, number: 0 }).pass(900).expect();
  });
});

describe('leaving (W10)', () => {
  test('draining takes nothing, hands back what is not started, finishes what is, waits for the acknowledgement', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 3]));
    w.take();
    w.do(() => w.protocol.drain(w.nowMs));
    w.expect('→ hello: hello w1.i1 slots 0', '→ coordinator.1: 1 released 1/1 1-2 (draining)', 'slot 0: revoke #1 0 (draining)');
    // Its hello may be lost: then it would be given the same task back for ever (found by the simulator, seed 1561).
    w.tell(assignMessage(1, 2, [7, 1])).expect('→ hello: hello w1.i1 slots 0', '→ coordinator.1: 2 released 1/2 7 (draining)');
    w.done(1).expect('→ coordinator.1: 3 results 1/1 0 [0]');
    w.pass(1000).expect('→ coordinator.1: beat 1 last 2 load 0 held 2');
    w.tell({ kind: 'ackResults', term: 1, number: 3 }).expect('→ coordinator.1: goodbye', 'drained');
    w.tell(assignMessage(1, 3, [8, 1]))
      .pass(9000)
      .expect();
  });

  test('the coordinator can ask for it', () => {
    const w = worker().welcomed().tell({ kind: 'drain', term: 1 });
    w.expect('→ hello: hello w1.i1 slots 0', '→ coordinator.1: goodbye', 'drained');
  });

  test('leaving at once hands back everything that is not done, uncharged', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 4]));
    w.take();
    w.done(1, undefined, 50_000).take();
    w.do(() => w.protocol.leave('the worker stops', w.nowMs));
    w.expect('→ coordinator.1: 2 released 1/1 1-3 (the worker stops)', '→ coordinator.1: goodbye');
    w.done(2).pass(9000).expect();
  });
});
