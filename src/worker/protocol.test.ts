import { afterEach, describe, expect, test } from 'vitest';
import { assignMessage, ProtocolDouble, resultsOf } from './protocol-double.suite.ts';

let doubles: ProtocolDouble[] = [];
function worker(...options: ConstructorParameters<typeof ProtocolDouble>): ProtocolDouble {
  const double = new ProtocolDouble(...options);
  doubles.push(double);
  return double;
}
/** Everything that came out was looked at. */
afterEach(() => {
  for (const double of doubles) double.expect();
  doubles = [];
});

const error = { name: 'Error', message: 'no' };
const welcome = (term: number) => ({ kind: 'welcome' as const, term, address: `coordinator.${term}`, leaseMs: 5000, beatMs: 1000 });

describe('hello and welcome (rules 8, 9)', () => {
  test('says hello until it is welcomed, less and less often, then tells what it holds', () => {
    const w = worker().begin().expect('→ hello: hello w1.i1 slots 2');
    let hellos = 0;
    for (let i = 0; i < 100; i++) hellos += w.pass(100).take().length;
    expect(hellos).toBeGreaterThanOrEqual(5);
    expect(hellos).toBeLessThanOrEqual(9);
    w.tell(welcome(1)).expect('→ coordinator.1: held last 0');
  });

  test('beats carry a number, the last serial, load and what is held', () => {
    const w = worker().welcomed();
    w.pass(1000).expect('→ coordinator.1: beat 1 last 0 load 0 held 0');
    w.tell(assignMessage(1, 7, [0, 3])).expect('slot 0: run #1 0 0', 'slot 1: run #2 0 1');
    w.pass(1000).expect('→ coordinator.1: beat 2 last 7 load 3 held 1');
  });

  test('asked for a report, it tells everything that is not acknowledged', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 7, [0, 2, 9, 1]));
    w.take();
    w.done(1).expect('→ coordinator.1: 1 results 1/7 0 [0]', 'slot 0: run #3 0 9');
    w.tell({ kind: 'report', term: 1 }).expect('→ coordinator.1: held last 7, 1/7 0-1 9');
    w.tell({ kind: 'ackResults', term: 1, number: 1 }).tell({ kind: 'report', term: 1 });
    w.expect('→ coordinator.1: held last 7, 1/7 1 9');
  });
});

