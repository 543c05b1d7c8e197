/** What is NATS's own. What all carriers owe is in `carrier.suite.ts`. */
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { doctor, tls } from '../../test/brokers/over-tls.ts';
import { type Started, withServer } from '../../test/real-servers.ts';
import { openCarried } from './carried/carried.ts';
import { carrierSuite } from './carrier.suite.ts';
import type { Carrier, CarrierOptions } from './carrier.ts';
import { openNats } from './nats.ts';

const login = { user: 'suite', password: 'of/the suite' };
const bytes = (text: string): Uint8Array => Buffer.from(text);
const texts = (payloads: readonly Uint8Array[]): string[] => payloads.map((payload) => Buffer.from(payload).toString());

/** As in docs/how-to/broker-nats.md, for a cluster that is called `shoal`. */
const accounts = `
accounts {
  SHOAL {
    jetstream: enabled
    users: [
      { user: coordinator, password: c, permissions: {
        publish: [
          "shoal.shoal.>", "$JS.API.STREAM.INFO.SHOAL_shoal", "$JS.API.STREAM.CREATE.SHOAL_shoal",
          "$JS.API.CONSUMER.CREATE.SHOAL_shoal.>", "$JS.API.CONSUMER.MSG.NEXT.SHOAL_shoal.*", "$JS.ACK.SHOAL_shoal.>"
        ]
        subscribe: ["shoal.shoal.answers.>", "shoal.shoal.probe.*"]
      } }
      { user: worker, password: w, permissions: {
        publish: [
          "shoal.shoal.hello", "shoal.shoal.coordinator.*", "shoal.shoal.probe.*",
          "$JS.API.STREAM.INFO.SHOAL_shoal", "$JS.API.STREAM.CREATE.SHOAL_shoal"
        ]
        subscribe: ["shoal.shoal.answers.>", "shoal.shoal.worker.>", "shoal.shoal.probe.*"]
      } }
      { user: few, password: f, permissions: { publish: ["shoal.shoal.>"], subscribe: ["shoal.shoal.>"] } }
    ]
  }
  BARE { users: [{ user: bare, password: b }] }
}
no_auth_user: bare
`;

