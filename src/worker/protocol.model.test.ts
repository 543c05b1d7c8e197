/**
 * Any interleaving of what a coordinator, its predecessors and the slots may say, with repeats and in any order.
 * The model keeps its own simple book and judges what comes out by the invariants in protocol.ts.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { heldHash } from '../core/held-hash.ts';
import type { AssignMessage, FromWorker, NumberedMessage } from '../core/messages.ts';
import { countOf, indicesOf, RangeList } from '../core/ranges.ts';
import type { Work } from './executors/executor.ts';
import { WorkerProtocol } from './protocol.ts';
import { assignMessage, resultsOf } from './protocol-double.suite.ts';

type Step =
  | { do: 'assign'; from: number; count: number; alone: boolean; lanes: number }
  | { do: 'again' | 'stale' | 'finish' | 'fail' | 'crash'; pick: number }
  | { do: 'part' | 'abort' | 'revoke'; pick: number; from: number; count: number }
  | { do: 'early abort'; from: number; count: number }
  | { do: 'acknowledge'; back: number }
  | { do: 'new term' | 'fence' | 'report' | 'drain' }
  | { do: 'pass'; ms: number };

const pick = fc.nat(50);
const stepOf: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('assign' as const),
      from: fc.nat(20),
      count: fc.integer({ min: 1, max: 12 }),
      alone: fc.boolean(),
      lanes: fc.constantFrom(1, 1, 4),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('again' as const, 'stale' as const), pick }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constantFrom('finish' as const, 'finish' as const, 'fail' as const, 'crash' as const), pick }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('part' as const, 'abort' as const, 'revoke' as const),
      pick,
      from: fc.nat(30),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('early abort' as const), from: fc.nat(20), count: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), back: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('new term' as const, 'fence' as const, 'report' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 300, 1000, 6000) }) },
);

/** One assignment as the coordinator knows it. */
interface Book {
  assign: AssignMessage;
  incarnation: number;
  started: Set<number>;
  told: Map<number, string>;
  dropped: Set<number>;
  acknowledged: Set<number>;
}

class Model {
  nowMs = 0;
  term = 1;
  serial = 0;
  incarnation = 0;
  readonly books = new Map<string, Book>();
  readonly works = new Map<number, { work: Work; left: Set<number> }>();
  /** Unacknowledged numbers of this term, as sent or not. */
  acknowledged = 0;
  told: NumberedMessage[] = [];
  readonly stale: AssignMessage[] = [];
  drained = false;
  readonly protocol: WorkerProtocol;

  constructor(hasAloneSlot: boolean) {
    this.protocol = new WorkerProtocol({
      worker: 'w',
      slots: 2,
      labels: {},
      resources: {},
      queues: [],
      host: '',
      pid: 1,
      life: 'l1',
      version: '0.0.0',
      code: { kind: 'any' },
      messageBytesMax: 1e6,
      hasAloneSlot,
      seed: 1,
    });
    this.turn(() => this.protocol.begin('i0', 0));
    this.welcome();
  }

  turn(input: () => void): void {
    input();
    this.protocol.fill(this.nowMs);
    for (const effect of this.protocol.takeEffects()) {
      switch (effect.effect) {
        case 'send':
          this.heard(effect.message);
          break;
        case 'run':
          this.started(effect.work);
          break;
        case 'abort':
        case 'revoke':
          // Slots play along at once: not started ones are given back, aborted ones end.
          this.calledOff(effect.work.id, effect.effect === 'abort', new Set(indicesOf(effect.ranges)));
          break;
        case 'newIncarnation':
          this.incarnation += 1;
          this.acknowledged = 0;
          this.told = [];
          this.turnLater.push(() => {
            this.turn(() => this.protocol.begin(`i${this.incarnation}`, this.nowMs));
            this.welcome();
          });
          break;
        case 'drained':
          this.drained = true;
          break;
      }
    }
    for (const later of this.turnLater.splice(0)) later();
  }
  private readonly turnLater: (() => void)[] = [];

  private started(work: Work): void {
    const book = this.bookOf(work.job)!;
    expect(book.incarnation).toBe(this.incarnation);
    for (const index of indicesOf(work.ranges)) {
      expect(book.started.has(index), `${index} of ${work.job} is started once`).toBe(false);
      expect(book.dropped.has(index), `${index} of ${work.job} is not started after its abort`).toBe(false);
      book.started.add(index);
    }
    expect([...work.body]).toEqual([...indicesOf(work.ranges)]);
    this.works.set(work.id, { work, left: new Set(indicesOf(work.ranges)) });
  }

