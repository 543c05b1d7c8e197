import { once } from 'node:events';
import { createServer } from 'node:http';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type SocketServer, socketPair, socketServer, type TcpProxy, tcpProxy } from '../../wire/line.suite.ts';
import { openLink } from '../../wire/link.ts';
import { type BrokerEnds, brokerSuite } from '../broker.suite.ts';
import { type Broker, BrokerUnavailableError } from '../broker.ts';
import { dialWsBroker } from './client.ts';
import { addressed, control, openEnvelope } from './envelope.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';
import { WsBrokerServer, type WsBrokerServerOptions } from './server.ts';

interface Ends {
  server: SocketServer;
  coordinator: WsBrokerServer;
  worker: Broker;
  warnings: string[];
  /** The worker's road to the server. */
  road: TcpProxy;
  close(): Promise<void>;
}

async function open(options: WsBrokerServerOptions = {}): Promise<Ends> {
  const server = await socketServer();
  const road = await tcpProxy(server.port);
  const warnings: string[] = [];
  const onWarning = (line: string): void => void warnings.push(line);
  const coordinator = new WsBrokerServer({ onWarning, pingMs: 500, ...options });
  server.onAccept = (socket) => coordinator.accept(socket, 'test');
  const worker = await dialWsBroker({ address: road.address, pingMs: 500, onWarning });
  return {
    server,
    coordinator,
    worker,
    warnings,
    road,
    async close() {
      await worker.close();
      await coordinator.close();
      await road.close();
      await server.close();
    },
  };
}

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

describe('a worker that does what none does', () => {
  test.each<[string, Uint8Array[]]>([
    ['listens where coordinators listen', control({ say: 'listen', address: 'coordinator.1', id: 1 })],
    ['speaks to another worker', [addressed('worker.w2.i1'), bytes('do this')]],
    ['says nothing with a meaning', [bytes('\u0009')]],
    ['says a word nobody knows', control({ say: 'shutdown' } as never)],
    ['breaks its JSON', [Buffer.of(1), bytes('{')]],
    ['listens on what is no text', control({ say: 'listen', address: ['worker.w1.i1'], id: 1 } as never)],
    ['asks without a number', control({ say: 'probe', probe: '<img>' } as never)],
    ['says a word without end', control({ say: 'listen', address: `worker.${'x'.repeat(1e5)}`, id: 1 })],
    ['has an address of control characters', [addressed('\u001b[2Jworker'), bytes('do this')]],
    ['has an address longer than the message', [Buffer.of(0, 200), bytes('hello')]],
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
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may reach a terminal (X13)
    expect(ends.warnings[0]).not.toMatch(/[\u0000-\u001f]/);
    await ends.close();
  });
});

/** A worker's line by hand, that listens and then reads nothing more. */
async function deafWorker(server: SocketServer): Promise<{ close(): void }> {
  const socket = new WebSocket(server.address.replace('http', 'ws'));
  await once(socket, 'open');
  await new Promise<void>((resolve) => {
    const onMessage = (): void => {
      link.pause();
      resolve();
    };
    const link = openLink(socket, { messageBytesMax: 1e6, pingMs: 20, onMessage, onClose: () => undefined });
    link.send(control({ say: 'listen', address: 'worker.deaf.i1', id: 1 }));
  });
  return { close: () => socket.terminate() };
}

