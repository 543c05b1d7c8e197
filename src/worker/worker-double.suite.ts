/** A worker with its coordinator, and slots, played by the test. */
import { afterEach } from 'vitest';
import type { Broker, Listener } from '../brokers/broker.ts';
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

export const runs = new Map<string, number>();
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
export function doubles(term: number, serial: number, ranges: number[]): AssignMessage {
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

export async function start(
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

export async function startPlayed(more: Partial<WorkerOptions> = {}): Promise<Played> {
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
