import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type SocketServer, socketServer } from '../../wire/line.suite.ts';
import { openLink } from '../../wire/link.ts';
import { brokerSuite } from '../broker.suite.ts';
import type { Broker } from '../broker.ts';
import { dialWsBroker } from './client.ts';
import { addressed, control } from './envelope.ts';
import { WsBrokerServer } from './server.ts';

interface Ends {
  server: SocketServer;
  coordinator: WsBrokerServer;
  worker: Broker;
  warnings: string[];
  close(): Promise<void>;
}

async function open(): Promise<Ends> {
  const server = await socketServer();
  const warnings: string[] = [];
  const coordinator = new WsBrokerServer({ onWarning: (line) => warnings.push(line), pingMs: 100 });
  server.onAccept = (socket) => coordinator.accept(socket, 'test');
  const worker = await dialWsBroker({ address: server.address, pingMs: 100, onWarning: (line) => warnings.push(line) });
  return {
    server,
    coordinator,
    worker,
    warnings,
    async close() {
      await worker.close();
      await coordinator.close();
      await server.close();
    },
  };
}

brokerSuite('ws:', open);

const text = (batch: readonly Uint8Array[]): string[] => batch.map((message) => Buffer.from(message).toString());
const bytes = (word: string): Uint8Array => Buffer.from(word);
const address = 'worker.w1.i1';

function states(broker: Broker): { reached(state: 'up' | 'down'): Promise<void>; seen: string[] } {
  const seen: string[] = [];
  let waiting: { state: string; resolve: () => void }[] = [];
  broker.onState((state) => {
    seen.push(state);
    for (const waiter of waiting.filter((each) => each.state === state)) waiter.resolve();
    waiting = waiting.filter((each) => each.state !== state);
  });
  return { seen, reached: (state) => new Promise((resolve) => waiting.push({ state, resolve })) };
}

describe('a line that breaks', () => {
  let ends: Ends;
  afterEach(() => ends.close());

  test('is dialled again, and what was listened on is heard on the new one (N01)', async () => {
    ends = await open();
    const heard: string[] = [];
    let arrived: () => void = () => undefined;
    await ends.worker.listen(address, (batch) => {
      heard.push(...text(batch));
      arrived();
    });
    const { reached, seen } = states(ends.worker);
    const down = reached('down');
    const up = reached('up');
    ends.server.cut();
    await down;
    await expect(ends.worker.send('hello', [bytes('lost')])).rejects.toMatchObject({ code: 'SH3102' });
    await up;
    const got = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    await ends.coordinator.send(address, [bytes('again')]);
    await got;
    expect(heard).toEqual(['again']);
    expect(seen).toEqual(['down', 'up']);
    expect(ends.worker.state).toBe('up');
  });

  test('is told to the coordinator with the addresses that are gone (H12)', async () => {
    ends = await open();
    await ends.worker.listen(address, () => undefined);
    const gone = new Promise<readonly string[]>((resolve) => ends.coordinator.onGone(resolve));
    ends.server.cut();
    await expect(gone).resolves.toEqual([address]);
  });

  test('whose worker is on a new one already takes nothing along: the address is the new line’s', async () => {
    ends = await open();
    await ends.worker.listen(address, () => undefined);
    const gone: string[] = [];
    ends.coordinator.onGone((addresses) => gone.push(...addresses));
    const second = await dialWsBroker({ address: ends.server.address });
    let arrived: (messages: string[]) => void = () => undefined;
    const got = new Promise<string[]>((resolve) => {
      arrived = resolve;
    });
    await second.listen(address, (batch) => arrived(text(batch)));
    await ends.worker.close();
    await ends.coordinator.send(address, [bytes('to the new one')]);
    await expect(got).resolves.toEqual(['to the new one']);
    expect(gone).toEqual([]);
    await second.close();
  });

  test('while its handle is at work: the broker goes on for others, and for the one that comes back', async () => {
    ends = await open();
    let started: () => void = () => undefined;
    const isStarted = new Promise<void>((resolve) => {
      started = resolve;
    });
    let finish: () => void = () => undefined;
    const goOn = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const batches: string[][] = [];
    await ends.worker.listen(address, async (batch) => {
      batches.push(text(batch));
      started();
      await goOn;
    });
    await ends.coordinator.send(address, [bytes('received, not acknowledged')]);
    await isStarted;
    const { reached } = states(ends.worker);
    const up = reached('up');
    ends.server.cut();
    await up;
    await ends.coordinator.send(address, [bytes('later')]);
    finish();
    while (batches.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(batches).toEqual([['received, not acknowledged'], ['later']]);
  });

  test('and a coordinator that stays away is tried for ever, one warning a reason', async () => {
    ends = await open();
    const { reached } = states(ends.worker);
    const { port } = ends.server;
    const down = reached('down');
    await ends.server.close();
    await down;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (!ends.warnings.some((line) => line.includes('ECONNREFUSED'))) return;
        clearInterval(timer);
        resolve();
      }, 5);
    });
    const up = reached('up');
    const again = await socketServer(port);
    again.onAccept = (socket) => ends.coordinator.accept(socket, 'test');
    await up;
    expect(ends.warnings.filter((line) => line.includes('ECONNREFUSED')).length).toBe(1);
    await ends.worker.close();
    await again.close();
  });
});

describe('opening', () => {
  test('rejects where nobody is, unless it is to be patient', async () => {
    const server = await socketServer();
    await server.close();
    await expect(dialWsBroker({ address: server.address })).rejects.toMatchObject({ code: 'SH3001' });
    const patient = await dialWsBroker({ address: server.address, patient: true });
    expect(patient.state).toBe('down');
    const listening = patient.listen(address, () => undefined);
    const { reached } = states(patient);
    const up = reached('up');
    const coordinator = new WsBrokerServer();
    const there = await socketServer(server.port);
    there.onAccept = (socket) => coordinator.accept(socket, 'test');
    await up;
    await listening;
    await patient.close();
    await coordinator.close();
    await there.close();
  });

  test('is over with close, also while it dials', async () => {
    const server = await socketServer();
    await server.close();
    const patient = await dialWsBroker({ address: server.address, patient: true });
    await patient.close();
    await expect(patient.send('hello', [])).rejects.toMatchObject({ code: 'SH3102' });
  });
});

describe('a worker that does what none does', () => {
  test.each<[string, Uint8Array[]]>([
    ['listens where coordinators listen', control({ say: 'listen', address: 'coordinator.1', id: 1 })],
    ['speaks to another worker', [addressed('worker.w2.i1'), bytes('do this')]],
    ['says nothing with a meaning', [bytes('\u0009')]],
    ['says a word nobody knows', control({ say: 'shutdown' } as never)],
    ['breaks its JSON', [Buffer.of(1), bytes('{')]],
  ])('%s: its line is closed, others stay', async (_what, message) => {
    const ends = await open();
    const socket = new WebSocket(ends.server.address.replace('http', 'ws'));
    await new Promise((resolve) => socket.once('open', resolve));
    const closed = new Promise<string>((resolve) => {
      const link = openLink(socket, { messageBytesMax: 1e6, onMessage: () => undefined, onClose: resolve });
      link.send(message);
    });
    await closed;
    expect(ends.worker.state).toBe('up');
    expect(ends.warnings).toHaveLength(1);
    await ends.close();
  });
});