  private calledOff(id: number, isAbort: boolean, indices: Set<number>): void {
    const entry = this.works.get(id);
    if (!entry) return;
    // The first index of a work is the one that runs.
    const running = countOf(entry.work.ranges) === entry.left.size ? entry.work.ranges[0]! : -1;
    const given = [...entry.left].filter((index) => indices.has(index) && (isAbort || index !== running));
    if (given.length === 0) return;
    for (const index of given) entry.left.delete(index);
    const list = new RangeList();
    for (const index of given) list.add(index);
    this.turnLater.push(() => {
      this.turn(() => this.protocol.reports.onReleased(id, list.take(), isAbort ? 'aborted' : 'revoked', this.nowMs));
      if (entry.left.size === 0) this.end(id);
    });
  }

  end(id: number): void {
    if (!this.works.delete(id)) return;
    this.turn(() => this.protocol.onFinished(id, this.nowMs));
  }

  private heard(message: FromWorker): void {
    if (!('serial' in message)) {
      if (message.kind === 'held') this.checkHeld(message);
      if (message.kind === 'beat') {
        const held = this.held();
        expect({ count: message.count, hash: message.hash }).toEqual({ count: held.length, hash: heldHash(held) });
      }
      return;
    }
    const known = this.told[message.number - 1];
    if (known) {
      // Said again: the same words.
      expect(message.number).toBeGreaterThan(this.acknowledged);
      expect(summary(message)).toEqual(summary(known));
      return;
    }
    expect(message.number, 'numbers have no gap').toBe(this.told.length + 1);
    this.told.push(message);
    const book = this.books.get(`${message.term}/${message.serial}`)!;
    expect(book.incarnation).toBe(this.incarnation);
    for (const index of indicesIn(message)) {
      const before = book.told.get(index);
      if (before === undefined) book.told.set(index, summary(message));
      else expect(summary(message), `${index} is told once`).toBe(before);
    }
  }

  /** What the coordinator thinks is held: neither acknowledged nor aborted. */
  held(): { term: number; serial: number; remaining: number }[] {
    const held = [];
    for (const { assign, incarnation, acknowledged, dropped } of this.books.values()) {
      if (incarnation !== this.incarnation) continue;
      const remaining = [...indicesOf(assign.ranges)].filter((index) => !acknowledged.has(index) && !dropped.has(index)).length;
      if (remaining > 0) held.push({ term: assign.term, serial: assign.serial, remaining });
    }
    return held;
  }

  private checkHeld(message: FromWorker & { kind: 'held' }): void {
    const listed = message.held.map(({ term, serial, ranges }) => ({ term, serial, remaining: countOf(Uint32Array.from(ranges)) }));
    expect(listed.toSorted(byName)).toEqual(this.held().toSorted(byName));
  }

  welcome(): void {
    this.turn(() =>
      this.protocol.onMessage(
        { kind: 'welcome', term: this.term, address: `coordinator.${this.term}`, leaseMs: 5000, beatMs: 1000 },
        this.nowMs,
      ),
    );
  }

  say(message: Parameters<WorkerProtocol['onMessage']>[0]): void {
    this.turn(() => this.protocol.onMessage(message, this.nowMs));
  }

  /** Its books are kept by name; the job's id says which. */
  assign(from: number, count: number, alone: boolean, lanes: number, serial = ++this.serial): void {
    const name = `${this.term}/${serial}`;
    const message = assignMessage(this.term, serial, [from, count], { job: name, alone, concurrency: lanes });
    const book = this.books.get(name);
    if (book) book.assign = message;
    else this.books.set(name, this.emptyBook(message));
    this.say(message);
  }

  emptyBook(assign: AssignMessage): Book {
    return { assign, incarnation: this.incarnation, started: new Set(), told: new Map(), dropped: new Set(), acknowledged: new Set() };
  }

  private bookOf(job: string): Book | undefined {
    return this.books.get(job);
  }

  /** Of this incarnation, held or not. */
  current(pickAt: number): Book | undefined {
    const books = [...this.books.values()].filter(({ incarnation }) => incarnation === this.incarnation);
    return books[pickAt % Math.max(1, books.length)];
  }

  work(pickAt: number): { work: Work; left: Set<number> } | undefined {
    const works = [...this.works.values()];
    return works[pickAt % Math.max(1, works.length)];
  }

  acknowledge(number: number): void {
    for (const message of this.told.slice(this.acknowledged, number)) {
      const book = this.books.get(`${message.term}/${message.serial}`)!;
      for (const index of indicesIn(message)) book.acknowledged.add(index);
    }
    this.acknowledged = Math.max(this.acknowledged, Math.min(number, this.told.length));
    this.say({ kind: 'ackResults', term: this.term, number });
  }

