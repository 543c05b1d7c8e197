import { expect, test } from 'vitest';
import { brokerSuite } from './broker.suite.ts';
import { type FaultOptions, type FaultyBroker, faulty } from './faulty.ts';
import { memoryBroker } from './memory.ts';

brokerSuite('faulty, without faults', async () => {
  const broker = faulty(memoryBroker({ maxMessageBytes: 8 * 1024 * 1024 }), { seed: 1 });
  return { coordinator: broker, worker: broker, loseWorker: async () => broker, close: () => broker.close() };
});

/** Sends 0 … count-1 and returns what arrived, in order. */
async function weather(options: FaultOptions, count = 200): Promise<{ got: number[]; counts: FaultyBroker['counts'] }> {
  const broker = faulty(memoryBroker(), options);
  const got: number[] = [];
  await broker.listen('a', (batch) => void got.push(...batch.map((bytes) => bytes[0]!)));
  for (let i = 0; i < count; i++) await broker.send('a', [Uint8Array.of(i)]);
  await broker.heal();
  await broker.send('a', [Uint8Array.of(255)]);
  await new Promise(setImmediate);
  await broker.close();
  return { got, counts: { ...broker.counts } };
}

test('the same seed gives the same weather, another one another', async () => {
  const storm = { loss: 0.2, duplication: 0.2, delay: 0.3 };
  expect(await weather({ seed: 7, ...storm })).toEqual(await weather({ seed: 7, ...storm }));
  expect((await weather({ seed: 8, ...storm })).got).not.toEqual((await weather({ seed: 7, ...storm })).got);
});

test('lost ones are missing, the others in order', async () => {
  const { got, counts } = await weather({ seed: 3, loss: 0.25 });
  expect(got).toHaveLength(201 - counts.lost);
  expect(counts.lost).toBeGreaterThan(20);
  expect(got).toEqual(got.toSorted((a, b) => a - b));
});

test('repeated ones come up to five times (N03)', async () => {
  const { got, counts } = await weather({ seed: 3, duplication: 0.5 });
  expect(got).toHaveLength(201 + counts.repeated);
  expect(new Set(got).size).toBe(201);
  expect(Math.max(...Array.from({ length: 200 }, (_, i) => got.filter((value) => value === i).length))).toBe(5);
});

test('delayed ones are overtaken, and none is left behind after heal (N04)', async () => {
  const { got } = await weather({ seed: 3, delay: 0.5 });
  expect(got).not.toEqual(got.toSorted((a, b) => a - b));
  expect(got.toSorted((a, b) => a - b)).toEqual([...Array.from({ length: 200 }, (_, i) => i), 255]);
});

test('faults can be kept to some addresses (N07)', async () => {
  const broker = faulty(memoryBroker(), { seed: 1, loss: 1, only: (address) => address === 'coordinator.1' });
  const heard: string[] = [];
  await broker.listen('coordinator.1', () => void heard.push('coordinator'));
  await broker.listen('worker.w1.i1', () => void heard.push('worker'));
  await broker.send('coordinator.1', [Uint8Array.of(1)]);
  await broker.send('worker.w1.i1', [Uint8Array.of(1)]);
  await new Promise(setImmediate);
  expect(heard).toEqual(['worker']);
  await broker.close();
});
