import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { Secret } from '../../lib/secret.ts';
import { type BrokerEnds, brokerSuite } from '../broker.suite.ts';
import { BrokerUnavailableError } from '../broker.ts';
import { type CarriedBroker, type CarriedOptions, openCarried } from './carried.ts';
import { type MemoryServer, memoryServer } from './memory-carrier.suite.ts';

const opened: CarriedBroker[] = [];
afterEach(async () => {
  for (const broker of opened.splice(0)) await broker.close();
});

const secret = new Secret('a secret of the cluster');
const url = new URL('memory://user:opensesame@host:1');
const worker = 'worker.w1.i1';

async function open(server: MemoryServer, options: Partial<CarriedOptions> = {}): Promise<CarriedBroker> {
  const broker = await openCarried({ open: server.open, url, cluster: 'c', ...options });
  opened.push(broker);
  return broker;
}

async function endsOf(server: MemoryServer, options: Partial<CarriedOptions> = {}): Promise<BrokerEnds> {
  const [coordinator, first] = [await open(server, options), await open(server, options)];
  return { coordinator, worker: first, loseWorker: () => open(server, options), close: async () => {} };
}

brokerSuite('carried', () => endsOf(memoryServer()));
brokerSuite('carried, signed', () => endsOf(memoryServer(), { secret }));
brokerSuite('carried, in payloads of 1 KiB that come in another order and twice', () => {
  const server = memoryServer();
  server.payloadBytesMax = 1024;
  let held: Uint8Array[] = [];
  // Each second one is kept back until the next has overtaken it, except for the last of all: probes come behind.
  server.onPayload = (_inbox, payload) => {
    if (held.length === 0 && payload.length === 1024) {
      held = [payload];
      return [];
    }
    const out = [payload, ...held, payload];
    held = [];
    return out;
  };
  return endsOf(server);
});

const text = (batch: readonly Uint8Array[]): string[] => batch.map((message) => Buffer.from(message).toString());
const bytes = (word: string): Uint8Array => Buffer.from(word);

/** What was heard, and a promise of the n-th. */
function ear(): { heard: string[]; handle: (batch: readonly Uint8Array[]) => void; has(count: number): Promise<void> } {
  const heard: string[] = [];
  let waiting: { count: number; resolve: () => void }[] = [];
  return {
    heard,
    handle(batch) {
      heard.push(...text(batch));
      for (const { resolve } of waiting.filter(({ count }) => heard.length >= count)) resolve();
      waiting = waiting.filter(({ count }) => heard.length < count);
    },
    has: (count) => (heard.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve }))),
  };
}

function stateOf(broker: CarriedBroker, wanted: 'up' | 'down'): Promise<void> {
  return new Promise((resolve) => broker.onState((state) => state === wanted && resolve()));
}

/** Lines, and a promise of one that matches. */
function log(pattern: RegExp): { lines: string[]; onWarning: (line: string) => void; said: Promise<string> } {
  const lines: string[] = [];
  let resolve: (line: string) => void = () => undefined;
  const said = new Promise<string>((resolveSaid) => {
    resolve = resolveSaid;
  });
  const onWarning = (line: string): void => {
    lines.push(line);
    if (pattern.test(line)) resolve(line);
  };
  return { lines, onWarning, said };
}

/** Test deadlines are unref'd timers: something has to keep the process awake. */
async function awake<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, 1000);
  return promise.finally(() => clearInterval(timer));
}

