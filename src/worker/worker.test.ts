import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, BrokerUnavailableError, type Listener } from '../brokers/broker.ts';
import { faulty } from '../brokers/faulty.ts';
import { memoryBroker } from '../brokers/memory.ts';
import { msgpackCodec } from '../codecs/msgpack.ts';
import { heldHash } from '../core/held-hash.ts';
import type { AssignMessage, FromWorker, ToWorker } from '../core/messages.ts';
import { indicesOf } from '../core/ranges.ts';
import { ByteSink } from '../lib/bytes.ts';
import { registerDefinition } from '../tasks/definition.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import type { Executor, ExecutorOptions, Work } from './executors/executor.ts';
import { assignMessage, resultsOf } from './protocol-double.suite.ts';
import { startWorker, type WorkerHandle, type WorkerOptions } from './worker.ts';

const runs = new Map<string, number>();
registerDefinition({
  name: 'worker-test.double',
  module: undefined,
  schema: undefined,
  codec: msgpackCodec,
  retryIf: undefined,
  run: (n: number, context: { task: { index: number }; job: { id: string } }) => {
    const key = `${context.job.id}/${context.task.index}`;
    runs.set(key, (runs.get(key) ?? 0) + 1);
    return 2 * n;
  },
});

/** Assignment of the real task: the input of index i is i. */
function doubles(term: number, serial: number, ranges: number[]): AssignMessage {
  const sink = new ByteSink();
  const lengths: number[] = [];
  for (const index of indicesOf(Uint32Array.from(ranges))) {
    const before = sink.length;
    msgpackCodec.encode(index, sink);
    lengths.push(sink.length - before);
  }
  return assignMessage(term, serial, ranges, {
    job: `serial ${serial}`,
    definition: { name: 'worker-test.double' },
    lengths: Uint32Array.from(lengths),
    body: [sink.take()],
  });
}

/**
 * A coordinator by hand: answers hellos, collects results, acknowledges, and reconciles by heartbeat as rule 8
 * says: sends again what the worker has not seen, hands out anew what it has lost.
 */
class Coordinator {
  readonly heard: FromWorker[] = [];
  readonly results = new Map<number, number>();
  term = 1;
  beatMs = 20;
  leaseMs = 60_000;
  private readonly broker: Broker;
  private readonly listeners: Listener[] = [];
  private readonly assigned = new Map<number, { message: AssignMessage; open: Set<number>; make: typeof doubles }>();
  private slots = 0;
  private readonly numbers = new Set<number>();
  private acknowledged = 0;
  private address = '';
  private incarnation = '';
  private serial = 0;
  private waiting: { holds: () => boolean; resolve: () => void }[] = [];

  constructor(broker: Broker) {
    this.broker = broker;
  }

  async open(): Promise<this> {
    for (const address of ['hello', `coordinator.${this.term}`]) {
      this.listeners.push(
        await this.broker.listen(address, (batch) => {
          for (const bytes of batch) this.onMessage(decodeMessage(bytes) as FromWorker);
        }),
      );
    }
    return this;
  }

  send(message: ToWorker, address = this.address): void {
    void this.broker.send(address, encodeMessage(message)).catch(() => undefined);
  }

  assign(ranges: number[], make = doubles): void {
    const message = make(this.term, ++this.serial, ranges);
    this.assigned.set(message.serial, { message, open: new Set(indicesOf(message.ranges)), make });
    this.send(message);
  }