describe('works', () => {
  test('one task each until a duration is known, then so many that slots never wait', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 1, [0, 100]));
    w.expect('slot 0: run #1 0 0', 'slot 1: run #2 0 1');
    w.done(1, undefined, 1000);
    w.expect(
      '→ coordinator.1: 1 results 1/1 0 [0]',
      'slot 0: run #3 0 2-3',
      'slot 0: run #4 0 4-7',
      'slot 0: run #5 0 8-15',
      'slot 0: run #6 0 16-31',
    );
    w.done(2, undefined, 1000).expect('→ coordinator.1: 2 results 1/1 1 [1]', 'slot 1: run #7 0 32-47', 'slot 1: run #8 0 48-63');
  });

  test('nothing queues behind a slot that may still be starting, or starting again', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 1, [0, 40]));
    w.take();
    // Slot 1 has told nothing yet: the second slot's share goes to the first.
    w.done(1).done(3).done(4).done(5).take();
    expect([...w.works.values()].filter(({ slot }) => slot === 1)).toHaveLength(1);
    w.pass(500).take();
    w.done(2).take();
    expect([...w.works.values()].filter(({ slot }) => slot === 1).length).toBeGreaterThan(1);
  });

  test('behind a task of some length the next one waits in its slot while plenty is left, and none near the end', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 1, [0, 7]));
    w.take();
    w.done(1, undefined, 50_000).expect('→ coordinator.1: 1 results 1/1 0 [0]', 'slot 0: run #3 0 2', 'slot 0: run #4 0 3');
    w.done(2, undefined, 50_000).expect('→ coordinator.1: 2 results 1/1 1 [1]', 'slot 1: run #5 0 4');
  });

  test('nothing queues behind a long task', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 1, [0, 100]));
    w.take();
    w.done(1, undefined, 200_000).expect('→ coordinator.1: 1 results 1/1 0 [0]', 'slot 0: run #3 0 2');
  });

  test('slots share one queue, across assignments', () => {
    const w = worker().welcomed();
    w.tell(assignMessage(1, 1, [0, 1]), assignMessage(1, 2, [5, 1]), assignMessage(1, 3, [9, 1]));
    w.expect('slot 0: run #1 0 0', 'slot 1: run #2 0 5');
    w.done(2, undefined, 50_000).expect('→ coordinator.1: 1 results 1/2 5 [5]', 'slot 1: run #3 0 9');
  });

  test('what waits behind a task that takes unusually long is handed back', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 4]));
    w.take();
    w.done(1).expect('→ coordinator.1: 1 results 1/1 0 [0]', 'slot 0: run #2 0 1-2', 'slot 0: run #3 0 3');
    w.pass(200).expect('slot 0: revoke #2 1-2 (waits behind a long task)', 'slot 0: revoke #3 3 (waits behind a long task)');
    w.do(() => w.protocol.reports.onReleased(3, Uint32Array.of(3, 1), 'waits behind a long task', w.nowMs)).finished(3);
    w.expect('→ coordinator.1: 2 released 1/1 3 (waits behind a long task)');
    w.pass(200).expect();
  });

  test('a slot that dies again and again has to pause', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 9]));
    w.take();
    for (let id = 1; id <= 3; id++) {
      w.do(() => {
        w.protocol.reports.onCrashed(id, id - 1, 'exit', error, w.nowMs);
        w.protocol.onReplaced(0, w.nowMs);
        w.protocol.onFinished(id, w.nowMs);
      });
    }
    expect(w.take().at(-1)).toBe('→ coordinator.1: 3 crashed 1/1 2');
    w.pass(50).expect();
    w.pass(60).expect('slot 0: run #4 0 3');
  });

  test('alone: shared out over slots of their own, in processes that go afterwards (rule 7)', () => {
    const w = worker()
      .welcomed()
      .tell(assignMessage(1, 1, [0, 1]), assignMessage(1, 2, [5, 2], { alone: true }));
    w.expect('slot 2: run #1 0 5', 'slot 3: run #2 0 6', 'slot 0: run #3 0 0');
    w.done(1).expect('→ coordinator.1: 1 results 1/2 5 [5]', 'closeAlone');
  });

  test('alone without such a slot: when nothing else runs, and nothing beside it', () => {
    const w = worker({ hasAloneSlot: false })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 1]));
    w.expect('slot 0: run #1 0 0');
    w.tell(assignMessage(1, 2, [5, 1], { alone: true }), assignMessage(1, 3, [8, 1])).expect();
    w.done(1).expect('→ coordinator.1: 1 results 1/1 0 [0]', 'slot 0: run #2 0 5');
    w.done(2).expect('→ coordinator.1: 2 results 1/2 5 [5]', 'slot 0: run #3 0 8');
  });
});

