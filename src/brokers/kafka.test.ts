import { randomBytes } from 'node:crypto';
import {
  Kafka,
  AclOperationTypes as operation,
  ResourcePatternTypes as pattern,
  AclPermissionTypes as permission,
  AclResourceTypes as resource,
} from 'kafkajs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { doctor } from '../../test/brokers/over-tls.ts';
import { type Started, withServer } from '../../test/real-servers.ts';
import { Secret } from '../lib/secret.ts';
import { brokerSuite } from './broker.suite.ts';
import type { Broker } from './broker.ts';
import { type CarriedBroker, openCarried } from './carried/carried.ts';
import { carrierSuite } from './carrier.suite.ts';
import type { Carrier } from './carrier.ts';
import { kafkajsNodes } from './kafka/kafkajs.ts';
import type { KafkaNode } from './kafka/node.ts';
import { settingsOf } from './kafka/settings.ts';
import { openKafka } from './kafka.ts';

const passwords = { boss: 'of the coordinator', hand: 'of a worker' };
const partitionCount = 4;
const timeoutMs = 90_000;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const bytes = (word: string): Uint8Array => Buffer.from(word);
const freshCluster = (): string => `test-${randomBytes(6).toString('hex')}`;

withServer('kafka', 'Kafka topics', (kafka) => {
  let one: Promise<Started<'kafka'>> | undefined;
  /** One for all of them: to start it is what takes long. */
  const started = (): Promise<Started<'kafka'>> => {
    one ??= kafka.start({ users: passwords });
    return one;
  };

  /** What lies in a topic goes with its age. */
  const fate = async (cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'> => {
    const topic = `${cluster}.${name.startsWith('worker.') ? 'workers' : 'coordinator'}`;
    const node = await nodeOf((await started()).url);
    const retentionMs = Number((await node.settings([topic])).get(topic)?.get('retention.ms'));
    node.close();
    return Number.isNaN(retentionMs) ? 'gone' : retentionMs <= 600_000 ? 'expiring' : 'kept';
  };

  carrierSuite('kafka:', {
    open: openKafka,
    timeoutMs,
    start: async () => {
      const server = await started();
      return {
        // Every test makes topics of its own.
        url: `${server.url}/?partitions=${partitionCount}`,
        stop: () => server.shutdown(),
        kill: () => server.kill(),
        start: () => server.restart(),
        pause: () => void server.pause(),
        resume: () => server.resume(),
        inbox: fate,
        close: () => Promise.resolve(),
      };
    },
  });

  describe('beyond what all carriers do', () => {
    let server: Started<'kafka'>;
    const open: { close(): Promise<void> | void }[] = [];
    beforeAll(async () => {
      server = await started();
    }, timeoutMs);
    afterEach(async () => {
      for (const each of open.splice(0)) await each.close();
    });

    const dial = async (cluster: string, options: Partial<Parameters<typeof openCarried>[0]> = {}): Promise<CarriedBroker> => {
      const url = new URL(`${server.url}/?partitions=${partitionCount}`);
      const broker = await openCarried({ open: openKafka, url, cluster, ...options });
      open.push(broker);
      return broker;
    };
    const carry = async (cluster: string): Promise<Carrier> => {
      const url = new URL(`${server.url}/?partitions=1`);
      const carrier = await openKafka({ url, cluster, onLost: () => undefined, onWarning: () => undefined });
      open.push(carrier);
      return carrier;
    };
    const node = async (): Promise<KafkaNode> => {
      const connected = await nodeOf(server.url);
      open.push(connected);
      return connected;
    };
    const makeTopics = async (cluster: string, settings: Record<string, string>): Promise<void> => {
      const names = [`${cluster}.coordinator`, `${cluster}.workers`];
      await (await node()).makeTopics(names.map((name) => ({ name, partitionCount: 2, replicaCount: 1, settings })));
    };

    it('listeners that share a partition hear what is theirs', async () => {
      const carrier = await carry(freshCluster());
      const heard: string[] = [];
      const all = ['worker.w1.a', 'worker.w2.b', 'worker.w3.c'];
      const done = all.map(
        (name) =>
          new Promise<void>((resolve) => {
            void carrier.subscribe(name, async (payloads) => {
              for (const payload of payloads) heard.push(`${name} ${text(payload)}`);
              if (heard.includes(`${name} last`)) resolve();
            });
          }),
      );
      const ready = await Promise.all(all.map((name) => carrier.subscribe(`${name}.too`, async () => undefined)));
      for (const subscription of ready) await subscription.close();
      for (const name of all) await carrier.publish(name, [bytes(`to ${name}`), bytes('last')]);
      await Promise.all(done);
      expect(heard.sort()).toEqual(all.flatMap((name) => [`${name} last`, `${name} to ${name}`]));
    });

    it('a coordinator hears again nothing that the one before it was done with, and everything else', async () => {
      const cluster = freshCluster();
      const first = await carry(cluster);
      const [one, two] = [gate(), gate()];
      const subscription = await first.subscribe('hello', async (payloads) => {
        if (payloads.map(text).includes('done')) one.open();
        if (!payloads.map(text).includes('not done')) return;
        two.open();
        // The handle of one that dies.
        await new Promise(() => undefined);
      });
      await first.publish('hello', [bytes('done')]);
      await one.opened;
      await subscription.close();
      await first.subscribe('hello', async (payloads) => {
        if (payloads.map(text).includes('not done')) two.open();
        await new Promise(() => undefined);
      });
      await first.publish('hello', [bytes('not done')]);
      await two.opened;
      await first.close();
      const [heard, came] = [[] as string[], gate()];
      const next = await carry(cluster);
      await next.subscribe('hello', async (payloads) => {
        heard.push(...payloads.map(text));
        if (heard.includes('new')) came.open();
      });
      await next.publish('hello', [bytes('new')]);
      await came.opened;
      expect(heard).toEqual(['not done', 'new']);
    });

    it('a new term does not read through what was said to the ones before, and what is said to it waits from its beginning on', async () => {
      const cluster = freshCluster();
      const carrier = await carry(cluster);
      await carrier.publish('coordinator.2', [bytes('nobody can have known this address yet')]);
      const first = await carrier.subscribe('coordinator.2', async () => undefined);
      await first.close();
      await carrier.publish('coordinator.2', [bytes('waits')]);
      await carrier.close();
      const [heard, came] = [[] as string[], gate()];
      await (await carry(cluster)).subscribe('coordinator.2', async (payloads) => {
        heard.push(...payloads.map(text));
        came.open();
      });
      await came.opened;
      expect(heard).toEqual(['waits']);
    });

    it('a position behind the end, as of a topic that was lost and made anew, is none: all that lies there is heard', async () => {
      const cluster = freshCluster();
      const carrier = await carry(cluster);
      await carrier.publish('hello', [bytes('waits')]);
      const keeper = await node();
      await keeper.keepPosition(`${cluster}.hello`, { topic: `${cluster}.coordinator`, index: 0 }, 1_000_000);
      const came = gate();
      await carrier.subscribe('hello', async (payloads) => {
        if (payloads.map(text).includes('waits')) came.open();
      });
      await came.opened;
    });

    it(
      'topics that somebody deletes under us are made anew, and listened at',
      async () => {
        const cluster = freshCluster();
        const [coordinator, worker] = [await dial(cluster), await dial(cluster)];
        const [helloes, works] = [gate(), gate()];
        await coordinator.listen('hello', () => helloes.open());
        await worker.listen('worker.w1.i1', () => works.open());
        const down = Promise.all([coordinator, worker].map((broker) => became(broker, 'down')));
        await asAdmin(server, (admin) => admin.deleteTopics({ topics: [`${cluster}.coordinator`, `${cluster}.workers`] }));
        await down;
        await Promise.all([coordinator, worker].map((broker) => became(broker, 'up')));
        await worker.send('hello', [bytes('hello')]);
        await coordinator.send('worker.w1.i1', [bytes('work')]);
        await Promise.all([helloes.opened, works.opened]);
      },
      timeoutMs,
    );

    it('messages are cut to what a topic takes, however little that is (N09)', async () => {
      const cluster = freshCluster();
      await makeTopics(cluster, { 'max.message.bytes': '5000' });
      const [coordinator, worker] = [await dial(cluster), await dial(cluster)];
      const large = randomBytes(200_000);
      let hear: (message: Uint8Array) => void = () => undefined;
      const got = new Promise<Uint8Array>((resolve) => (hear = resolve));
      await worker.listen('worker.w1.i1', ([message]) => hear(message!));
      await worker.listen('worker.w1.i2', () => undefined);
      await coordinator.send('worker.w1.i1', [large]);
      expect(Buffer.compare(await got, large)).toBe(0);
    });

    it.each([
      ['keeps only the last message to each', { 'cleanup.policy': 'compact' }],
      ['wants more copies than there are', { 'min.insync.replicas': '2' }],
    ])('a topic that %s is refused, with how to mend it', async (_what, settings) => {
      const cluster = freshCluster();
      await makeTopics(cluster, settings);
      const [[name, value]] = Object.entries(settings) as [[string, string]];
      await expect(dial(cluster)).rejects.toMatchObject({
        code: 'SH3104',
        message: expect.stringContaining(`${name}=${value}`),
        hint: expect.stringContaining(`kafka-configs.sh --alter --entity-type topics --entity-name ${cluster}.`),
      });
    });

    it('settings that lose or age messages are warned of', async () => {
      const cluster = freshCluster();
      const settings = {
        'retention.ms': '1000',
        'retention.bytes': '1000000',
        'max.message.bytes': '5000',
        'message.timestamp.type': 'CreateTime',
      };
      await makeTopics(cluster, settings);
      const lines: string[] = [];
      await dial(cluster, { onWarning: (line) => lines.push(line) });
      for (const [setting, value] of Object.entries(settings)) {
        expect(lines).toContainEqual(expect.stringContaining(`${cluster}.workers: ${setting}=${value}`));
      }
    });

    it('who speaks TLS to a port without, or none to one with it, is told so', async () => {
      const port = new URL(server.url).port;
      expect(await doctor(`kafka://localhost:${port}/?tls=true`, {})).toEqual([expect.stringMatching(/^fail .*does not speak TLS/)]);
      expect(await doctor(`kafka://localhost:${server.guardedPort}`, {})).toEqual([expect.stringMatching(/^fail .*speaks TLS/)]);
    });

    describe('where everybody logs in', () => {
      const guarded = (user: keyof typeof passwords, more = '', password: string = passwords[user]): URL =>
        new URL(`kafka://${user}:${encodeURIComponent(password)}@localhost:${server.guardedPort}/?ca=${server.certificates}${more}`);
      const allow = (user: keyof typeof passwords, type: resource, name: string, ...operations: operation[]): Promise<unknown> =>
        asAdmin(server, (admin) =>
          admin.createAcls({
            acl: operations.map((each) => ({
              principal: `User:${user}`,
              host: '*',
              permissionType: permission.ALLOW,
              operation: each,
              resourceType: type,
              resourceName: name,
              resourcePatternType: type === resource.GROUP ? pattern.PREFIXED : pattern.LITERAL,
            })),
          }),
        );
      const { READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS, CREATE } = operation;

      it('the rights that docs/how-to/broker-kafka.md names are enough, over TLS', async () => {
        const cluster = freshCluster();
        const [toCoordinator, toWorkers] = [`${cluster}.coordinator`, `${cluster}.workers`];
        for (const topic of [toCoordinator, toWorkers]) {
          await allow('boss', resource.TOPIC, topic, READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS, CREATE);
        }
        await allow('boss', resource.GROUP, `${cluster}.`, READ);
        await allow('hand', resource.TOPIC, toCoordinator, WRITE, DESCRIBE);
        await allow('hand', resource.TOPIC, toWorkers, READ, WRITE, DESCRIBE);
        const secret = new Secret('a secret of this test');
        const lines: string[] = [];
        const coordinator = await dial(cluster, { url: guarded('boss'), secret });
        const worker = await dial(cluster, {
          url: guarded('hand', '&sasl=scram-sha-512'),
          secret,
          onWarning: (line) => lines.push(line),
        });
        const [helloes, works] = [gate(), gate()];
        await coordinator.listen('hello', () => helloes.open());
        await worker.listen('worker.w1.i1', () => works.open());
        await worker.send('hello', [bytes('hello')]);
        await coordinator.send('worker.w1.i1', [bytes('work')]);
        await Promise.all([helloes.opened, works.opened]);
        expect(lines).toContainEqual(expect.stringContaining(`the right DescribeConfigs on topic ${toWorkers}`));
        // A worker may not listen in on what is said to the coordinator.
        const carrier = await openKafka({ url: guarded('hand'), cluster, onLost: () => undefined, onWarning: () => undefined });
        open.push(carrier);
        await expect(carrier.subscribe('hello', async () => undefined)).rejects.toMatchObject({
          code: 'SH3122',
          why: expect.stringContaining('GROUP_AUTHORIZATION_FAILED'),
        });
      });

      it('a cluster that one has no rights in says so, and so do topics that one may not make', async () => {
        const cluster = freshCluster();
        const refused = {
          code: 'SH3122',
          why: expect.stringContaining('TOPIC_AUTHORIZATION_FAILED'),
          hint: expect.stringContaining('broker-kafka.md'),
        };
        await expect(dial(cluster, { url: guarded('hand') })).rejects.toMatchObject(refused);
        for (const topic of ['coordinator', 'workers']) await allow('hand', resource.TOPIC, `${cluster}.${topic}`, DESCRIBE);
        await expect(dial(cluster, { url: guarded('hand') })).rejects.toMatchObject({
          code: 'SH3121',
          hint: `kafka-topics.sh --create --topic ${cluster}.coordinator --partitions 4`,
        });
      });

      it.each(['', '&sasl=scram-sha-256', '&sasl=scram-sha-512'])(
        'a wrong password is refused, and told to nobody (X03): %s',
        async (sasl) => {
          const error = await dial(freshCluster(), { url: guarded('boss', sasl, 'opensesame') }).catch((cause: unknown) => cause);
          expect(error).toMatchObject({ code: 'SH3125' });
          expect(`${(error as Error).stack} ${JSON.stringify(error)}`).not.toContain('opensesame');
        },
      );

      it('a certificate that nobody vouched for is refused', async () => {
        const url = new URL(`kafka://localhost:${server.guardedPort}/?tls=true`);
        await expect(dial(freshCluster(), { url })).rejects.toMatchObject({ code: 'SH3103', why: expect.stringContaining('self-signed') });
      });
    });
  });
});

