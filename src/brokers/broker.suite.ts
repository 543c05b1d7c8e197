/**
 * What every broker must do, whatever carries its messages. `open` gives two ends of one fresh broker: the
 * coordinator's and a worker's (in one process they may be the same object). The suite listens on the addresses
 * that the product uses, at the end that would listen there.
 *
 * It allows what the port allows: any order between messages, repeats after a throw. Carriers may lose messages
 * in a crash, never in quiet weather; the weather of the other tests is made by `faulty`.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Broker, BrokerUnavailableError, type Listener, MessageTooLargeError } from './broker.ts';
import { faulty } from './faulty.ts';

export interface BrokerEnds {
  coordinator: Broker;
  worker: Broker;
  /**
   * The worker's end dies without a word, as after `kill -9`; resolves to the end of the process that takes its place.
   * Where all ends are one object there is nothing to kill, and it is that object again.
   */
  loseWorker(): Promise<Broker>;
  /** Closes both ends and whatever carries between them. Called also when they are closed already. */
  close(): Promise<void>;
}

const text = (message: Uint8Array): string => Buffer.from(message).toString();
const bytes = (value: string): Uint8Array => Buffer.from(value);
const workerAddress = 'worker.w1.i1';

/** Collects what a listener is given and lets a test wait for a number of messages. */
class Inbox {
  readonly messages: string[] = [];
  readonly batches: number[] = [];
  private readonly waiting: { count: number; resolve: () => void }[] = [];

  readonly handle = (batch: readonly Uint8Array[]): void => {
    this.batches.push(batch.length);
    for (const message of batch) this.messages.push(text(message));
    for (const waiter of this.waiting.filter(({ count }) => this.messages.length >= count)) {
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      waiter.resolve();
    }
  };

  received(count: number): Promise<void> {
    if (this.messages.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ count, resolve }));
  }
}

function signal(): { promise: Promise<void>; give: () => void } {
  let give: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { promise, give };
}