  /** Resolves as soon as it holds, looked at after each message. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ holds, resolve }));
  }

  said(kind: FromWorker['kind']): FromWorker[] {
    return this.heard.filter((message) => message.kind === kind);
  }

  private onMessage(message: FromWorker): void {
    this.heard.push(message);
    if (message.kind === 'hello') this.onHello(message);
    else if (message.incarnation === this.incarnation) this.onWord(message);
    for (const waiter of this.waiting.filter(({ holds }) => holds())) {
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      waiter.resolve();
    }
  }

  private onHello(message: FromWorker & { kind: 'hello' }): void {
    if (message.incarnation !== this.incarnation) {
      this.numbers.clear();
      this.acknowledged = 0;
      this.assigned.clear();
    }
    this.incarnation = message.incarnation;
    this.address = message.address;
    this.slots = message.slots;
    this.send({ kind: 'welcome', term: this.term, address: `coordinator.${this.term}`, leaseMs: this.leaseMs, beatMs: this.beatMs });
  }

  private onWord(message: FromWorker): void {
    switch (message.kind) {
      case 'beat': {
        const held = [...this.assigned.values()].map(({ message: { term, serial }, open }) => ({ term, serial, remaining: open.size }));
        if (held.length !== message.count || heldHash(held) !== message.hash) this.send({ kind: 'report', term: this.term });
        return;
      }
      case 'held': {
        const listed = new Set(message.held.map(({ serial }) => serial));
        for (const [serial, { message: assign, open, make }] of [...this.assigned]) {
          if (listed.has(serial)) continue;
          if (serial > message.lastSerial) this.send(assign);
          else {
            this.assigned.delete(serial);
            for (const index of open) this.assign([index, 1], make);
          }
        }
        return;
      }
      case 'results':
      case 'released':
        return this.onNumbered(message);
    }
  }

  private onNumbered(message: FromWorker & { kind: 'results' | 'released' }): void {
    this.numbers.add(message.number);
    while (this.numbers.has(this.acknowledged + 1)) this.acknowledged += 1;
    let at = 0;
    let task = 0;
    for (const index of indicesOf(message.ranges)) {
      const assignment = this.assigned.get(message.serial);
      const isNews = assignment?.open.delete(index) === true;
      if (assignment?.open.size === 0) this.assigned.delete(message.serial);
      if (message.kind === 'released') {
        // A worker without slots takes nothing more (it drains).
        if (isNews && this.slots > 0) this.assign([index, 1], assignment!.make);
        continue;
      }
      const length = message.lengths[task++]!;
      this.results.set(index, msgpackCodec.decode(message.body[0]!.subarray(at, at + length)) as number);
      at += length;
    }
    this.send({ kind: 'ackResults', term: this.term, number: this.acknowledged });
  }
}

/** A slot that the test plays: it runs nothing by itself. */
class PlayedSlot implements Executor {
  readonly options: ExecutorOptions;
  readonly works: Work[] = [];
  readonly words: string[] = [];
  isClosed = false;
  onRun: (work: Work) => void = () => undefined;
  private readonly onGiven: () => void;

  constructor(options: ExecutorOptions, onGiven: () => void) {
    this.options = options;
    this.onGiven = onGiven;
  }
  run(work: Work): void {
    this.works.push(work);
    this.onGiven();
    this.onRun(work);
  }
  finish(work: Work): void {
    this.options.events.results(work, resultsOf(work.ranges));
    this.options.events.finished(work);
  }
  abort(_work: Work, ranges: Uint32Array): void {
    this.words.push(`abort ${[...ranges]}`);
  }
  revoke(_work: Work, ranges: Uint32Array, why: string): void {
    this.words.push(`revoke ${[...ranges]} ${why}`);
  }
  async close(): Promise<void> {
    this.isClosed = true;
  }
}

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  runs.clear();
});

async function start(
  more: Partial<WorkerOptions> = {},
  broker: Broker = memoryBroker(),
): Promise<{ worker: WorkerHandle; coordinator: Coordinator; broker: Broker }> {
  opened.push(() => broker.close());
  const coordinator = await new Coordinator(broker).open();
  const worker = await startWorker({ worker: 'w1', broker, slots: 2, isolation: 'inline', tickMs: 5, ...more });
  opened.push(() => worker.stop());
  await coordinator.until(() => coordinator.said('held').length > 0);
  return { worker, coordinator, broker };
}

interface Played extends Awaited<ReturnType<typeof start>> {
  slots: PlayedSlot[];
  /** Resolves when the slots, closed ones too, have been given so many works. */
  given(count: number): Promise<void>;
}

async function startPlayed(more: Partial<WorkerOptions> = {}): Promise<Played> {
  const slots: PlayedSlot[] = [];
  let works = 0;
  let waiting: { count: number; resolve: () => void }[] = [];
  const executors = (options: ExecutorOptions, slot: number): Executor => {
    slots[slot] = new PlayedSlot(options, () => {
      works += 1;
      for (const { resolve } of waiting.filter(({ count }) => works >= count)) resolve();
      waiting = waiting.filter(({ count }) => works < count);
    });
    return slots[slot];
  };
  return {
    ...(await start({ executors, ...more })),
    slots,
    given: (count) => (works >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve }))),
  };
}

const raw = assignMessage;

test('runs what it is assigned and holds nothing once it is acknowledged', async () => {
  const { coordinator } = await start();
  coordinator.assign([0, 100, 1000, 10]);
  coordinator.assign([500, 1]);
  await coordinator.until(() => coordinator.results.size === 111);
  for (const [index, value] of coordinator.results) expect(value).toBe(2 * index);
  const beats = coordinator.said('beat').length;
  await coordinator.until(() => coordinator.said('beat').length > beats + 1);
  expect(coordinator.said('beat').at(-1)).toMatchObject({ count: 0, load: 0, lastSerial: 2 });
});