withServer('kafka-mock', 'Kafka topics of several nodes', (mock) => {
  brokerSuite('kafka:', async () => {
    const cluster = freshCluster();
    const open: Broker[] = [];
    const next = async (): Promise<Broker> => {
      const [first, ...otherHosts] = (await mock.shared()).url.split(',');
      const broker = await openCarried({ open: openKafka, url: new URL(first!), otherHosts, cluster });
      open.push(broker);
      return broker;
    };
    return {
      coordinator: await next(),
      worker: await next(),
      loseWorker: next,
      close: async () => {
        for (const broker of open) await broker.close();
      },
    };
  });
});

describe('the address of a Kafka cluster', () => {
  it('names hosts, a login and settings', () => {
    const settings = settingsOf(new URL('kafka://me:p%40ss@one:9093/?sasl=scram-sha-256&partitions=7'), ['two', '[::1]:9095']);
    expect(settings).toMatchObject({
      hosts: [
        { host: 'one', port: 9093 },
        { host: 'two', port: 9093 },
        { host: '::1', port: 9095 },
      ],
      login: { mechanism: 'scram-sha-256', user: 'me' },
      tls: undefined,
      workerPartitionCount: 7,
    });
    expect(settings.login?.password.reveal()).toBe('p@ss');
  });

  it.each(['kafka:///', 'kafka://host/?partitions=0', 'kafka://a:b@host/?sasl=gssapi', 'kafka://host/?ca=/nowhere'])(
    'that is wrong is refused: %s',
    (url) => {
      expect(() => settingsOf(new URL(url))).toThrow(expect.objectContaining({ code: 'SH3124' }));
    },
  );
});

async function nodeOf(url: string): Promise<KafkaNode> {
  const settings = settingsOf(new URL(url));
  return (await kafkajsNodes(settings))(settings.hosts[0]!);
}

async function asAdmin<T>(server: Started<'kafka'>, act: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [`127.0.0.1:${server.port}`], logCreator: () => () => undefined }).admin();
  await admin.connect();
  return act(admin).finally(() => admin.disconnect());
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

function became(broker: CarriedBroker, wanted: 'up' | 'down'): Promise<void> {
  if (broker.state === wanted) return Promise.resolve();
  return new Promise((resolve) => broker.onState((state) => state === wanted && resolve()));
}