export function brokerSuite(name: string, open: () => Promise<BrokerEnds>): void {
  describe(`broker ${name}`, () => {
    let ends: BrokerEnds;
    beforeEach(async () => {
      ends = await open();
    });
    afterEach(() => ends.close());

    test('delivers both ways, to the address that was named and to no other', async () => {
      const hello = new Inbox();
      const toWorker = new Inbox();
      const other = new Inbox();
      await ends.coordinator.listen('hello', hello.handle);
      await ends.worker.listen(workerAddress, toWorker.handle);
      await ends.worker.listen('worker.w2.i9', other.handle);
      await ends.worker.send('hello', [bytes('I am w1')]);
      await hello.received(1);
      await ends.coordinator.send(workerAddress, [bytes('welcome')]);
      await ends.coordinator.send('worker.w2.i9', [bytes('welcome, other')]);
      await Promise.all([toWorker.received(1), other.received(1)]);
      expect([hello.messages, toWorker.messages, other.messages]).toEqual([['I am w1'], ['welcome'], ['welcome, other']]);
    });

    test('chunks are one message, whatever their number; empty ones among them', async () => {
      const inbox = new Inbox();
      await ends.worker.listen(workerAddress, inbox.handle);
      await ends.coordinator.send(workerAddress, [bytes('one')]);
      await ends.coordinator.send(workerAddress, [bytes('t'), bytes(''), bytes('w'), bytes('o')]);
      await inbox.received(2);
      expect(inbox.messages.toSorted()).toEqual(['one', 'two']);
    });

    test('the bytes of a message are what was sent, a megabyte of them too', async () => {
      const big = Buffer.alloc(Math.min(1024 * 1024, ends.coordinator.maxMessageBytes));
      for (let i = 0; i < big.length; i++) big[i] = (i * 31) ^ (i >>> 8);
      const arrived = signal();
      let got: Uint8Array | undefined;
      await ends.worker.listen(workerAddress, (batch) => {
        got = batch[0];
        arrived.give();
      });
      await ends.coordinator.send(workerAddress, [big.subarray(0, 1000), big.subarray(1000)]);
      await arrived.promise;
      expect(Buffer.compare(got!, big)).toBe(0);
    });

    test('a thousand messages arrive, each of them', async () => {
      const inbox = new Inbox();
      await ends.coordinator.listen('coordinator.1', inbox.handle);
      const wanted = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
      await Promise.all(wanted.map((message) => ends.worker.send('coordinator.1', [bytes(message)])));
      await inbox.received(1000);
      expect(inbox.messages.toSorted()).toEqual(wanted.toSorted());
    });

    test('one handle at a time; what arrives meanwhile comes afterwards, several in one batch', async () => {
      const inbox = new Inbox();
      const started = signal();
      const goOn = signal();
      let running = 0;
      let runningMax = 0;
      await ends.worker.listen(workerAddress, async (batch) => {
        running += 1;
        runningMax = Math.max(runningMax, running);
        inbox.handle(batch);
        started.give();
        await goOn.promise;
        running -= 1;
      });
      await ends.coordinator.send(workerAddress, [bytes('first')]);
      await started.promise;
      const later = Array.from({ length: 50 }, (_, i) => ends.coordinator.send(workerAddress, [bytes(`later ${i}`)]));
      await Promise.all(later);
      expect(inbox.messages).toEqual(['first']);
      goOn.give();
      await inbox.received(51);
      expect(runningMax).toBe(1);
      expect(inbox.batches.length).toBeLessThan(51);
    });

    test('a listener that is not done does not hold up another one', async () => {
      const slow = signal();
      const slowStarted = signal();
      const inbox = new Inbox();
      await ends.worker.listen(workerAddress, async () => {
        slowStarted.give();
        await slow.promise;
      });
      await ends.worker.listen('worker.w2.i1', inbox.handle);
      await ends.coordinator.send(workerAddress, [bytes('takes its time')]);
      await slowStarted.promise;
      await ends.coordinator.send('worker.w2.i1', [bytes('quick')]);
      await inbox.received(1);
      slow.give();
    });

    test('a handle that throws may get the batch again, and hears what comes later in any case', async () => {
      for (const fail of [
        () => {
          throw new Error('thrown');
        },
        () => Promise.reject(new Error('rejected')),
      ]) {
        const inbox = new Inbox();
        const failed = signal();
        let fails = true;
        const listener = await ends.worker.listen(workerAddress, (batch) => {
          inbox.handle(batch);
          if (!fails) return;
          fails = false;
          failed.give();
          return fail();
        });
        await ends.coordinator.send(workerAddress, [bytes('hard')]);
        await failed.promise;
        await ends.coordinator.send(workerAddress, [bytes('easy')]);
        while (!inbox.messages.includes('easy')) await inbox.received(inbox.messages.length + 1);
        expect(inbox.messages.filter((message) => message === 'hard').length).toBeLessThanOrEqual(2);
        await listener.close();
      }
    });

    test('a message to an address where nobody listens is taken all the same', async () => {
      await expect(ends.coordinator.send('worker.nobody.i1', [bytes('anyone?')])).resolves.toBeUndefined();
    });

    test('a message above the limit is refused with the limit named (N09)', async () => {
      const limit = ends.worker.maxMessageBytes;
      // Allocated lazily by the system: never written to, never copied.
      const half = new Uint8Array(Math.ceil(limit / 2) + 1);
      const refusal = ends.worker.send('hello', [half, half]);
      await expect(refusal).rejects.toBeInstanceOf(MessageTooLargeError);
      await expect(refusal).rejects.toThrow(String(limit));
    });

    test('a closed listener hears nothing more; closing waits for its handle, and twice is once', async () => {
      const inbox = new Inbox();
      const started = signal();
      const goOn = signal();
      const order: string[] = [];
      const listener: Listener = await ends.worker.listen(workerAddress, async (batch) => {
        inbox.handle(batch);
        started.give();
        await goOn.promise;
        order.push('handled');
      });
      await ends.coordinator.send(workerAddress, [bytes('heard')]);
      await started.promise;
      const closed = Promise.all([listener.close(), listener.close()]).then(() => order.push('closed'));
      goOn.give();
      await closed;
      expect(order).toEqual(['handled', 'closed']);
      await ends.coordinator.send(workerAddress, [bytes('not heard')]);
      const next = new Inbox();
      await ends.worker.listen('worker.w1.i2', next.handle);
      await ends.coordinator.send('worker.w1.i2', [bytes('marker')]);
      await next.received(1);
      expect(inbox.messages).toEqual(['heard']);
    });

    test('it is up when opened; after close it is down, says so, and refuses', async () => {
      expect(ends.worker.state).toBe('up');
      const told: string[] = [];
      ends.worker.onState((state) => told.push(state));
      await ends.worker.close();
      expect(ends.worker.state).toBe('down');
      expect(told.at(-1)).toBe('down');
      await expect(ends.worker.send('hello', [bytes('late')])).rejects.toBeInstanceOf(BrokerUnavailableError);
      await expect(ends.worker.listen(workerAddress, () => undefined)).rejects.toBeInstanceOf(BrokerUnavailableError);
      await ends.worker.close();
    });

    test('close waits for a handle that is under way', async () => {
      const started = signal();
      const goOn = signal();
      const order: string[] = [];
      await ends.worker.listen(workerAddress, async () => {
        started.give();
        await goOn.promise;
        order.push('handled');
      });
      await ends.coordinator.send(workerAddress, [bytes('work')]);
      await started.promise;
      const closed = ends.worker.close().then(() => order.push('closed'));
      goOn.give();
      await closed;
      expect(order).toEqual(['handled', 'closed']);
    });

    test('a handle that throws half-way gets the whole batch again or none of it', async () => {
      const batches: string[][] = [];
      const started = signal();
      const goOn = signal();
      const failed = signal();
      const over = signal();
      await ends.worker.listen(workerAddress, async (batch) => {
        batches.push(batch.map(text));
        if (batches.length === 1) {
          started.give();
          await goOn.promise;
        }
        if (batches.length === 2) {
          failed.give();
          throw new Error('after the first of the batch');
        }
        if (batches.at(-1)!.includes('last')) over.give();
      });
      await ends.coordinator.send(workerAddress, [bytes('first')]);
      await started.promise;
      for (const message of ['a', 'b', 'c']) await ends.coordinator.send(workerAddress, [bytes(message)]);
      goOn.give();
      await failed.promise;
      await ends.coordinator.send(workerAddress, [bytes('last')]);
      await over.promise;
      const later = batches.slice(2).flat();
      const again = batches[1]!.filter((message) => later.includes(message));
      expect([0, batches[1]!.length]).toContain(again.length);
      for (const batch of batches) expect(new Set(batch).size).toBe(batch.length);
    });

    test('a crash between receipt and acknowledgement: the next one at that address hears what is said to it', async () => {
      const dead = new Inbox();
      const started = signal();
      const goOn = signal();
      const listener = await ends.worker.listen(workerAddress, async (batch) => {
        dead.handle(batch);
        started.give();
        await goOn.promise;
      });
      const hello = new Inbox();
      await ends.coordinator.listen('hello', hello.handle);
      await ends.coordinator.send(workerAddress, [bytes('received')]);
      await started.promise;
      const next = await ends.loseWorker();
      const closed = listener.close();
      const inbox = new Inbox();
      await next.listen(workerAddress, inbox.handle);
      await next.send('hello', [bytes('in its place')]);
      await hello.received(1);
      await ends.coordinator.send(workerAddress, [bytes('to the next')]);
      while (!inbox.messages.includes('to the next')) await inbox.received(inbox.messages.length + 1);
      goOn.give();
      await closed;
      expect(dead.messages).toEqual(['received']);
      expect(inbox.messages.filter((message) => message === 'received').length).toBeLessThanOrEqual(1);
      expect(hello.messages).toEqual(['in its place']);
    });

    test.each([
      ['lost (N02)', { loss: 0.3 }],
      ['repeated up to five times (N03)', { duplication: 0.5 }],
      ['late and in another order (N04)', { delay: 0.5 }],
      ['all of that', { loss: 0.2, duplication: 0.3, delay: 0.3 }],
    ])('messages that are %s: each copy on its way arrives whole, and nothing else does', async (_what, weather) => {
      const inbox = new Inbox();
      await ends.coordinator.listen('coordinator.1', inbox.handle);
      const stormy = faulty(ends.worker, { seed: 11, ...weather });
      const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
      for (const message of sent) await stormy.send('coordinator.1', [bytes(message.slice(0, 4)), bytes(message.slice(4))]);
      await stormy.heal();
      const { lost, repeated } = stormy.counts;
      await inbox.received(sent.length - lost + repeated);
      expect(lost + repeated + stormy.counts.delayed).toBeGreaterThan(30);
      expect(new Set(inbox.messages).size).toBe(sent.length - lost);
      expect(sent).toEqual(expect.arrayContaining([...new Set(inbox.messages)]));
    });

    test('a coordinator’s end that is closed hears nothing, refuses, and lets its listeners be closed', async () => {
      const inbox = new Inbox();
      const listener = await ends.coordinator.listen('hello', inbox.handle);
      await ends.worker.send('hello', [bytes('in time')]);
      await inbox.received(1);
      await ends.coordinator.close();
      await ends.worker.send('hello', [bytes('late')]).catch(() => undefined);
      await expect(ends.coordinator.send(workerAddress, [bytes('late')])).rejects.toBeInstanceOf(BrokerUnavailableError);
      await expect(ends.coordinator.listen('hello', () => undefined)).rejects.toBeInstanceOf(BrokerUnavailableError);
      await Promise.all([listener.close(), ends.coordinator.close()]);
      expect(inbox.messages).toEqual(['in time']);
    });
  });
}
