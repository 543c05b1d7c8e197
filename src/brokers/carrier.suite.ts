/**
 * What every message system must do, on the real server: the suite of brokers over it, and what becomes of it when the
 * server restarts, dies, stands still, or holds what is nobody's any more. `start` gives a server in a process of its own.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../lib/secret.ts';
import { brokerSuite } from './broker.suite.ts';
import type { Broker } from './broker.ts';
import { type CarriedBroker, type CarriedOptions, openCarried } from './carried/carried.ts';
import type { OpenCarrier } from './carrier.ts';

export interface CarrierServer {
  /** As a user gives it, with credentials where the server asks for some. */
  readonly url: string;
  /** Stops it as an operator does; resolves when it is gone. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** On the same port, with the data it had; resolves when it answers. */
  start(): Promise<void>;
  /** SIGSTOP, SIGCONT. */
  pause(): void;
  resume(): void;
  /** What becomes of an inbox that nobody listens at: it stays, or goes by itself some minutes later, or is not there. */
  inbox(cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'>;
  close(): Promise<void>;
}

export interface CarrierUnderTest {
  open: OpenCarrier;
  start: () => Promise<CarrierServer>;
  /** Of one test that restarts the server; default 60 s. */
  timeoutMs?: number;
}

const worker = 'worker.w1.i1';
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** What was heard, and a promise for a word. */
function ear(): { heard: string[]; handle: (batch: readonly Uint8Array[]) => void; hears(word: string): Promise<void> } {
  const heard: string[] = [];
  let waiting: { word: string; resolve: () => void }[] = [];
  return {
    heard,
    handle(batch) {
      for (const message of batch) heard.push(Buffer.from(message).toString());
      for (const { resolve } of waiting.filter(({ word }) => heard.includes(word))) resolve();
      waiting = waiting.filter(({ word }) => !heard.includes(word));
    },
    hears: (word) => (heard.includes(word) ? Promise.resolve() : new Promise((resolve) => waiting.push({ word, resolve }))),
  };
}

function became(broker: Broker, wanted: 'up' | 'down'): Promise<void> {
  if (broker.state === wanted) return Promise.resolve();
  return new Promise((resolve) => broker.onState((state) => state === wanted && resolve()));
}