describe('what slots report', () => {
  test('each kind is one numbered message', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 9], { concurrency: 4 }));
    w.expect('slot 0: run #1 0 0-3');
    const { reports } = w.protocol;
    w.do(() => reports.onFailed(1, 0, { error, verdict: 'retry', durationUs: 50_000 }, w.nowMs));
    w.do(() => reports.onCrashed(1, 1, 'exit', error, w.nowMs));
    w.do(() => reports.onReleased(1, Uint32Array.of(2, 1), 'a neighbour crashed', w.nowMs));
    w.do(() => reports.onPartial(1, resultsOf([3, 1]), w.nowMs));
    w.do(() => reports.onLogs([])).do(() => reports.onNote(1, 0, 1, 2, undefined));
    w.expect(
      '→ coordinator.1: 1 failed 1/1 0 retry',
      'slot 0: run #2 0 4-8',
      '→ coordinator.1: 2 crashed 1/1 1',
      '→ coordinator.1: 3 released 1/1 2 (a neighbour crashed)',
      '→ coordinator.1: 4 partial 1/1 3 [3]',
      '→ coordinator.1: logs',
      '→ coordinator.1: note',
    );
    w.finished(1).expect();
    w.do(() => reports.onRefused(2, error, w.nowMs))
      .finished(2)
      .expect('→ coordinator.1: 5 refused 1/1 4-8 (no)');
    w.tell({ kind: 'ackResults', term: 1, number: 5 }, { kind: 'report', term: 1 }).expect('→ coordinator.1: held last 1');
  });

  test('a refusal takes the rest of the assignment along', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 9]));
    w.expect('slot 0: run #1 0 0');
    w.do(() => w.protocol.reports.onRefused(1, error, w.nowMs)).expect('→ coordinator.1: 1 refused 1/1 0 1-8 (no)');
    w.finished(1).expect();
  });

  test('an index that its slot forgot goes back', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2], { concurrency: 2 }));
    w.take();
    w.done(1, [1, 1]).finished(1);
    w.expect('→ coordinator.1: 1 results 1/1 1 [1]', '→ coordinator.1: 2 released 1/1 0 (the slot did not say what became of it)');
  });

  test('words about works that nobody knows change nothing (X10)', () => {
    const w = worker().welcomed();
    w.do(() => w.protocol.reports.onResults(99, resultsOf([0, 1]), w.nowMs))
      .finished(99)
      .expect();
  });

  test('results above the limit of the broker go in parts; one value above it is dead (N09)', () => {
    const w = worker({ slots: 1, messageBytesMax: 5000 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 4], { concurrency: 4 }));
    w.take();
    const lengths = Uint32Array.of(300, 300, 300, 900);
    const results = { ...resultsOf([0, 4]), lengths, body: new Uint8Array(1800) };
    w.do(() => w.protocol.reports.onResults(1, results, w.nowMs)).finished(1);
    expect(w.take().map((line) => line.replace(/\[.*/, ''))).toEqual([
      '→ coordinator.1: 1 results 1/1 0-1 ',
      '→ coordinator.1: 2 results 1/1 2 ',
      '→ coordinator.1: 3 failed 1/1 3 dead',
    ]);
  });
});

describe('outbox', () => {
  test('said again when nobody acknowledges, less and less often, and never after (W12, N07)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 1]));
    w.take();
    w.done(1).expect('→ coordinator.1: 1 results 1/1 0 [0]');
    const again = [];
    for (let i = 0; i < 40; i++) {
      w.tell({ kind: 'report', term: 1 }).pass(500);
      if (w.take().some((line) => line.includes('results'))) again.push(w.nowMs);
    }
    expect(again).toEqual([2000, 6000, 14_000]);
    w.tell({ kind: 'ackResults', term: 1, number: 1 });
    for (let i = 0; i < 60; i++) w.tell({ kind: 'report', term: 1 }).pass(500);
    expect(w.take().filter((line) => line.includes('results'))).toEqual([]);
  });

  test('an acknowledgement covers everything up to its number, and may be repeated', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2]));
    w.take();
    w.done(1, undefined, 50_000).done(2).take();
    for (const number of [1, 1, 0, 99, 2]) w.tell({ kind: 'ackResults', term: 1, number });
    w.tell({ kind: 'report', term: 1 }).expect('→ coordinator.1: held last 1');
  });

  test('results that nobody acknowledges stop new work, not the running one (rule 15)', () => {
    const w = worker({ slots: 1, messageBytesMax: 1e9 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 2]));
    w.take();
    const results = { ...resultsOf([0, 1]), lengths: Uint32Array.of(64e6), body: new Uint8Array(65 * 1024 * 1024) };
    w.do(() => w.protocol.reports.onResults(1, results, w.nowMs)).finished(1);
    expect(w.take()).toHaveLength(1);
    w.tell({ kind: 'ackResults', term: 1, number: 1 }).expect('slot 0: run #2 0 1');
  });
});

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