  run(step: Step): void {
    switch (step.do) {
      case 'assign':
        return this.assign(step.from, step.count, step.alone, step.lanes);
      case 'again': {
        const book = this.current(step.pick);
        if (book) this.say(book.assign);
        return;
      }
      case 'stale': {
        const book = [...this.books.values()][step.pick % Math.max(1, this.books.size)];
        if (book && book.assign.term < this.term) this.say(book.assign);
        return;
      }
      case 'part':
      case 'finish': {
        const entry = this.work(step.pick);
        if (!entry) return;
        const list = new RangeList();
        for (const index of [...entry.left].slice(0, step.do === 'part' ? step.count : undefined)) {
          entry.left.delete(index);
          list.add(index);
        }
        if (list.count > 0)
          this.turn(() => this.protocol.reports.onResults(entry.work.id, resultsOf(list.take(), step.pick * 400), this.nowMs));
        if (entry.left.size === 0) this.end(entry.work.id);
        return;
      }
      case 'fail':
      case 'crash': {
        const entry = this.work(step.pick);
        if (!entry) return;
        const [index] = entry.left;
        if (index === undefined) return;
        entry.left.delete(index);
        const { reports } = this.protocol;
        const error = { name: 'Error', message: step.do };
        this.turn(() => {
          if (step.do === 'fail') reports.onFailed(entry.work.id, index, { error, verdict: 'retry', durationUs: 10 }, this.nowMs);
          else reports.onCrashed(entry.work.id, index, 'exit', error, this.nowMs);
        });
        // A slot that died forgets the rest: the protocol has to notice.
        if (step.do === 'crash' || entry.left.size === 0) this.end(entry.work.id);
        return;
      }
      case 'abort': {
        const book = this.current(step.pick);
        if (!book) return;
        const ranges = Uint32Array.of(step.from, step.count);
        const own = new Set(indicesOf(book.assign.ranges));
        for (const index of indicesOf(ranges)) if (own.has(index) && !book.told.has(index)) book.dropped.add(index);
        return this.say({ kind: 'abort', term: book.assign.term, serial: book.assign.serial, ranges, reason: 'model' });
      }
      case 'early abort': {
        const serial = ++this.serial;
        const ranges = Uint32Array.of(step.from, step.count);
        this.say({ kind: 'abort', term: this.term, serial, ranges, reason: 'model' });
        const message = assignMessage(this.term, serial, [0, 20], { job: `${this.term}/${serial}` });
        const book = this.emptyBook(message);
        for (const index of indicesOf(ranges)) if (index < 20) book.dropped.add(index);
        this.books.set(`${this.term}/${serial}`, book);
        return this.say(message);
      }
      case 'revoke': {
        const book = this.current(step.pick);
        if (book)
          this.say({ kind: 'revoke', term: book.assign.term, serial: book.assign.serial, ranges: Uint32Array.of(step.from, step.count) });
        return;
      }
      case 'acknowledge':
        return this.acknowledge(Math.max(0, this.told.length - step.back));
      case 'new term': {
        this.term += 1;
        this.serial = 0;
        this.told = this.told.slice(this.acknowledged);
        this.acknowledged = 0;
        this.told = this.told.map((message, at) => ({ ...message, number: at + 1 }));
        return this.welcome();
      }
      case 'fence':
        return this.say({ kind: 'fenced', term: this.term });
      case 'report':
        return this.say({ kind: 'report', term: this.term });
      case 'drain':
        return this.say({ kind: 'drain', term: this.term });
      case 'pass':
        this.nowMs += step.ms;
        return this.turn(() => this.protocol.tick(this.nowMs));
    }
  }

  /** The liveness phase: everybody answers; nothing may be left over. */
  settle(): void {
    for (let round = 0; round < 400; round++) {
      this.say({ kind: 'report', term: this.term });
      this.nowMs += 100;
      this.turn(() => this.protocol.tick(this.nowMs));
      for (const { work } of [...this.works.values()]) {
        if (this.works.has(work.id)) this.run({ do: 'finish', pick: [...this.works.keys()].indexOf(work.id) });
      }
      this.acknowledge(this.told.length);
      if (this.works.size === 0 && this.held().length === 0) return;
    }
    expect({ works: this.works.size, held: this.held() }).toEqual({ works: 0, held: [] });
  }
}

const byName = (a: { term: number; serial: number }, b: { term: number; serial: number }): number => a.term - b.term || a.serial - b.serial;

function indicesIn(message: NumberedMessage): number[] {
  return 'index' in message ? [message.index] : [...indicesOf(message.ranges)];
}

/** All of a message but its number, which is another one under another leader. */
function summary({ number: _, ...message }: NumberedMessage): string {
  return JSON.stringify(message);
}

test('invariants 1–4 hold under any interleaving, and nothing is left over once all are answered', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(stepOf, { maxLength: 80, size: 'max' }), (hasAloneSlot, steps) => {
      const model = new Model(hasAloneSlot);
      for (const step of steps) model.run(step);
      model.settle();
      for (const { assign, incarnation, told, dropped } of model.books.values()) {
        if (incarnation !== model.incarnation) continue;
        for (const index of indicesOf(assign.ranges)) {
          expect([told.has(index), dropped.has(index)].filter(Boolean), `${index} of ${assign.job} has one end`).toHaveLength(1);
        }
      }
      model.run({ do: 'drain' });
      expect(model.drained).toBe(true);
    }),
    { numRuns: 300 },
  );
});