test.each(['thread', 'process'] as const)('in a real %s, and alone in a process of its own', async (isolation) => {
  const module = new URL('./executors/fixtures/tasks.mjs', import.meta.url).href;
  const { coordinator } = await start({ isolation });
  const make =
    (alone: boolean) =>
    (term: number, serial: number, ranges: number[]): AssignMessage => ({
      ...doubles(term, serial, ranges),
      definition: { name: 'double', module },
      alone,
    });
  coordinator.assign([0, 50], make(false));
  coordinator.assign([50, 2], make(true));
  await coordinator.until(() => coordinator.results.size === 52);
  for (const [index, value] of coordinator.results) expect(value).toBe(2 * index);
});

test.each([1, 2, 3, 4, 5, 6])('loses nothing and runs no serial twice in bad weather (N02, N03, N04), seed %i', async (seed) => {
  const broker = faulty(memoryBroker(), { seed, loss: 0.15, duplication: 0.2, delay: 0.3 });
  const { coordinator } = await start({}, broker);
  for (let from = 0; from < 200; from += 20) coordinator.assign([from, 20]);
  await coordinator.until(() => coordinator.results.size === 200);
  expect(broker.counts.lost + broker.counts.repeated + broker.counts.delayed).toBeGreaterThan(0);
  for (const [index, value] of coordinator.results) expect(value).toBe(2 * index);
  // Run again only under another serial, where the worker had never got the first one.
  expect([...runs.values()].filter((count) => count > 1)).toEqual([]);
});

test('from message to running task and from result to message there is no turn of the event loop', async () => {
  const { coordinator, slots, given } = await startPlayed();
  let isSameTurn = true;
  coordinator.assign([3, 1], raw);
  const immediate = setImmediate(() => {
    isSameTurn = false;
  });
  await given(1);
  slots[0]!.finish(slots[0]!.works[0]!);
  await coordinator.until(() => coordinator.results.size === 1);
  expect(isSameTurn).toBe(true);
  clearImmediate(immediate);
});

