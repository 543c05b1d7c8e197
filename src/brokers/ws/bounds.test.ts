/** What one end may do to the other: nothing without a meaning, and no more of anything than its bound. */
import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type SocketServer, socketPair } from '../../wire/line.suite.ts';
import { openLink } from '../../wire/link.ts';
import { BrokerUnavailableError } from '../broker.ts';
import { dialWsBroker } from './client.ts';
import { address, bytes, type Ends, open, text } from './ends.suite.ts';
import { addressed, control, openEnvelope } from './envelope.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';

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
