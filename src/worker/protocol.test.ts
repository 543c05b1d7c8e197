/** What a worker says and does while all is well: hellos, works, reports, the outbox. The rest is in protocol-leaders.test.ts. */
import { describe, expect, test } from 'vitest';
import { assignMessage, resultsOf, welcome, worker } from './protocol-double.suite.ts';

const error = { name: 'Error', message: 'no' };
const line = { wallMs: 1, job: 'j1', stage: 0, index: 0, attempt: 1, task: 't', level: 'info', message: 'hi' };

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
    w.done(2, undefined, 1000).expect('→ coordinator.1: 2 results 1/1 1 [1]', 'slot 1: run #7 0 32-63', 'slot 1: run #8 0 64-81');
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

  test('so it is of a work of which somebody has asked one back before', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 4]));
    w.take();
    w.done(1).take();
    w.tell({ kind: 'revoke', term: 1, serial: 1, ranges: Uint32Array.of(2, 1) }).expect('slot 0: revoke #2 2 (revoked)');
    w.pass(200).expect('slot 0: revoke #2 1-2 (waits behind a long task)', 'slot 0: revoke #3 3 (waits behind a long task)');
  });

  test('a beat tells of slots that have nothing, and of none while something waits for one', () => {
    const w = worker({ slots: 2 }).welcomed();
    const idle = (): number | undefined => {
      w.protocol.tick((w.nowMs += 1_000));
      for (const effect of w.protocol.takeEffects())
        if (effect.effect === 'send' && effect.message.kind === 'beat') return effect.message.idle;
      throw new Error('no beat');
    };
    expect(idle()).toBe(2);
    w.tell({ kind: 'report', term: 1 }, assignMessage(1, 1, [0, 1]));
    expect(idle()).toBe(1);
    w.tell(assignMessage(1, 2, [1, 2]));
    expect(idle()).toBe(0);
    w.take();
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

describe('lanes', () => {
  test('those that are free take tasks of other assignments, so that none waits beside them', () => {
    const w = worker({ slots: 2 }).welcomed();
    w.tell(assignMessage(1, 1, [0, 3], { concurrency: 4 })).expect('slot 0: run #1 0 0-2');
    w.tell(assignMessage(1, 2, [0, 1], { concurrency: 4, job: 'b' })).expect('slot 1: run #2 0 0');
    // By turns where most are free, also before anything was heard of the slots.
    w.tell(assignMessage(1, 3, [5, 9], { concurrency: 4, job: 'c' })).expect('slot 1: run #3 0 5-7', 'slot 0: run #4 0 8');
    w.done(1, [1, 1]).expect('→ coordinator.1: 1 results 1/1 1 [1]', 'slot 0: run #5 0 9');
  });

  test('tasks without lanes take none of them, nor the other way round', () => {
    const w = worker({ slots: 1 }).welcomed();
    w.tell(assignMessage(1, 1, [0, 1], { concurrency: 4 })).expect('slot 0: run #1 0 0');
    w.tell(assignMessage(1, 2, [0, 1], { job: 'b' })).expect();
    w.tell(assignMessage(1, 3, [0, 1], { concurrency: 4, job: 'c' })).expect();
    w.done(1).expect('→ coordinator.1: 1 results 1/1 0 [0]', 'slot 0: run #2 0 0');
    w.done(2).expect('→ coordinator.1: 2 results 1/2 0 [0]', 'slot 0: run #3 0 0');
  });

  test('nothing there is stuck while all that it has runs, however long', () => {
    const w = worker({ slots: 1 }).welcomed();
    w.tell(assignMessage(1, 1, [0, 2], { concurrency: 4 }), assignMessage(1, 2, [0, 2], { concurrency: 4, job: 'b' }));
    w.expect('slot 0: run #1 0 0-1', 'slot 0: run #2 0 0-1');
    w.pass(3_000);
    expect(w.take().filter((line) => line.startsWith('slot'))).toEqual([]);
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
    w.do(() => reports.onLogs([line])).do(() => reports.onNote(1, 0, 1, 2, undefined));
    w.expect(
      '→ coordinator.1: 1 failed 1/1 0 retry',
      'slot 0: run #2 0 4',
      '→ coordinator.1: 2 crashed 1/1 1',
      'slot 0: run #3 0 5',
      '→ coordinator.1: 3 released 1/1 2 (a neighbour crashed)',
      'slot 0: run #4 0 6',
      '→ coordinator.1: 4 partial 1/1 3 [3]',
      'slot 0: run #5 0 7-8',
      '→ coordinator.1: logs',
      '→ coordinator.1: note',
    );
    w.finished(1).expect();
    for (const [number, id, ranges] of [
      [5, 2, '4'],
      [6, 3, '5'],
      [7, 4, '6'],
      [8, 5, '7-8'],
    ] as const) {
      w.do(() => reports.onRefused(id, error, w.nowMs));
      w.finished(id).expect(`→ coordinator.1: ${number} refused 1/1 ${ranges} (no)`);
    }
    w.tell({ kind: 'ackResults', term: 1, number: 8 }, { kind: 'report', term: 1 }).expect('→ coordinator.1: held last 1');
  });

  test('keeps lines until somebody is heard who hears them, and then says them before results (C01)', () => {
    const w = worker({ slots: 1 })
      .welcomed()
      .tell(assignMessage(1, 1, [0, 1]));
    const { reports } = w.protocol;
    w.expect('slot 0: run #1 0 0');
    w.do(() => w.protocol.onBrokerUp(w.nowMs));
    w.do(() => reports.onLogs([line])).expect();
    w.do(() => reports.onResults(1, resultsOf([0, 1]), w.nowMs)).expect('→ coordinator.1: 1 results 1/1 0 [0]');
    w.tell(welcome(2)).expect('→ coordinator.2: held last 0, 1/1 0', '→ coordinator.2: logs', '→ coordinator.2: 1 results 1/1 0 [0]');
    w.do(() => w.protocol.onBrokerUp(w.nowMs)).do(() => reports.onLogs([line]));
    w.tell({ kind: 'ackResults', term: 2, number: 1 }).expect('→ coordinator.2: logs');
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