describe('packing', () => {
  test('what gathers while a publish is under way goes out in one payload', async () => {
    const server = memoryServer();
    const [coordinator, other] = [await open(server, { probeEveryMs: 60_000 }), await open(server, { probeEveryMs: 60_000 })];
    const { heard, handle, has } = ear();
    await other.listen(worker, handle);
    const before = server.publishCount;
    await Promise.all(Array.from({ length: 1000 }, (_, i) => coordinator.send(worker, [bytes(`${i}`)])));
    await has(1000);
    expect(server.publishCount - before).toBeLessThanOrEqual(2);
    expect(heard).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`));
  });

  test('messages of all sizes around that of a payload arrive as they were (N09)', async () => {
    const server = memoryServer();
    server.payloadBytesMax = 512;
    const [coordinator, other] = [await open(server, { secret }), await open(server, { secret })];
    const got = new Map<number, Uint8Array>();
    const over = ear();
    await other.listen(worker, (batch) => {
      for (const message of batch) got.set(message.length, Uint8Array.from(message));
      over.handle(batch);
    });
    const sizes = [0, 1, ...Array.from({ length: 120 }, (_, i) => 400 + i), 1000, 1024, 5000, 100_000];
    const sent = sizes.map((size) => randomBytes(size));
    await Promise.all(sent.map((message) => coordinator.send(worker, [message.subarray(0, 7), message.subarray(7)])));
    await over.has(sizes.length);
    for (const message of sent) expect(Buffer.compare(got.get(message.length)!, message)).toBe(0);
  });
});

describe('weather', () => {
  test('a part that was lost: its message is given up in time, with a line, and the others arrive', async () => {
    const server = memoryServer();
    server.payloadBytesMax = 512;
    const given = log(/given up: its other parts/);
    const coordinator = await open(server);
    const other = await open(server, { partDeadlineMs: 20, probeEveryMs: 10, onWarning: given.onWarning });
    const { heard, handle, has } = ear();
    await other.listen(worker, handle);
    let count = 0;
    server.onPayload = (inbox, payload) => (inbox === `c.${worker}` && count++ === 1 ? [] : [payload]);
    await coordinator.send(worker, [new Uint8Array(2000)]);
    await coordinator.send(worker, [bytes('small')]);
    await has(1);
    await awake(given.said);
    expect(heard).toEqual(['small']);
  });

  test('connected but silent: it is down within the limit, sends are refused, and it heals by itself (N01)', async () => {
    const server = memoryServer();
    const warned = log(/connected, but silent/);
    const broker = await open(server, { probeEveryMs: 20, silentMs: 60, onWarning: warned.onWarning });
    const { heard, handle, has } = ear();
    await broker.listen('hello', handle);
    const down = stateOf(broker, 'down');
    server.silence();
    const pending = broker.send('hello', [bytes('into silence')]);
    await awake(Promise.all([expect(pending).rejects.toBeInstanceOf(BrokerUnavailableError), down, warned.said]));
    await expect(broker.send('hello', [bytes('meanwhile')])).rejects.toBeInstanceOf(BrokerUnavailableError);
    const up = stateOf(broker, 'up');
    server.speak();
    await awake(up);
    await broker.send('hello', [bytes('again')]);
    while (!heard.includes('again')) await has(heard.length + 1);
    expect(server.connectionCount).toBe(1);
  });

  test.each([false, true])('a restart, memory lost %s: what is listened on is heard again (N01, N02)', async (forgets) => {
    const server = memoryServer();
    const broker = await open(server);
    const { heard, handle, has } = ear();
    await broker.listen('hello', handle);
    const down = stateOf(broker, 'down');
    server.stop(forgets);
    await down;
    const meanwhile = ear();
    await broker.listen(worker, meanwhile.handle);
    const up = stateOf(broker, 'up');
    server.start();
    await awake(up);
    await Promise.all([broker.send('hello', [bytes('again')]), broker.send(worker, [bytes('new')])]);
    await Promise.all([has(1), meanwhile.has(1)]);
    expect([heard, meanwhile.heard]).toEqual([['again'], ['new']]);
  });

  test('who begins to listen at any moment while it comes up is heard once it is (N01)', async () => {
    for (let steps = 0; steps < 40; steps++) {
      const server = memoryServer();
      const broker = await open(server, { probeEveryMs: 60_000 });
      const { handle, has } = ear();
      let isAsked = false;
      // So many steps after the probe came round.
      const listenSoon = async (): Promise<void> => {
        for (let step = 0; step < steps; step++) await undefined;
        await broker.listen('late', handle);
      };
      let listening: Promise<void> | undefined;
      server.onPayload = (inbox, payload) => {
        if (isAsked && inbox.startsWith('c.probe')) listening ??= listenSoon();
        return [payload];
      };
      const up = stateOf(broker, 'up');
      isAsked = true;
      server.stop(true);
      server.start();
      await awake(up);
      await listening;
      await broker.send('late', [bytes('heard')]);
      await awake(has(1));
      await broker.close();
    }
  });

  test('a server that is not there: refused with its address and without credentials; the patient wait for it', async () => {
    const server = memoryServer();
    server.stop(true);
    const refusal = await open(server).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'SH3103', message: 'cannot reach the broker at memory://host:1', why: 'connection refused' });
    expect(JSON.stringify(refusal)).not.toContain('opensesame');
    const broker = await open(server, { patient: true });
    expect(broker.state).toBe('down');
    const up = stateOf(broker, 'up');
    server.start();
    await awake(up);
  });

  test('an adapter’s words are told without credentials', async () => {
    const server = memoryServer();
    const failing: CarriedOptions['open'] = async () => {
      throw new Error('WRONGPASS for memory://user:opensesame@host:1 (opensesame)');
    };
    await expect(open(server, { open: failing })).rejects.toMatchObject({ why: expect.not.stringContaining('opensesame') });
  });

  test('a full room: sends wait, and are refused by a deadline (N14)', async () => {
    const server = memoryServer();
    const broker = await open(server, { sendBytesMax: 10, sendDeadlineMs: 20 });
    server.silence();
    const first = broker.send(worker, [new Uint8Array(8)]);
    const late = broker.send(worker, [new Uint8Array(8)]);
    await expect(broker.send(worker, [new Uint8Array(8)])).rejects.toThrow('cannot be reached');
    await awake(expect(late).rejects.toBeInstanceOf(BrokerUnavailableError));
    server.speak();
    await first;
    await broker.send(worker, [new Uint8Array(100)]);
  });
});

describe('settings', () => {
  test('one that does harm keeps it from opening; others are told once', async () => {
    const server = memoryServer();
    server.findings = [{ level: 'refuse', setting: 'policy lru', meaning: 'messages vanish', fix: 'set policy noeviction' }];
    await expect(open(server, { patient: true })).rejects.toMatchObject({
      code: 'SH3104',
      message: expect.stringContaining('policy lru'),
      hint: 'set policy noeviction',
    });
    server.findings = [{ level: 'warning', setting: 'sync off', meaning: 'a crash of its machine loses messages' }];
    const { lines, onWarning } = log(/./);
    const broker = await open(server, { onWarning });
    expect(lines).toEqual(['the broker at memory://host:1: sync off: a crash of its machine loses messages']);
    expect(await broker.inspect()).toEqual(server.findings);
  });
});

describe('a cluster’s secret', () => {
  async function signed(): Promise<{ server: MemoryServer; from: CarriedBroker; to: CarriedBroker; recorded: Uint8Array[] }> {
    const server = memoryServer();
    const recorded: Uint8Array[] = [];
    server.onPayload = (inbox, payload) => {
      if (inbox === `c.${worker}`) recorded.push(payload);
      return [payload];
    };
    const [from, to] = [await open(server, { secret }), await open(server, { secret })];
    return { server, from, to, recorded };
  }

  test('a recorded payload is not heard again, not at its inbox and not at another', async () => {
    const { server, from, to, recorded } = await signed();
    const [one, other] = [ear(), ear()];
    await to.listen(worker, one.handle);
    await to.listen('worker.w2.i1', other.handle);
    await from.send(worker, [bytes('run it')]);
    await one.has(1);
    server.inject(`c.${worker}`, recorded[0]!);
    server.inject('c.worker.w2.i1', recorded[0]!);
    await Promise.all([from.send(worker, [bytes('next')]), from.send('worker.w2.i1', [bytes('next')])]);
    await Promise.all([one.has(2), other.has(1)]);
    expect([one.heard, other.heard]).toEqual([['run it', 'next'], ['next']]);
    expect(to.refused).toMatchObject({ 'seen before': 1, 'wrong signature': 1 });
  });

  test('no byte of a payload can be changed', async () => {
    const { server, from, to, recorded } = await signed();
    const { heard, handle, has } = ear();
    await to.listen(worker, handle);
    await from.send(worker, [bytes('run it')]);
    await has(1);
    const original = recorded[0]!;
    server.onPayload = undefined;
    for (let at = 0; at < original.length; at++) {
      const forged = Uint8Array.from(original);
      forged[at]! ^= 1;
      server.inject(`c.${worker}`, forged);
    }
    for (let length = 0; length < original.length; length++) server.inject(`c.${worker}`, original.subarray(0, length));
    await from.send(worker, [bytes('next')]);
    await has(2);
    expect(heard).toEqual(['run it', 'next']);
    const { refused } = to;
    expect(Object.values(refused).reduce((sum, count) => sum + count)).toBe(2 * original.length);
    expect(refused['wrong signature']).toBeGreaterThan(original.length / 2);
  });

  test('bytes that make no sense are counted, whatever they are', async () => {
    const server = memoryServer();
    const [from, to] = [await open(server), await open(server)];
    const { heard, handle, has } = ear();
    await to.listen(worker, handle);
    for (let i = 0; i < 300; i++) server.inject(`c.${worker}`, Buffer.concat([Buffer.of(i % 4), randomBytes(i % 80)]));
    await from.send(worker, [bytes('sense')]);
    while (!heard.includes('sense')) await has(heard.length + 1);
    expect(to.refused.senseless).toBeGreaterThan(100);
  });

  test.each([
    ['with and one without', secret, undefined],
    ['without and one with', undefined, secret],
    ['with and one with another', secret, new Secret('another secret of a cluster')],
  ])('one %s do not hear each other, and both say so', async (_what, ours, theirs) => {
    const server = memoryServer();
    const [here, there] = [log(/refused a message to hello/), log(/does not hear this one/)];
    const coordinator = await open(server, { onWarning: here.onWarning, ...(ours && { secret: ours }) });
    const other = await open(server, { onWarning: there.onWarning, ...(theirs && { secret: theirs }) });
    const { heard, handle } = ear();
    await coordinator.listen('hello', handle);
    for (let i = 0; i < 50; i++) await other.send('hello', [bytes('let me in')]);
    await awake(Promise.all([here.said, there.said]));
    expect(heard).toEqual([]);
    expect(here.lines).toHaveLength(1);
    expect(there.lines).toHaveLength(1);
  });

  test('clusters of one server do not hear each other, even with one secret', async () => {
    const server = memoryServer();
    const [ours, theirs] = [await open(server, { secret }), await open(server, { secret, cluster: 'd' })];
    const [here, there] = [ear(), ear()];
    await ours.listen('hello', here.handle);
    await theirs.listen('hello', there.handle);
    await theirs.send('hello', [bytes('to theirs')]);
    await ours.send('hello', [bytes('to ours')]);
    await Promise.all([here.has(1), there.has(1)]);
    expect([here.heard, there.heard]).toEqual([['to ours'], ['to theirs']]);
  });
});