withServer('nats', 'NATS', (nats) => {
  carrierSuite('nats:', {
    open: openNats,
    start: async () => {
      const server = await nats.start({ login });
      return {
        url: server.url,
        stop: () => server.shutdown(),
        kill: () => server.kill(),
        start: () => server.restart(),
        pause: () => void server.pause(),
        resume: () => server.resume(),
        inbox: (cluster, name) => fate(server.port, cluster, name),
        close: () => server.stop(),
      };
    },
  });

  const opened: Carrier[] = [];
  let clusters = 0;
  afterEach(async () => {
    for (const carrier of opened.splice(0)) await carrier.close();
  });
  const freshCluster = (): string => `own-${++clusters}`;
  const open = async (server: Started<'nats'> | URL, options: Partial<CarrierOptions> = {}): Promise<Carrier> => {
    const fail = (why: string): never => {
      throw new Error(why);
    };
    const url = server instanceof URL ? server : new URL(server.url);
    const carrier = await openNats({ url, cluster: 'shoal', onLost: fail, onWarning: () => {}, ...options });
    opened.push(carrier);
    return carrier;
  };

  test('after the server’s own wait: what a dead listener had comes to the next one, what a slow one has does not come twice (N08)', async () => {
    const server = await nats.shared();
    await Promise.all([takenOver(server, freshCluster()), takesLong(server, freshCluster())]);
  });

  const takenOver = async (server: Started<'nats'>, cluster: string): Promise<void> => {
    const worker = await open(server, { cluster });
    await worker.publish('coordinator.7', [bytes('one'), bytes('two')]);
    await worker.close();
    const first = await open(server, { cluster });
    const heard = await new Promise<string[]>((resolve) => {
      void first.subscribe('coordinator.7', async (payloads) => {
        resolve(texts(payloads));
        await new Promise(() => {});
      });
    });
    await first.close();
    const second = await open(server, { cluster });
    const again: string[] = [];
    await new Promise<void>((resolve) => {
      void second.subscribe('coordinator.7', async (payloads) => {
        again.push(...texts(payloads));
        if (again.length === 2) resolve();
      });
    });
    expect([heard[0], again.toSorted()]).toEqual(['one', ['one', 'two']]);
  };

  const takesLong = async (server: Started<'nats'>, cluster: string): Promise<void> => {
    const carrier = await open(server, { cluster });
    const heard: string[] = [];
    await new Promise<void>((resolve) => {
      void carrier.subscribe('hello', async (payloads) => {
        heard.push(...texts(payloads));
        if (heard.includes('quick')) return resolve();
        // The server's own wait, and one more word from it.
        await new Promise((done) => setTimeout(done, 8_000));
        await carrier.publish('hello', [bytes('quick')]);
      });
      void carrier.publish('hello', [bytes('slow')]);
    });
    expect(heard).toEqual(['slow', 'quick']);
  };

  test('a stream that is removed under its listener is a lost carrier, and the next one makes it again', async () => {
    const server = await nats.shared();
    const cluster = freshCluster();
    let lost: (why: string) => void = () => {};
    const why = new Promise<string>((resolve) => {
      lost = resolve;
    });
    const carrier = await open(server, { cluster, onLost: lost });
    await carrier.subscribe('hello', async () => {});
    await managing(server, (manager) => manager.streams.delete(`SHOAL_${cluster}`));
    expect(await why).toContain('hello is served no more');
    await (await open(server, { cluster })).publish('hello', [bytes('taken')]);
  });

  test('a full stream refuses: the publisher hears of it, and what lies there stays (N09)', async () => {
    const server = await nats.shared();
    const cluster = freshCluster();
    await makeStream(server, cluster, { max_msgs: 3 });
    const carrier = await open(server, { cluster });
    await carrier.publish('hello', ['0', '1', '2'].map(bytes));
    await expect(carrier.publish('hello', [bytes('3')])).rejects.toThrow('maximum messages exceeded');
    const heard: string[] = [];
    await new Promise<void>((resolve) => {
      void carrier.subscribe('hello', async (payloads) => {
        heard.push(...texts(payloads));
        if (heard.length === 3) resolve();
      });
    });
    expect(heard).toEqual(['0', '1', '2']);
  });

  test('a worker that takes nothing holds a bounded amount, loses the rest with a warning, and hears what comes later', async () => {
    const server = await nats.shared();
    const cluster = freshCluster();
    const warnings: string[] = [];
    const worker = await open(server, { cluster, onWarning: (line) => warnings.push(line) });
    const sender = await open(server, { cluster });
    let goOn: () => void = () => {};
    const blocked = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let heardBytes = 0;
    let last: () => void = () => {};
    const heardLast = new Promise<void>((resolve) => {
      last = resolve;
    });
    await worker.subscribe('worker.w1.i1', async (payloads) => {
      await blocked;
      for (const payload of payloads) heardBytes += payload.length;
      if (payloads.some(({ length }) => length === 1)) last();
    });
    const big = new Uint8Array(sender.payloadBytesMax);
    const pieces = 160;
    for (let i = 0; i < pieces; i++) await sender.publish('worker.w1.i1', [big]);
    // Over the same connection, so that it comes after them.
    await worker.publish('probe.x', [bytes('?')]);
    await expect.poll(() => warnings).toEqual([expect.stringContaining('gets more than it takes')]);
    goOn();
    const words = setInterval(() => void sender.publish('worker.w1.i1', [bytes('!')]), 50);
    await heardLast;
    clearInterval(words);
    expect(heardBytes).toBeGreaterThan(60 * 1024 * 1024);
    expect(heardBytes).toBeLessThan(pieces * big.length);
  });

  test('a server that takes less in one message is given less', async () => {
    const server = await nats.start({ config: 'max_payload: 65536' });
    const carrier = await open(server);
    expect(carrier.payloadBytesMax).toBe(65536);
    const got = new Promise<number[]>((resolve) => {
      void carrier.subscribe('hello', async (payloads) => resolve(payloads.map(({ length }) => length)));
    });
    await carrier.publish('hello', [new Uint8Array(65536)]);
    expect(await got).toEqual([65536]);
  });

  test('a stream that would lose or deliver twice is found out', async () => {
    const server = await nats.shared();
    const [keeps, drops] = [freshCluster(), freshCluster()];
    await makeStream(server, keeps, { retention: 'limits' });
    await expect(open(server, { cluster: keeps })).rejects.toMatchObject({
      code: 'SH3118',
      why: expect.stringContaining('retention limits'),
    });
    await makeStream(server, drops, { discard: 'old' });
    const found = await (await open(server, { cluster: drops })).inspect();
    expect(found.filter(({ level }) => level === 'refuse')).toMatchObject([{ setting: `SHOAL_${drops} discard old` }]);
    expect(found.find(({ setting }) => setting === 'no authorization')).toMatchObject({ level: 'warning' });
  });

  test.each([
    ['drops what is older', { max_msgs_per_subject: 2 }, 'max_msgs_per_subject 2'],
    ['does not say that it took anything', { no_ack: true }, 'no_ack'],
  ])('a stream that %s is refused', async (_what, config, setting) => {
    const server = await nats.shared();
    const cluster = freshCluster();
    await makeStream(server, cluster, config);
    await expect(openCarried({ open: openNats, url: new URL(server.url), cluster })).rejects.toMatchObject({
      code: 'SH3104',
      message: expect.stringContaining(`SHOAL_${cluster} ${setting}`),
    });
  });

  test.each([
    [{ max_bytes: 1_000_000 }, 'max_bytes 1000000'],
    [{ max_msgs: 100 }, 'max_msgs 100'],
    [{ max_age: 5e9 }, 'max_age 5 s'],
    [{ max_msg_size: 2_000 }, 'max_msg_size 2000'],
  ])('a stream that is too small is one to be warned of: %j', async (config, setting) => {
    const server = await nats.shared();
    const cluster = freshCluster();
    await makeStream(server, cluster, config);
    const found = await (await open(server, { cluster })).inspect();
    expect(found.filter(({ level, setting: of }) => level !== 'good' && of !== 'no authorization')).toMatchObject([
      {
        level: 'warning',
        setting: `SHOAL_${cluster} ${setting}`,
        fix: expect.stringContaining(`nats stream edit SHOAL_${cluster} --max-`),
      },
    ]);
  });

  test('a server that takes only little in one message is one to be warned of', async () => {
    const server = await nats.start({ config: 'max_payload: 8192' });
    const carrier = await open(server);
    const found = await carrier.inspect();
    await carrier.close();
    expect(found.find(({ setting }) => setting === 'max_payload 8192')).toMatchObject({ level: 'warning', fix: expect.any(String) });
    await server.stop();
  });

  test('a stream that takes less in one message is given less (N09)', async () => {
    const server = await nats.shared();
    const cluster = freshCluster();
    await makeStream(server, cluster, { max_msg_size: 2_000 });
    const broker = await openCarried({ open: openNats, url: new URL(server.url), cluster });
    const large = Buffer.alloc(50_000, 7);
    let hear: (message: Uint8Array) => void = () => {};
    const got = new Promise<Uint8Array>((resolve) => {
      hear = resolve;
    });
    await broker.listen('hello', ([message]) => hear(message!));
    await broker.send('hello', [large]);
    expect(Buffer.compare(await got, large)).toBe(0);
    await broker.close();
  });

  test('no JetStream is said so', async () => {
    const server = await nats.start({ jetStream: false });
    await expect(open(server)).rejects.toMatchObject({ code: 'SH3115' });
    await server.stop();
  });

  test('servers without a majority are said to be', async () => {
    const cluster = 'cluster { name: shoal, listen: "127.0.0.1:-1", routes: ["nats://127.0.0.1:1", "nats://127.0.0.1:2"] }';
    const server = await nats.start({ config: `server_name: n0\n${cluster}` });
    await expect(open(server)).rejects.toThrow('more than half of its servers');
    await server.stop();
  });

  test('of several hosts the first that answers', async () => {
    const server = await nats.shared();
    const carrier = await open(new URL('nats://127.0.0.1:1'), { cluster: freshCluster(), otherHosts: [`127.0.0.1:${server.port}`] });
    await carrier.publish('hello', [bytes('taken')]);
    await expect(open(new URL('nats://127.0.0.1:1'), { otherHosts: ['127.0.0.1:2'] })).rejects.toThrow('ECONNREFUSED');
  });

  test('over tls://, for who trusts its certificate', async () => {
    const server = await nats.start({ tls });
    const url = `tls://localhost:${server.port}`;
    expect(await doctor(url, { NODE_EXTRA_CA_CERTS: tls.cert })).toContainEqual(expect.stringMatching(/^ok a message went round/));
    expect(await doctor(url, {})).toContainEqual(expect.stringMatching(/^fail .*self-signed certificate/));
    // What the server says first is never encrypted.
    const plain = await nats.shared();
    expect(await doctor(`tls://localhost:${plain.port}`, {})).toEqual([expect.stringMatching(/^fail .*server does not support 'tls'/)]);
    const asked = `nats://localhost:${server.port}`;
    expect(await doctor(asked, { NODE_EXTRA_CA_CERTS: tls.cert })).toContainEqual(expect.stringMatching(/^ok a message went round/));
  });

  describe('in an account', () => {
    const as = async (user: string, password = user[0]!): Promise<URL> => {
      one ??= nats.start({ config: accounts });
      const url = new URL((await one).url);
      url.username = user;
      url.password = password;
      return url;
    };
    let one: Promise<Started<'nats'>> | undefined;

    test('the rights that the page names are enough', async () => {
      const worker = await open(await as('worker'));
      const coordinator = await open(await as('coordinator'));
      const told = new Promise<string[]>((resolve) => {
        void coordinator.subscribe('hello', async (payloads) => resolve(texts(payloads)));
      });
      await coordinator.subscribe('coordinator.1', async () => {});
      await coordinator.subscribe('probe.c', async () => {});
      await worker.subscribe('probe.w', async () => {});
      const heard = new Promise<string[]>((resolve) => {
        void worker.subscribe('worker.w1.i1', async (payloads) => resolve(texts(payloads)));
      });
      await worker.publish('hello', [bytes('hello')]);
      await worker.publish('coordinator.1', [bytes('beat')]);
      await worker.publish('probe.w', [bytes('probe')]);
      expect(await told).toEqual(['hello']);
      await coordinator.inspect();
      await worker.inspect();
      await coordinator.publish('worker.w1.i1', [bytes('work')]);
      expect(await heard).toEqual(['work']);
    });

    test('what is refused is said in words that name no credentials', async () => {
      const refusals = [
        await open(await as('worker', 'not-this')).catch((error: unknown) => error),
        await open(await as('bare')).catch((error: unknown) => error),
        await open(await as('few')).catch((error: unknown) => error),
      ];
      expect(refusals).toMatchObject([
        { code: 'SH3116' },
        { code: 'SH3115' },
        { code: 'SH3117', why: expect.stringContaining('STREAM.INFO') },
      ]);
      for (const refusal of refusals) expect(JSON.stringify(refusal, ['message', 'why', 'hint'])).not.toContain('not-this');
    });
  });
});

async function managing<T>(server: Started<'nats'>, act: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const connection = await connect({ port: server.port });
  try {
    return await act(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

function makeStream(server: Started<'nats'>, cluster: string, config: Partial<Record<keyof StreamConfig, unknown>>): Promise<unknown> {
  const subjects = [`shoal.${cluster}.hello`, `shoal.${cluster}.coordinator.*`];
  const whole = { name: `SHOAL_${cluster}`, subjects, retention: 'workqueue', discard: 'new', ...config };
  return managing(server, (manager) => manager.streams.add(whole as Partial<StreamConfig> & { name: string }));
}

/** What the stream has no consumer of is nowhere kept. */
async function fate(port: number, cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'> {
  const connection = await connect({ port, user: login.user, pass: login.password });
  try {
    const manager = await jetstreamManager(connection);
    for await (const { name: consumer, config } of manager.consumers.list(`SHOAL_${cluster}`)) {
      if (consumer === name.replaceAll('.', '-')) return config.inactive_threshold ? 'expiring' : 'kept';
    }
    return 'gone';
  } finally {
    await connection.close();
  }
}
