import { createServer } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { socketServer } from '../../wire/line.suite.ts';
import { openLink } from '../../wire/link.ts';
import { type BrokerEnds, brokerSuite } from '../broker.suite.ts';
import type { Broker } from '../broker.ts';
import { dialWsBroker } from './client.ts';
import { address, bytes, type Ends, open, text } from './ends.suite.ts';
import { control, openEnvelope } from './envelope.ts';
import { WsBrokerServer } from './server.ts';

/** Through the road at first; when that swallows all, the coordinator still believes in the old line when the next one comes. */
async function openForSuite(): Promise<BrokerEnds> {
  const ends = await open();
  const { coordinator, worker, server, road } = ends;
  const others: Broker[] = [];
  return {
    coordinator,
    worker,
    async loseWorker() {
      road.swallow();
      const next = await dialWsBroker({ address: server.address });
      others.push(next);
      return next;
    },
    async close() {
      for (const other of others) await other.close();
      await ends.close();
    },
  };
}

brokerSuite('ws:', openForSuite);

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

/** `warned` resolves when a warning matches. */
function warnings(pattern: RegExp): { warned: Promise<void>; onWarning: (line: string) => void; lines: string[] } {
  const lines: string[] = [];
  let resolve: () => void = () => undefined;
  const warned = new Promise<void>((resolveWarned) => {
    resolve = resolveWarned;
  });
  const onWarning = (line: string): void => {
    lines.push(line);
    if (pattern.test(line)) resolve();
  };
  return { warned, onWarning, lines };
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
    while (ends.coordinator.lineCount > 1) await new Promise(setImmediate);
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

  test('without a word is noticed at both ends (N11)', async () => {
    ends = await open();
    await ends.worker.listen(address, () => undefined);
    const gone = new Promise<readonly string[]>((resolve) => ends.coordinator.onGone(resolve));
    const down = states(ends.worker).reached('down');
    ends.road.swallow();
    await down;
    await expect(gone).resolves.toEqual([address]);
    expect(ends.warnings.filter((line) => line.includes('silent for'))).toHaveLength(2);
  });

  test('while it is away, what begins to listen is heard once it is back (N01)', async () => {
    ends = await open();
    const { reached } = states(ends.worker);
    const down = reached('down');
    const up = reached('up');
    ends.server.cut();
    await down;
    const got = new Promise<string[]>((resolve) => void ends.worker.listen(address, (batch) => resolve(text(batch))));
    await up;
    await ends.coordinator.send(address, [bytes('there')]);
    await expect(got).resolves.toEqual(['there']);
  });

  test('is not told when it is the coordinator that stops', async () => {
    ends = await open();
    await ends.worker.listen(address, () => undefined);
    const gone: string[] = [];
    ends.coordinator.onGone((addresses) => gone.push(...addresses));
    const down = states(ends.worker).reached('down');
    await ends.coordinator.close();
    await down;
    expect(gone).toEqual([]);
    expect(ends.warnings).toEqual(['lost the line to the coordinator: the coordinator stops']);
  });
});

describe('a coordinator that is away', () => {
  test('and lets nobody in when it is back: the reason is told, and it is tried on', async () => {
    const server = await socketServer();
    const coordinator = new WsBrokerServer();
    server.onAccept = (socket) => coordinator.accept(socket, 'test');
    const { warned, onWarning } = warnings(/does not let us in \(the token was taken back\)/);
    const worker = await dialWsBroker({ address: server.address, onWarning });
    await server.close();
    const refusing = createServer();
    const detail = JSON.stringify({ detail: 'the token was taken back' });
    refusing.on('upgrade', (_request, socket) => socket.end(`HTTP/1.1 401 No\r\ncontent-length: ${detail.length}\r\n\r\n${detail}`));
    refusing.listen(server.port, '127.0.0.1');
    await warned;
    expect(worker.state).toBe('down');
    await worker.close();
    await coordinator.close();
    refusing.closeAllConnections();
    await new Promise((resolve) => refusing.close(resolve));
  });

  test('is tried for ever, with one warning a reason and a word when it is back', async () => {
    const server = await socketServer();
    const coordinator = new WsBrokerServer();
    server.onAccept = (socket) => coordinator.accept(socket, 'test');
    const { warned, onWarning, lines } = warnings(/ECONNREFUSED/);
    const worker = await dialWsBroker({ address: server.address, onWarning });
    await server.close();
    await warned;
    const up = states(worker).reached('up');
    const again = await socketServer(server.port);
    again.onAccept = (socket) => coordinator.accept(socket, 'test');
    await up;
    expect(lines.filter((line) => line.includes('ECONNREFUSED'))).toHaveLength(1);
    expect(lines.at(-1)).toBe('the coordinator is there again');
    await worker.close();
    await coordinator.close();
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

  test('is up only when what began to listen meanwhile is registered too (N01)', async () => {
    const server = await socketServer();
    const said: string[] = [];
    server.onAccept = (socket) => {
      const link = openLink(socket, {
        messageBytesMax: 1e6,
        onClose: () => undefined,
        onMessage: (message) => {
          const envelope = openEnvelope(message);
          const word = envelope && 'control' in envelope ? envelope.control : undefined;
          if (word?.say === 'listen') {
            said.push(word.address);
            link.send(control({ say: 'listening', id: word.id }));
          } else if (word?.say === 'probe') {
            if (said.push('probe') === 2) void worker.listen('worker.w1.i2', () => undefined);
            link.send(control({ say: 'probed', probe: word.probe }));
          }
        },
      });
    };
    const worker = await dialWsBroker({ address: server.address });
    await worker.listen(address, () => undefined);
    const { reached } = states(worker);
    const up = reached('up').then(() => said.push('up'));
    said.length = 0;
    server.cut();
    await up;
    expect(said).toEqual([address, 'probe', 'worker.w1.i2', 'probe', 'up']);
    await worker.close();
    await server.close();
  });

  test('is over with close, also while it dials', async () => {
    const server = await socketServer();
    await server.close();
    const patient = await dialWsBroker({ address: server.address, patient: true });
    await patient.close();
    await expect(patient.send('hello', [])).rejects.toMatchObject({ code: 'SH3102' });
  });
});