export function carrierSuite(name: string, { open, start, timeoutMs = 60_000 }: CarrierUnderTest): void {
  describe(`carrier ${name}`, () => {
    let server: CarrierServer;
    const opened: Broker[] = [];
    beforeAll(async () => {
      server = await start();
    }, timeoutMs);
    afterEach(async () => {
      for (const broker of opened.splice(0)) await broker.close();
    }, timeoutMs);
    afterAll(() => server?.close(), timeoutMs);

    const dial = async (cluster: string, options: Partial<CarriedOptions> = {}): Promise<CarriedBroker> => {
      const broker = await openCarried({ open, url: new URL(server.url), cluster, ...options });
      opened.push(broker);
      return broker;
    };
    const freshCluster = (): string => `test-${randomBytes(6).toString('hex')}`;

    brokerSuite(name, async () => {
      const cluster = freshCluster();
      const next = (): Promise<Broker> => dial(cluster, { secret: new Secret('a secret of the suite') });
      return { coordinator: await next(), worker: await next(), loseWorker: next, close: async () => {} };
    });

    /** Both ways, until both words were heard: what is said into a restart may be lost. */
    const reach = async (
      coordinator: Broker,
      other: Broker,
      round: string,
      hello: ReturnType<typeof ear>,
      inbox: ReturnType<typeof ear>,
    ) => {
      await Promise.all([became(coordinator, 'up'), became(other, 'up')]);
      await Promise.all([other.send('hello', [bytes(`hello ${round}`)]), coordinator.send(worker, [bytes(`work ${round}`)])]);
      await Promise.all([hello.hears(`hello ${round}`), inbox.hears(`work ${round}`)]);
    };

    test.each([
      ['is restarted', () => server.stop(), () => server.start()],
      ['is killed (kill -9)', () => server.kill(), () => server.start()],
      ['stands still (SIGSTOP)', async () => server.pause(), async () => server.resume()],
    ])(
      'a server that %s: its silence is noticed, and what is listened on is heard again (N01)',
      async (_what, hurt, heal) => {
        const cluster = freshCluster();
        const [coordinator, other] = [await dial(cluster), await dial(cluster)];
        const [hello, inbox] = [ear(), ear()];
        await coordinator.listen('hello', hello.handle);
        await other.listen(worker, inbox.handle);
        await reach(coordinator, other, 'before', hello, inbox);
        const sinceMs = performance.now();
        const down = Promise.all([became(coordinator, 'down'), became(other, 'down')]);
        await hurt();
        await down;
        // 5 s are promised, and `carried/pulse.test.ts` holds that to the millisecond; here they are this machine's, and its load.
        expect(performance.now() - sinceMs).toBeLessThan(15_000);
        await heal();
        await reach(coordinator, other, 'after', hello, inbox);
      },
      timeoutMs,
    );

    test(
      'messages of many payloads arrive whole, both ways, signed (N09)',
      async () => {
        const cluster = freshCluster();
        const secret = new Secret('a secret of the suite');
        const [coordinator, other] = [await dial(cluster, { secret }), await dial(cluster, { secret })];
        const big = randomBytes(20 * 1024 * 1024 + 1);
        // In a list: a promise alone would be waited for.
        const hears = async (broker: Broker, address: string): Promise<[Promise<Uint8Array>]> => {
          let hear: (message: Uint8Array) => void = () => undefined;
          const got = new Promise<Uint8Array>((resolve) => (hear = resolve));
          await broker.listen(address, ([message]) => hear(message!));
          return [got];
        };
        const [[atHello], [atWorker]] = [await hears(coordinator, 'hello'), await hears(other, worker)];
        await coordinator.listen('coordinator.1', () => undefined);
        await other.listen('worker.w2.i1', () => undefined);
        await Promise.all([other.send('hello', [big]), coordinator.send(worker, [big.subarray(0, 100), big.subarray(100)])]);
        expect(Buffer.compare(await atHello, big)).toBe(0);
        expect(Buffer.compare(await atWorker, big)).toBe(0);
      },
      timeoutMs,
    );

    test('clusters of one server do not hear each other', async () => {
      const [ours, theirs] = [await dial(freshCluster()), await dial(freshCluster())];
      const [here, there] = [ear(), ear()];
      await ours.listen('hello', here.handle);
      await theirs.listen('hello', there.handle);
      await theirs.send('hello', [bytes('to theirs')]);
      await ours.send('hello', [bytes('to ours')]);
      await Promise.all([here.hears('to ours'), there.hears('to theirs')]);
      expect([here.heard, there.heard]).toEqual([['to ours'], ['to theirs']]);
    });

    test('what is said to hello while nobody listens waits for who does', async () => {
      const cluster = freshCluster();
      const [coordinator, other] = [await dial(cluster), await dial(cluster)];
      const first = ear();
      const listener = await coordinator.listen('hello', first.handle);
      await other.send('hello', [bytes('one')]);
      await first.hears('one');
      await listener.close();
      await coordinator.close();
      await other.send('hello', [bytes('two')]);
      const next = ear();
      await (await dial(cluster)).listen('hello', next.handle);
      await next.hears('two');
    });

    test('an inbox of one life goes by itself when that is over, the well-known one stays', async () => {
      const cluster = freshCluster();
      const [coordinator, other] = [await dial(cluster), await dial(cluster)];
      const [hello, inbox] = [ear(), ear()];
      await coordinator.listen('hello', hello.handle);
      await other.listen(worker, inbox.handle);
      await reach(coordinator, other, 'once', hello, inbox);
      await other.close();
      await coordinator.send(worker, [bytes('to nobody')]);
      await coordinator.close();
      expect(await server.inbox(cluster, worker)).not.toBe('kept');
      expect(await server.inbox(cluster, 'hello')).toBe('kept');
    });

    test('its settings are looked at, and a server as it comes is none to refuse', async () => {
      const findings = await (await dial(freshCluster())).inspect();
      expect(findings.length).toBeGreaterThan(0);
      expect(findings.filter(({ level }) => level === 'refuse')).toEqual([]);
      for (const { level, fix } of findings) if (level !== 'good') expect(fix).toBeTruthy();
    });

    test('credentials are in no error and no warning (X03)', async () => {
      const url = new URL(server.url);
      url.username = 'somebody';
      url.password = 'opensesame';
      const nowhere = new URL(url);
      nowhere.port = '1';
      const lines: string[] = [];
      for (const each of [url, nowhere]) {
        const said = await dial(freshCluster(), { url: each, onWarning: (line) => void lines.push(line) }).catch((error: unknown) => error);
        if (each === nowhere) expect(said).toMatchObject({ code: 'SH3103' });
        if (said instanceof Error) lines.push(said.stack ?? '', JSON.stringify(said), String(said.cause));
      }
      expect(lines.join('\n')).not.toMatch(/opensesame|somebody/);
    });
  });
}