describe('a worker that reads nothing', () => {
  let ends: Ends;
  afterEach(() => ends.close());

  test('costs a bounded part of 500 MB, others hear, and in the end its line is cut (N10)', async () => {
    ends = await open({ stalledMs: 500 });
    const deaf = await deafWorker(ends.server);
    let tellHeard: (messages: string[]) => void = () => undefined;
    const heard = new Promise<string[]>((resolve) => {
      tellHeard = resolve;
    });
    await ends.worker.listen(address, (batch) => tellHeard(text(batch)));
    const gone = new Promise<readonly string[]>((resolve) => ends.coordinator.onGone(resolve));
    const rssBefore = process.memoryUsage().rss;
    // In one go, so that no timer of the line comes between.
    const offers = Array.from({ length: 500 }, (_, i) => ends.coordinator.send('worker.deaf.i1', [Buffer.alloc(1024 * 1024, i)]));
    const outcomes = Promise.all(
      offers.map((offer) =>
        offer.then(
          () => 'taken',
          (error: BrokerUnavailableError) => error.why,
        ),
      ),
    );
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(300 * 1024 * 1024);
    await ends.coordinator.send(address, [bytes('you can hear me')]);
    await expect(heard).resolves.toEqual(['you can hear me']);
    await expect(gone).resolves.toEqual(['worker.deaf.i1']);
    const whys = await outcomes;
    expect(whys.filter((why) => why?.includes('too much waits')).length).toBeGreaterThan(400);
    expect(whys.filter((why) => why === 'the line broke').length).toBeGreaterThan(30);
    expect(ends.warnings.join()).toMatch(/took nothing for/);
    deaf.close();
  });

  test('is not waited for longer than the deadline of a send (N14)', async () => {
    ends = await open({ sendDeadlineMs: 50, highWaterBytes: 1024 * 1024 });
    const deaf = await deafWorker(ends.server);
    const keepAwake = setInterval(() => undefined, 1_000);
    const send = async (): Promise<never> => {
      for (;;) await ends.coordinator.send('worker.deaf.i1', [Buffer.alloc(1024 * 1024)]);
    };
    await expect(send()).rejects.toMatchObject({ code: 'SH3102', why: 'the other end took nothing for 50 ms' });
    clearInterval(keepAwake);
    deaf.close();
  });
});

test('a line that two full inboxes hold is read when neither is full any more', async () => {
  const sockets = await socketPair();
  const near = openLink(sockets.near, { messageBytesMax: 1e6, onMessage: () => undefined, onClose: () => undefined });
  let heard = 0;
  const arrived = new Promise<void>((resolve) => {
    const link = openLink(sockets.far, { messageBytesMax: 1e6, onMessage: () => resolve(void heard++), onClose: () => undefined });
    const line = new Line(link, { messageBytesMax: 1e6, highWaterBytes: 1e6 });
    const releases = [0, 1].map(() => {
      let release: () => void = () => undefined;
      const isReleased = new Promise<void>((resolveRelease) => {
        release = resolveRelease;
      });
      new Inbox(() => isReleased).push(Buffer.alloc(20 * 1024 * 1024), line);
      return release;
    });
    near.send([bytes('at last')]);
    void (async () => {
      releases[0]!();
      for (let round = 0; round < 20; round++) await new Promise(setImmediate);
      expect(heard).toBe(0);
      releases[1]!();
    })();
  });
  await arrived;
  await sockets.close();
});

test('more lines than there may be are turned away, and those that are there stay', async () => {
  const ends = await open({ linesMax: 1 });
  await expect(dialWsBroker({ address: ends.server.address })).rejects.toBeInstanceOf(BrokerUnavailableError);
  expect([ends.coordinator.lineCount, ends.worker.state]).toEqual([1, 'up']);
  await ends.close();
});

test('whatever bytes come, an envelope is opened as what it says or not at all', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.json().map((json) => Buffer.from(`\u0001${json}`)),
      ),
      (sent) => {
        const envelope = openEnvelope(sent);
        if (envelope && 'message' in envelope) expect(envelope.message.length).toBe(sent.length - 2 - sent[1]!);
      },
    ),
  );
  const word = { say: 'listen', address: 'worker.w1.i1', id: 7 } as const;
  expect(openEnvelope(control(word)[0]!)).toEqual({ control: word });
  expect(openEnvelope(Buffer.concat([addressed('worker.é'), bytes('x')]))).toMatchObject({ address: 'worker.é' });
});
