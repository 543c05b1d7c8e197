import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { chunkBytes } from './chunks.ts';
import { socketPair, socketServer, tcpProxy } from './line.suite.ts';
import { type Link, type LinkOptions, openLink } from './link.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface End {
  link: Link;
  socket: WebSocket;
  messages: Uint8Array[];
  received(count: number): Promise<void>;
  closed: Promise<string>;
}

function endOf(socket: WebSocket, options: Partial<LinkOptions> = {}): End {
  const messages: Uint8Array[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let tellClosed: (why: string) => void = () => undefined;
  const closed = new Promise<string>((resolve) => {
    tellClosed = resolve;
  });
  const link = openLink(socket, {
    messageBytesMax: 256 * 1024 * 1024,
    onMessage(message) {
      messages.push(message);
      for (const waiter of waiting) if (messages.length >= waiter.count) waiter.resolve();
    },
    onClose: tellClosed,
    ...options,
  });
  return {
    link,
    socket,
    messages,
    closed,
    received: (count) => new Promise((resolve) => (messages.length >= count ? resolve() : waiting.push({ count, resolve }))),
  };
}

async function pair(near: Partial<LinkOptions> = {}, far: Partial<LinkOptions> = {}): Promise<{ near: End; far: End }> {
  const sockets = await socketPair();
  closers.push(() => sockets.close());
  return { near: endOf(sockets.near, near), far: endOf(sockets.far, far) };
}

async function raw(options: Partial<LinkOptions> = {}): Promise<{ near: WebSocket; far: End }> {
  const sockets = await socketPair();
  closers.push(() => sockets.close());
  return { near: sockets.near, far: endOf(sockets.far, options) };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (message: Uint8Array): string => Buffer.from(message).toString();

describe('messages', () => {
  test('arrive whole and in order, whatever they were cut into', async () => {
    const { near, far } = await pair();
    near.link.send([bytes('a'), bytes(''), bytes('bc')]);
    near.link.send([]);
    near.link.send([bytes('d')]);
    far.link.send([bytes('back')]);
    await Promise.all([far.received(3), near.received(1)]);
    expect(far.messages.map(text)).toEqual(['abc', '', 'd']);
    expect(near.messages.map(text)).toEqual(['back']);
  });

  test.each([chunkBytes - 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes, 5_000_003])('of %i bytes arrive byte for byte', async (size) => {
    const { near, far } = await pair();
    const message = Buffer.alloc(size);
    for (let i = 0; i < size; i++) message[i] = (i * 31) ^ (i >>> 9);
    near.link.send([message.subarray(0, 1_000), message.subarray(1_000, 200_000), message.subarray(200_000)]);
    await far.received(1);
    expect(Buffer.compare(far.messages[0]!, message)).toBe(0);
    expect(near.link.queuedBytes).toBe(0);
  });

  test('a heartbeat does not wait behind 100 MB: it overtakes (N12)', async () => {
    const { near, far } = await pair();
    const large = Buffer.alloc(100 * 1024 * 1024, 7);
    near.link.send([large]);
    for (let i = 0; i < 20; i++) near.link.send([bytes(`beat ${i}`)]);
    await far.received(21);
    expect(far.messages.slice(0, 20).map(text)).toEqual(Array.from({ length: 20 }, (_, i) => `beat ${i}`));
    expect(far.messages[20]!.length).toBe(large.length);
  });

  test('on an ordered line nothing overtakes, neither the small nor the shorter', async () => {
    const { near, far } = await pair({ isOrdered: true });
    const sizes = [40 * chunkBytes, 3, 4 * chunkBytes, 1, 2, 12 * chunkBytes + 5, 7];
    for (const size of sizes) near.link.send([Buffer.alloc(size)]);
    await far.received(sizes.length);
    expect(far.messages.map(({ length }) => length)).toEqual(sizes);
  });

  test('two large ones take turns: the shorter is through first', async () => {
    const { near, far } = await pair();
    near.link.send([Buffer.alloc(40 * chunkBytes)]);
    near.link.send([Buffer.alloc(4 * chunkBytes)]);
    await far.received(2);
    expect(far.messages.map(({ length }) => length / chunkBytes)).toEqual([4, 40]);
  });

  test('hundreds of large ones at once are all taken in, none is said to be too many', async () => {
    const { near, far } = await pair();
    for (let i = 0; i < 200; i++) near.link.send([Buffer.alloc(2 * chunkBytes + 1, i)]);
    await Promise.race([far.received(200), far.closed]);
    expect(far.messages.map((message) => message[0]).toSorted((a, b) => a! - b!)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test('large ones together are never more than the other end lets be under way', async () => {
    const { near, far } = await pair({ messageBytesMax: 4 * chunkBytes }, { messageBytesMax: 4 * chunkBytes });
    for (let i = 0; i < 30; i++) near.link.send([Buffer.alloc(4 * chunkBytes - i)]);
    await Promise.race([far.received(30), far.closed]);
    expect(far.messages).toHaveLength(30);
  });

  test('one above the limit ends the line before it is sent', async () => {
    const { near, far } = await pair({ messageBytesMax: 2 * chunkBytes });
    near.link.send([Buffer.alloc(2 * chunkBytes + 1)]);
    await expect(near.closed).resolves.toMatch(/limit/);
    await expect(far.closed).resolves.toMatch(/limit/);
  });

  test('what was taken before a close arrives, 20 MB of it too', async () => {
    const { near, far } = await pair();
    near.link.send([Buffer.alloc(20 * 1024 * 1024)]);
    near.link.send([bytes('goodbye')]);
    near.link.close(1000, 'done');
    near.link.send([bytes('too late')]);
    await expect(far.closed).resolves.toBe('done');
    expect(far.messages.map(({ length }) => length)).toEqual([7, 20 * 1024 * 1024]);
  });
});

describe('a peer that does not read', () => {
  test('is seen in what is queued, then dropped; memory stays flat (N10)', async () => {
    const { near, far } = await pair({ pingMs: 1_000, stalledMs: 400, highWaterBytes: 1024 * 1024 }, { pingMs: 20 });
    far.link.pause();
    const piece = Buffer.alloc(1024 * 1024);
    const before = process.memoryUsage().rss;
    let taken = 0;
    const offer = async (): Promise<void> => {
      while (near.link.isOpen && taken < 500) {
        near.link.send([piece]);
        taken++;
        await near.link.room();
      }
    };
    const offering = offer();
    await expect(near.closed).resolves.toMatch(/took nothing/);
    await offering;
    expect(taken).toBeLessThan(100);
    expect(near.link.queuedBytes).toBeLessThan(64 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
  });

  test('gets it all when it reads again in time', async () => {
    const { near, far } = await pair({ highWaterBytes: 64 * 1024 });
    far.link.pause();
    for (let i = 0; i < 50; i++) near.link.send([Buffer.alloc(100_000, i)]);
    let hasRoom = false;
    const room = near.link.room().then(() => {
      hasRoom = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(hasRoom).toBe(false);
    far.link.resume();
    await Promise.all([room, far.received(50)]);
  });
});

describe('a line', () => {
  test('that carries nothing any more ends within a few pings, at both ends (N11)', async () => {
    const { near, far } = await pair({ pingMs: 40 }, { pingMs: 40 });
    // Packets vanish: neither end reads from its socket, and TCP has nothing to complain about.
    (near.socket as unknown as { _socket: { pause(): void } })._socket.pause();
    (far.socket as unknown as { _socket: { pause(): void } })._socket.pause();
    await expect(near.closed).resolves.toMatch(/silent/);
    await expect(far.closed).resolves.toMatch(/silent|broke/);
  });

  test('over a road that swallows all packets ends for silence of two intervals, no sooner (N11)', async () => {
    const server = await socketServer();
    const road = await tcpProxy(server.port);
    closers.push(async () => Promise.all([road.close(), server.close()]).then(() => undefined));
    const socket = new WebSocket(road.address.replace('http', 'ws'), { perMessageDeflate: false });
    const [accepted] = await Promise.all([server.accepted(), once(socket, 'open')]);
    const [near, far] = [endOf(socket, { pingMs: 40 }), endOf(accepted, { pingMs: 40 })];
    near.link.send([bytes('it carries')]);
    await far.received(1);
    road.swallow();
    for (const why of await Promise.all([near.closed, far.closed])) {
      expect(why).toMatch(/^silent for \d+ ms$/);
      expect(Number(/\d+/.exec(why)![0])).toBeGreaterThanOrEqual(80);
    }
    socket.terminate();
  });

  test('whose peer spoke while this process stood still is not cut: that is read before it is judged (K05)', async () => {
    const sockets = await socketPair({ autoPong: false });
    closers.push(() => sockets.close());
    const far = endOf(sockets.far, { pingMs: 100 });
    // The first look is over, the next one 100 ms away; the silence is to be judged at 200 ms.
    await once(sockets.near, 'ping');
    sockets.near.ping();
    const untilMs = performance.now() + 150;
    while (performance.now() < untilMs);
    await once(sockets.near, 'ping');
    expect(far.link.isOpen).toBe(true);
  });

  test('that was closed before anybody looked after it says so', async () => {
    const sockets = await socketPair();
    closers.push(() => sockets.close());
    sockets.far.terminate();
    await once(sockets.near, 'close');
    await expect(endOf(sockets.near).closed).resolves.toBe('the connection broke');
  });

  test('that is idle stays', async () => {
    const { near, far } = await pair({ pingMs: 20 }, { pingMs: 20 });
    let pings = 0;
    await new Promise<void>((resolve) => near.socket.on('ping', () => ++pings === 8 && resolve()));
    expect([near.link.isOpen, far.link.isOpen]).toEqual([true, true]);
  });

  test('that we paused ourselves is not held against the peer', async () => {
    const { near, far } = await pair({}, { pingMs: 20 });
    far.link.pause();
    near.link.send([bytes('late')]);
    await new Promise<void>((resolve) => {
      let looks = 0;
      const timer = setInterval(() => {
        if (++looks < 10) return;
        clearInterval(timer);
        resolve();
      }, 20);
    });
    expect(far.link.isOpen).toBe(true);
    far.link.resume();
    await far.received(1);
  });

  test('closes with a reason that the other end hears; what was sent before arrives', async () => {
    const { near, far } = await pair();
    near.link.send([bytes('last words')]);
    near.link.close(1012, 'the coordinator stops');
    await expect(far.closed).resolves.toBe('the coordinator stops');
    expect(far.messages.map(text)).toEqual(['last words']);
    near.link.send([bytes('too late')]);
    expect(near.link.isOpen).toBe(false);
    await near.link.room();
  });
});

describe('what makes no sense closes the line and nothing else (X09)', () => {
  const first = (id: number, total: number, size: number): Buffer => {
    const frame = Buffer.alloc(9 + size);
    frame[0] = 1;
    frame.writeUInt32LE(id, 1);
    frame.writeUInt32LE(total, 5);
    return frame;
  };
  test.each<[string, (near: WebSocket) => void, RegExp]>([
    ['text', (near) => near.send('hello'), /binary/],
    ['an unknown kind', (near) => near.send(Buffer.of(9, 1, 2)), /no sense/],
    ['a chunk of no message', (near) => near.send(Buffer.of(2, 0, 0, 0, 0, 1)), /no message/],
    ['a message above the limit', (near) => near.send(first(1, 2_000_000, 10)), /limit/],
    ['a message that begins twice', (near) => [near.send(first(1, 99_999, 20_000)), near.send(first(1, 99_999, 20_000))], /twice/],
    ['a message in crumbs', (near) => near.send(first(1, 99_999, 1)), /crumbs/],
    ['a message longer than it said', (near) => near.send(first(1, 5, 10)), /longer/],
    [
      'unfinished messages without end',
      (near) => {
        for (let id = 0; id < 100; id++) near.send(first(id, 99_999, 20_000));
      },
      /too many/,
    ],
    ['a frame above what a chunk may have', (near) => near.send(Buffer.alloc(2 * chunkBytes)), /Max payload|broke|closed/],
  ])('%s', async (_what, offend, why) => {
    const { near, far } = await raw({ messageBytesMax: 1_000_000 });
    offend(near);
    await expect(far.closed).resolves.toMatch(why);
    expect(far.messages).toEqual([]);
  });

  test('whatever bytes come, nothing throws, and what is taken was sent whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(frames, { minLength: 1, maxLength: 8 }), async (sent) => {
        const { near, far } = await raw({ messageBytesMax: 1_000_000 });
        for (const frame of sent) near.send(frame);
        near.close();
        await far.closed;
        expect(far.messages.length).toBeLessThanOrEqual(sent.length);
        await closers.pop()!();
      }),
      { numRuns: 60 },
    );
  });
});

const frames = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc
    .tuple(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 2 }),
      fc.integer({ min: 0, max: 40_000 }),
      fc.integer({ min: 0, max: 20_000 }),
    )
    .map(([kind, id, total, size]) => {
      const frame = Buffer.alloc(9 + size);
      frame[0] = kind;
      frame.writeUInt32LE(id, 1);
      frame.writeUInt32LE(total, 5);
      return frame;
    }),
);
