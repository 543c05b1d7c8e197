/** What is RabbitMQ's own. What all carriers owe is in `carrier.suite.ts`. */
import { connect } from 'amqplib';
import { afterEach, expect, test } from 'vitest';
import { doctor, tls } from '../../test/brokers/over-tls.ts';
import { type Started, withServer } from '../../test/real-servers.ts';
import type { Finding } from '../lib/finding.ts';
import { carrierSuite } from './carrier.suite.ts';
import type { Carrier, CarrierOptions } from './carrier.ts';
import { openRabbitmq } from './rabbitmq.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const texts = (payloads: readonly Uint8Array[]): string[] => payloads.map((payload) => Buffer.from(payload).toString());

withServer('rabbitmq', 'RabbitMQ', (real) => {
  let one: ReturnType<typeof real.start> | undefined;
  /** A start takes ten seconds: one for all tests, with a virtual host of its own for each. */
  const shared = () => (one ??= real.start({ tls }));
  carrierSuite('amqp:', {
    open: openRabbitmq,
    // A start takes ten seconds and more.
    timeoutMs: 240_000,
    start: async () => {
      const server = await shared();
      const vhost = 'of the suite';
      return {
        url: await server.addVhost(vhost),
        stop: () => server.shutdown(),
        kill: () => server.kill(),
        start: () => server.restart(),
        pause: () => void server.pause(),
        resume: () => server.resume(),
        inbox: (cluster, name) => fate(`${server.managementUrl}/queues/${encodeURIComponent(vhost)}/shoal.${cluster}.${name}`),
        // The tests below have it next.
        close: async () => {},
      };
    },
  });

  const opened: Carrier[] = [];
  let vhosts = 0;
  afterEach(async () => {
    for (const carrier of opened.splice(0)) await carrier.close();
  });

  /** A virtual host of one's own on the one server. */
  const place = async (): Promise<{ server: Started<'rabbitmq'>; vhost: string; url: URL }> => {
    const server = await shared();
    const vhost = `test-${++vhosts}`;
    return { server, vhost, url: new URL(await server.addVhost(vhost)) };
  };
  const open = async (url: URL, options: Partial<CarrierOptions> = {}): Promise<Carrier> => {
    const fail = (why: string): never => {
      throw new Error(why);
    };
    const carrier = await openRabbitmq({ url, cluster: 'shoal', onLost: fail, onWarning: () => {}, ...options });
    opened.push(carrier);
    return carrier;
  };
  const manage = async ({ server }: { server: Started<'rabbitmq'> }, path: string, body: unknown): Promise<void> => {
    const { origin, pathname } = new URL(server.managementUrl);
    const response = await fetch(`${origin}${pathname}/${path}`, {
      method: 'PUT',
      headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  };
  const asUser = async (
    at: Awaited<ReturnType<typeof place>>,
    rights: { configure: string; write: string; read: string },
  ): Promise<URL> => {
    const name = `user-${++vhosts}`;
    await manage(at, `users/${name}`, { password: 'pass/word', tags: '' });
    await manage(at, `permissions/${at.vhost}/${name}`, rights);
    const url = new URL(at.url);
    url.username = name;
    url.password = encodeURIComponent('pass/word');
    return url;
  };

  test('what is said before anybody listens waits, in a queue that outlives connections', { timeout: 180_000 }, async () => {
    const at = await place();
    const worker = await open(at.url);
    await worker.publish('hello', [bytes('one'), bytes('two')]);
    await worker.publish('coordinator.7', [bytes('three')]);
    await worker.close();
    const coordinator = await open(at.url);
    for (const [inbox, wanted] of [
      ['hello', ['one', 'two']],
      ['coordinator.7', ['three']],
    ] as const) {
      const heard: string[] = [];
      await new Promise<void>((resolve) => {
        void coordinator.subscribe(inbox, async (payloads) => {
          heard.push(...texts(payloads));
          if (heard.length === wanted.length) resolve();
        });
      });
      expect(heard).toEqual(wanted);
    }
  });

  test('what a listener had not done with comes to the next one; what it had done with does not', async () => {
    const at = await place();
    const first = await open(at.url);
    await first.publish('hello', [bytes('done')]);
    const heard: string[] = [];
    await new Promise<void>((resolve) => {
      void first.subscribe('hello', async (payloads) => {
        heard.push(...texts(payloads));
        if (!heard.includes('not done')) {
          await first.publish('hello', [bytes('not done')]);
          return;
        }
        resolve();
        await new Promise(() => {});
      });
    });
    await first.close();
    const second = await open(at.url);
    const next = await new Promise<string[]>((resolve) => void second.subscribe('hello', async (payloads) => resolve(texts(payloads))));
    expect([heard, next]).toEqual([['done', 'not done'], ['not done']]);
  });

  test('a queue that is deleted under its listener is a lost carrier, not a dead process', async () => {
    const at = await place();
    let lost: (why: string) => void = () => {};
    const why = new Promise<string>((resolve) => {
      lost = resolve;
    });
    const carrier = await open(at.url, { onLost: lost });
    await carrier.subscribe('worker.w1.i1', async () => {});
    const admin = await connect(at.url.href);
    await (await admin.createChannel()).deleteQueue('shoal.shoal.worker.w1.i1');
    await admin.close();
    expect(await why).toContain('shoal.shoal.worker.w1.i1 was deleted');
  });

  test('a full queue refuses: the publisher hears of it, and what lies there stays (N09)', async () => {
    const at = await place();
    await manage(at, `policies/${at.vhost}/small`, { pattern: '^shoal', definition: { 'max-length': 2 } });
    const carrier = await open(at.url);
    await carrier.publish('hello', [bytes('0')]);
    // The limit is soft: the server takes a few more before it refuses.
    let taken = 1;
    const refusal = await (async () => {
      for (; taken < 10_000; taken++) await carrier.publish('hello', [bytes(String(taken))]);
      return undefined;
    })().catch((error: Error) => error);
    expect(refusal?.message).toContain('the queue is full');
    const heard: string[] = [];
    await new Promise<void>((resolve) => {
      void carrier.subscribe('hello', async (payloads) => {
        heard.push(...texts(payloads));
        if (heard.length >= taken) resolve();
      });
    });
    expect(heard).toEqual(Array.from({ length: taken }, (_, index) => String(index)));
  });

  test('doctor names policies that take messages away, and where it can’t see them (N09)', async () => {
    const at = await place();
    const { origin } = new URL(at.server.managementUrl);
    const url = `${at.url.href}?management=${origin}`;
    const policiesIn = async (address: string): Promise<string[]> => (await doctor(address, {})).filter((line) => line.includes('polic'));
    expect(await policiesIn(url)).toEqual(['ok policies 0 for these queues: none takes a message away']);
    const define = (name: string, pattern: string, definition: unknown): Promise<void> =>
      manage(at, `policies/${at.vhost}/${name}`, { pattern, definition, 'apply-to': 'queues' });
    await define('others', '^amq', { overflow: 'drop-head' });
    await define('all', '.*', { 'message-ttl': 30_000, 'max-length': 50, overflow: 'drop-head' });
    expect(await policiesIn(url)).toEqual([
      'fail policy all overflow drop-head: a full queue loses messages in silence',
      'fail policy all message-ttl 30000: what waits is lost in silence before its listener is back',
      'warn policy all max-length 50: the queue refuses too soon: work stands still',
    ]);
    const nobody = `${at.url.href}?management=http://127.0.0.1:1`;
    expect(await policiesIn(nobody)).toEqual([expect.stringMatching(/^warn policies not known: .*127\.0\.0\.1:1 does not tell them/)]);
  });

  test('a limit of the server below ours is known from the first message that is refused for it (N09)', { timeout: 180_000 }, async () => {
    const at = await place();
    const limit = (size: number): Promise<unknown> =>
      at.server.control('eval', `application:set_env(rabbit, max_message_size, ${size}), persistent_term:put(max_message_size, ${size}).`);
    await limit(65_536);
    try {
      const why = new Promise<string>((onLost) => {
        void open(at.url, { onLost }).then((carrier) => carrier.publish('hello', [new Uint8Array(70_000)]).catch(() => {}));
      });
      expect(await why).toContain('65536');
      const carrier = await open(at.url);
      expect(carrier.payloadBytesMax).toBe(65_536);
      const heard = new Promise<number>((resolve) => {
        void carrier.subscribe('hello', async ([payload]) => resolve(payload!.length));
      });
      await carrier.publish('hello', [new Uint8Array(65_536)]);
      expect(await heard).toBe(65_536);
    } finally {
      await limit(134_217_728);
    }
  });

  test('a server that ran short takes nothing until it has room, and what was taken is still delivered (N14)', {
    timeout: 180_000,
  }, async () => {
    const at = await place();
    const warnings: string[] = [];
    const carrier = await open(at.url, { onWarning: (line) => warnings.push(line) });
    const levels = (found: readonly Finding[]): string[] => found.map(({ level }) => level);
    expect(levels(await carrier.inspect())).toEqual(['good', 'good']);
    await carrier.publish('hello', [bytes('before')]);
    await at.server.control('set_vm_memory_high_watermark', 'absolute', '1');
    try {
      const short = await open(at.url);
      // The server tells who publishes; that it has the alarm it finds out within a second of its own.
      while (levels(await short.inspect())[1] === 'good');
      expect((await short.inspect()).at(-1)).toMatchObject({ level: 'warning', setting: expect.stringContaining('low on memory') });
      let isTaken = false;
      const taking = carrier.publish('hello', [bytes('meanwhile')]).then(() => {
        isTaken = true;
      });
      // Acknowledging goes on, over a connection of its own.
      const heard: string[] = [];
      const both = new Promise<void>((resolve) => {
        void carrier.subscribe('hello', async (payloads) => {
          heard.push(...texts(payloads));
          if (heard.includes('meanwhile')) resolve();
        });
      });
      while (heard.length === 0) await new Promise((resolve) => setImmediate(resolve));
      expect([heard, isTaken]).toEqual([['before'], false]);
      await at.server.control('set_vm_memory_high_watermark', '0.6');
      await Promise.all([taking, both]);
      expect(heard).toEqual(['before', 'meanwhile']);
      expect(warnings).toEqual([expect.stringContaining('low on memory'), 'RabbitMQ takes messages again']);
    } finally {
      await at.server.control('set_vm_memory_high_watermark', '0.6');
    }
  });

  test('the rights that the page names are enough', async () => {
    const at = await place();
    const coordinator = await open(await asUser(at, rights.coordinator));
    const worker = await open(await asUser(at, rights.worker));
    const heard = new Promise<string[]>((resolve) => {
      void worker.subscribe('worker.w1.i1', async (payloads) => resolve(texts(payloads)));
    });
    const told = new Promise<string[]>((resolve) => {
      void coordinator.subscribe('hello', async (payloads) => resolve(texts(payloads)));
    });
    await coordinator.subscribe('probe.c', async () => {});
    await worker.subscribe('probe.w', async () => {});
    await taken(() => worker.publish('hello', [bytes('hello')]));
    await taken(() => worker.publish('coordinator.1', [bytes('beat')]));
    await taken(() => worker.publish('probe.w', [bytes('probe')]));
    expect(await told).toContain('hello');
    await coordinator.subscribe('coordinator.1', async () => {});
    await worker.inspect();
    while ((await Promise.race([heard, coordinator.publish('worker.w1.i1', [bytes('work')])])) === undefined);
    // Said until it is heard, perhaps once more by then.
    expect(await heard).toContain('work');
  });

  test('of several hosts the first that lets us in', async () => {
    const { url } = await place();
    const { host } = url;
    url.port = '1';
    await (await open(url, { otherHosts: ['127.0.0.1:2', host] })).publish('hello', [bytes('taken')]);
  });

  test('over amqps://, for who trusts its certificate', async () => {
    const { port, tlsPort } = await shared();
    const url = `amqps://localhost:${tlsPort}`;
    expect(await doctor(url, { NODE_EXTRA_CA_CERTS: tls.cert })).toContainEqual(expect.stringMatching(/^ok a message went round/));
    expect(await doctor(url, {})).toContainEqual(expect.stringMatching(/^fail .*self-signed certificate/));
    expect(await doctor(`amqp://localhost:${tlsPort}`, {})).toEqual([expect.stringMatching(/^fail .*speaks TLS/)]);
    expect(await doctor(`amqps://localhost:${port}`, {})).toEqual([expect.stringMatching(/^fail .*does not speak TLS/)]);
  });

  test('what is refused is said in words that name no credentials', async () => {
    const at = await place();
    const wrong = new URL(at.url);
    wrong.password = 'not-this-one';
    const elsewhere = new URL(at.url);
    elsewhere.pathname = '/nowhere';
    const nobody = new URL(at.url);
    nobody.port = '1';
    await expect(open(wrong)).rejects.toMatchObject({ code: 'SH3110' });
    await expect(open(elsewhere)).rejects.toMatchObject({ code: 'SH3111' });
    await expect(open(nobody)).rejects.toThrow('ECONNREFUSED');
    const few = await asUser(at, { configure: '^$', write: '^amq\\.default$', read: '^shoal\\.' });
    const carrier = await open(few, { onLost: () => {} });
    const refusal = await carrier.subscribe('worker.w1.i1', async () => {}).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'SH3112' });
    expect(JSON.stringify(refusal, ['message', 'why', 'hint'])).not.toMatch(/user-\d|pass/);
    const admin = await connect(at.url.href);
    await (await admin.createChannel()).assertQueue('shoal.shoal.worker.w2.i1', { durable: true });
    await admin.close();
    const other = await open(at.url, { onLost: () => {} });
    await expect(other.subscribe('worker.w2.i1', async () => {})).rejects.toMatchObject({ code: 'SH3113' });
  });

  test('a queue that answers nothing any more, as one without a leader, holds up nothing that goes elsewhere', async () => {
    const at = await place();
    const first = await open(at.url);
    for (const inbox of ['hello', 'coordinator.1']) await taken(() => first.publish(inbox, [bytes('makes it')]));
    const queue = `erlang:whereis('${at.vhost}_shoal.shoal.coordinator.1')`;
    await at.server.control('eval', `sys:suspend(${queue}).`);
    // One that has not met it before.
    const carrier = await open(at.url);
    let isTaken = false;
    const held = carrier.publish('coordinator.1', [bytes('waits')]).then(() => {
      isTaken = true;
    });
    const heard: string[] = [];
    await carrier.subscribe('hello', async (payloads) => void heard.push(...texts(payloads)));
    await taken(() => carrier.publish('hello', [bytes('goes through')]));
    await expect.poll(() => heard, { timeout: 30_000 }).toEqual(['makes it', 'goes through']);
    expect(isTaken).toBe(false);
    await at.server.control('eval', `sys:resume(${queue}).`);
    await held;
  }, 180_000);
});

/** A quorum queue that was made a moment ago may have no leader yet, and refuses. */
async function taken(publish: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await publish();
    } catch (error) {
      if (!(error as Error).message.includes('did not take it')) throw error;
    }
  }
}

/** As in docs/how-to/broker-rabbitmq.md, for a cluster that is called `shoal`. */
const rights = {
  coordinator: { configure: '^shoal\\.shoal\\.', write: '^(amq\\.default|shoal\\.shoal\\..*)$', read: '^shoal\\.shoal\\.' },
  worker: { configure: '^shoal\\.shoal\\.', write: '^(amq\\.default|shoal\\.shoal\\..*)$', read: '^shoal\\.shoal\\.(worker|probe)\\.' },
};

async function fate(queue: string): Promise<'kept' | 'expiring' | 'gone'> {
  const { origin, pathname } = new URL(queue);
  const response = await fetch(`${origin}${pathname}`, { headers: { authorization: `Basic ${btoa('guest:guest')}` } });
  if (response.status === 404) return 'gone';
  const found = (await response.json()) as { arguments: Record<string, unknown> };
  return found.arguments['x-expires'] === undefined ? 'kept' : 'expiring';
}
