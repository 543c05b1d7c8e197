import { describe, expect, test } from 'vitest';
import { BrokerUnavailableError } from '../brokers/broker.ts';
import { faulty } from '../brokers/faulty.ts';
import { memoryBroker } from '../brokers/memory.ts';
import type { AssignMessage, FromWorker } from '../core/messages.ts';
import { indicesOf } from '../core/ranges.ts';
import { assignMessage as raw } from './protocol-double.suite.ts';
import { startWorker } from './worker.ts';
import { doubles, runs, start, startPlayed } from './worker-double.suite.ts';

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
  await expect.poll(() => warnings.length > 0).toBe(true);
  expect(warnings[0]).toContain('out of order');
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
