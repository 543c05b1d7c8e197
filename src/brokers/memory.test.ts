import { expect, test } from 'vitest';
import { brokerSuite } from './broker.suite.ts';
import { BrokerUnavailableError } from './broker.ts';
import { memoryBroker } from './memory.ts';

brokerSuite('memory', async () => {
  const broker = memoryBroker({ maxMessageBytes: 8 * 1024 * 1024 });
  return { coordinator: broker, worker: broker, loseWorker: async () => broker, close: () => broker.close() };
});

const message = (length: number, fill = 0): Uint8Array => new Uint8Array(length).fill(fill);

test('a message is there after one microtask, and what was sent together comes together', async () => {
  const broker = memoryBroker();
  const batches: number[][] = [];
  await broker.listen('a', (batch) => {
    batches.push(batch.map((bytes) => bytes[0]!));
  });
  for (const fill of [1, 2, 3]) void broker.send('a', [message(1, fill)]);
  expect(batches).toEqual([]);
  await null;
  expect(batches).toEqual([[1, 2, 3]]);
  await broker.close();
});

test('a single chunk is handed over as it is, not copied', async () => {
  const broker = memoryBroker();
  let got: Uint8Array | undefined;
  await broker.listen('a', (batch) => {
    got = batch[0];
  });
  const sent = message(8);
  await broker.send('a', [sent]);
  await null;
  expect(got).toBe(sent);
  await broker.close();
});

test('a full queue is back-pressure: sends pend in order until there is room (N14)', async () => {
  const broker = memoryBroker({ queueBytesMax: 10 });
  const got: number[] = [];
  let goOn: () => void = () => undefined;
  await broker.listen('a', (batch) => {
    got.push(...batch.map((bytes) => bytes[0]!));
    return new Promise((resolve) => {
      goOn = resolve;
    });
  });
  const settled: number[] = [];
  const send = (fill: number, length: number): Promise<void> =>
    broker.send('a', [message(length, fill)]).then(() => void settled.push(fill));
  await send(1, 4);
  const later = [send(2, 6), send(3, 4), send(4, 1), send(5, 20)];
  await later[1];
  expect({ got, settled }).toEqual({ got: [1], settled: [1, 2, 3] });
  goOn();
  await later[2];
  expect({ got, settled }).toEqual({ got: [1, 2, 3], settled: [1, 2, 3, 4] });
  goOn();
  await later[3];
  goOn();
  await new Promise(setImmediate);
  expect(got).toEqual([1, 2, 3, 4, 5]);
  goOn();
  await broker.close();
});

test('a send that finds no room rejects by its deadline, and is never delivered', async () => {
  const broker = memoryBroker({ queueBytesMax: 4, sendDeadlineMs: 5 });
  const got: number[] = [];
  let goOn: () => void = () => undefined;
  await broker.listen('a', (batch) => {
    got.push(...batch.map((bytes) => bytes[0]!));
    return new Promise((resolve) => {
      goOn = resolve;
    });
  });
  await broker.send('a', [message(4, 1)]);
  await null;
  await broker.send('a', [message(4, 2)]);
  await keepAwake(expect(broker.send('a', [message(4, 3)])).rejects.toBeInstanceOf(BrokerUnavailableError));
  goOn();
  await new Promise(setImmediate);
  goOn();
  await new Promise(setImmediate);
  expect(got).toEqual([1, 2]);
  await broker.close();
});

test('parties that answer each other for ever do not starve timers', async () => {
  const broker = memoryBroker();
  let rounds = 0;
  let isOver = false;
  await broker.listen('ping', () => {
    rounds += 1;
    if (!isOver) void broker.send('pong', [message(1)]);
  });
  await broker.listen('pong', () => void broker.send('ping', [message(1)]));
  void broker.send('ping', [message(1)]);
  await new Promise((resolve) => setTimeout(resolve, 1));
  isOver = true;
  expect(rounds).toBeGreaterThan(0);
  await broker.close();
});

test('several listeners on one address all hear it', async () => {
  const broker = memoryBroker();
  const heard: string[] = [];
  await broker.listen('hello', () => void heard.push('leader'));
  const standby = await broker.listen('hello', () => void heard.push('standby'));
  await broker.send('hello', [message(1)]);
  await null;
  await standby.close();
  await broker.send('hello', [message(1)]);
  await null;
  expect(heard).toEqual(['leader', 'standby', 'leader']);
  await broker.close();
});

/** The deadline's timer does not keep a process alive; a test that waits for it has to. */
async function keepAwake<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, 1000);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

test('by hand objects arrive as they are, in order, under the same bounds; a plain broker does not offer it', async () => {
  expect(memoryBroker().byHand).toBeUndefined();
  const broker = memoryBroker({ byHand: true, queueBytesMax: 10, maxMessageBytes: 20 });
  const { byHand } = broker;
  const got: object[] = [];
  let goOn: () => void = () => undefined;
  await byHand!.listen('a', (batch) => {
    got.push(...batch);
    return new Promise((resolve) => {
      goOn = resolve;
    });
  });
  const sent = [{ n: 1 }, { n: 2 }, { n: 3 }];
  await byHand!.send('a', sent[0]!, 4);
  await null;
  expect(got[0]).toBe(sent[0]);
  await byHand!.send('a', sent[1]!, 8);
  const last = byHand!.send('a', sent[2]!, 3);
  await null;
  expect(got).toEqual([sent[0]]);
  goOn();
  await last;
  expect(got).toEqual([sent[0], sent[1]]);
  goOn();
  await new Promise(setImmediate);
  expect(got).toEqual(sent);
  await expect(byHand!.send('a', {}, 21)).rejects.toThrow('a message of 21 bytes');
  goOn();
  await broker.close();
  await expect(byHand!.send('a', {}, 1)).rejects.toBeInstanceOf(BrokerUnavailableError);
});