test('a slot may answer from within run()', async () => {
  const { coordinator, worker, slots } = await startPlayed({ slots: 1 });
  worker.warm();
  const slot = slots[0]!;
  slot.onRun = (work) => slot.finish(work);
  coordinator.assign([0, 100], raw);
  await coordinator.until(() => coordinator.results.size === 100);
  expect(slot.works.flatMap((work) => [...indicesOf(work.ranges)])).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test('slots open with their first work, or all at once when warmed', async () => {
  const { coordinator, worker, slots, given } = await startPlayed();
  expect(slots).toHaveLength(0);
  coordinator.assign([0, 1], raw);
  await given(1);
  expect(slots).toHaveLength(1);
  worker.warm();
  expect(slots.map(({ options }) => options.name)).toEqual(['w1-0', 'w1-1']);
});

test('tasks that must run alone get fresh slots that are closed behind them (rule 7)', async () => {
  const { coordinator, slots, given } = await startPlayed({ isolation: 'thread' });
  coordinator.assign([0, 2], (term, serial, ranges) => raw(term, serial, ranges, { alone: true }));
  await given(1);
  const first = slots[2]!;
  first.finish(first.works[0]!);
  expect(first.isClosed).toBe(true);
  expect(slots[3]!.works.map(({ ranges }) => [...ranges])).toEqual([[1, 1]]);
  slots[3]!.finish(slots[3]!.works[0]!);
  expect(slots[3]!.isClosed).toBe(true);
});

test('fenced, it comes back as a new incarnation on a new address (W12)', async () => {
  const { coordinator, slots, given } = await startPlayed();
  const [hello] = coordinator.said('hello') as (FromWorker & { kind: 'hello' })[];
  coordinator.assign([0, 1], raw);
  await given(1);
  coordinator.send({ kind: 'fenced', term: 1 });
  await coordinator.until(() => coordinator.said('hello').some(({ incarnation }) => incarnation !== hello!.incarnation));
  expect(slots[0]!.words).toEqual(['abort 0,1']);
  coordinator.send({ kind: 'fenced', term: 1 }, hello!.address);
  await coordinator.until(() => coordinator.said('held').length > 1);
  coordinator.assign([7, 1], raw);
  await given(2);
  slots[1]!.finish(slots[1]!.works[0]!);
  await coordinator.until(() => coordinator.results.has(7));
  expect(new Set(coordinator.said('hello').map(({ incarnation }) => incarnation)).size).toBe(2);
});

test('a message that makes no sense is reported and passed over', async () => {
  const warnings: string[] = [];
  const { coordinator, broker } = await start({ onWarning: (line) => warnings.push(line) });
  const [hello] = coordinator.said('hello') as (FromWorker & { kind: 'hello' })[];
  await broker.send(hello!.address, [Uint8Array.of(1, 2, 3)]);
  coordinator.assign([0, 1]);
  await coordinator.until(() => coordinator.results.size === 1);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('w1');
});

test('a broker that is away is not reported once a message: it says so itself', async () => {
  const warnings: string[] = [];
  const { broker } = await start({ onWarning: (line) => warnings.push(line) });
  const send = broker.send.bind(broker);
  let refused = 0;
  broker.send = (address, chunks) => {
    if (address.startsWith('worker.')) return send(address, chunks);
    return Promise.reject(++refused < 3 ? new BrokerUnavailableError('there is no line') : new Error('out of order'));
  };
  await expect.poll(() => warnings.length > 0, { timeout: 10_000 }).toBe(true);
  expect(warnings[0]).toContain('out of order');
});

test('a message that can not be written costs that message', async () => {
  const warnings: string[] = [];
  const { coordinator, broker } = await start({ onWarning: (line) => warnings.push(line) });
  const send = broker.send.bind(broker);
  let thrown = 0;
  broker.send = (address, chunks) => {
    if (!address.startsWith('worker.') && ++thrown === 1) throw new TypeError('nobody can write this');
    return send(address, chunks);
  };
  await coordinator.until(() => thrown > 1);
  coordinator.assign([0, 3]);
  await coordinator.until(() => coordinator.results.size === 3);
  expect(warnings).toEqual([expect.stringContaining('was not sent: nobody can write this')]);
});

describe('ending (W10)', () => {
  test('drain: what runs is finished, what waits goes back, then goodbye', async () => {
    const { coordinator, worker, slots, given } = await startPlayed({ slots: 1 });
    coordinator.assign([0, 3], raw);
    await given(1);
    const drained = worker.drain();
    slots[0]!.finish(slots[0]!.works[0]!);
    await drained;
    await coordinator.until(() => coordinator.said('goodbye').length === 1);
    expect(slots[0]!.isClosed).toBe(true);
    expect([...coordinator.results.keys()]).toEqual([0]);
    expect(coordinator.heard.map(({ kind }) => kind).filter((kind) => ['released', 'results', 'goodbye'].includes(kind))).toEqual([
      'released',
      'results',
      'goodbye',
    ]);
  });

  test('stop: what runs goes back only after its slot is closed; then goodbye', async () => {
    const { coordinator, worker, slots, given } = await startPlayed({ slots: 1 });
    coordinator.assign([0, 3], raw);
    await given(1);
    const slot = slots[0]!;
    let closed: () => void = () => undefined;
    slot.close = () =>
      new Promise((resolve) => {
        closed = resolve;
      });
    const stopped = worker.stop();
    await coordinator.until(() => coordinator.said('released').length === 1);
    expect(coordinator.said('goodbye')).toHaveLength(0);
    closed();
    await stopped;
    await coordinator.until(() => coordinator.said('goodbye').length === 1);
    const released = coordinator.said('released') as (FromWorker & { kind: 'released' })[];
    expect(released.map(({ ranges }) => [...ranges])).toEqual([
      [1, 2],
      [0, 1],
    ]);
    await Promise.all([worker.stop(), worker.drain(), worker.drained]);
  });

  test('a worker that nobody ever welcomed ends as well', async () => {
    const broker = memoryBroker();
    const worker = await startWorker({ worker: 'w9', broker, slots: 1, isolation: 'inline' });
    await worker.drain();
    await broker.close();
  });

  test('asked by the coordinator', async () => {
    const { coordinator, worker } = await start();
    coordinator.send({ kind: 'drain', term: 1 });
    await worker.drained;
    await coordinator.until(() => coordinator.said('goodbye').length === 1);
  });
});

test('beats go on, and their numbers grow', async () => {
  const { coordinator } = await start();
  await coordinator.until(() => coordinator.said('beat').length >= 3);
  const numbers = (coordinator.said('beat') as (FromWorker & { kind: 'beat' })[]).map(({ number }) => number);
  expect(numbers).toEqual(numbers.map((_, at) => at + 1));
});
