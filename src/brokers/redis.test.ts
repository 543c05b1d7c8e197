import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { exchange } from '../../scripts/servers/exchange.mjs';
import { type RedisName, startSentinel } from '../../scripts/servers/redis.mjs';
import { doctor, tls } from '../../test/brokers/over-tls.ts';
import { withServer } from '../../test/real-servers.ts';
import { connectTo } from '../lib/redis.ts';
import type { Broker } from './broker.ts';
import { type CarriedBroker, openCarried } from './carried/carried.ts';
import { carrierSuite } from './carrier.suite.ts';
import { openRedis } from './redis.ts';

const worker = 'worker.w1.i1';
const patience = { timeout: 40_000, interval: 20 };

const opened: Broker[] = [];
afterEach(async () => {
  for (const broker of opened.splice(0)) await broker.close();
});

const freshCluster = (): string => `test-${randomBytes(6).toString('hex')}`;

async function dial(url: string, cluster: string): Promise<CarriedBroker> {
  const broker = await openCarried({ open: openRedis, url: new URL(url), cluster });
  opened.push(broker);
  return broker;
}

/** As an operator would. */
async function ask(port: number, command: string): Promise<string> {
  return String(await exchange(port, `${command}\r\n`, (answer) => answer.includes('\r\n')));
}

async function ear(broker: Broker, address: string): Promise<string[]> {
  const heard: string[] = [];
  await broker.listen(address, (batch) => void heard.push(...batch.map((message) => Buffer.from(message).toString())));
  return heard;
}

/** Said until it is heard: what is said into a failure may be lost. */
async function reaches(from: Broker, address: string, heard: string[], word: string): Promise<void> {
  await vi.waitFor(async () => {
    await from.send(address, [Buffer.from(word)]);
    expect(heard).toContain(word);
  }, patience);
}

/** Its time to live says it all. */
async function fate(url: string, cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'> {
  const { connection } = await connectTo({ url: new URL(url), cluster, forWhat: 'this test' }, () => undefined);
  const leftMs = Number(await connection.command(['PTTL', `shoal:{${cluster}}:${name}`]));
  connection.destroy();
  return leftMs === -2 ? 'gone' : leftMs === -1 ? 'kept' : 'expiring';
}

function streamsOf(name: RedisName): void {
  withServer(name, 'streams', (redis) => {
    carrierSuite(`${name}:`, {
      open: openRedis,
      start: async () => {
        const server = await redis.start({ password: 'of-the-suite' });
        return {
          url: server.url,
          stop: () => server.shutdown(),
          kill: () => server.kill(),
          start: () => server.restart(),
          pause: () => void server.pause(),
          resume: () => server.resume(),
          inbox: (cluster, name) => fate(server.url, cluster, name),
          close: () => server.stop(),
        };
      },
    });

    test('a wrong password, or none, is said so, in words that do not tell it', async () => {
      const { url } = await redis.start({ password: 'opensesame' });
      for (const password of ['not-this-one', '']) {
        const wrong = new URL(url);
        wrong.password = password;
        const error = await openCarried({ open: openRedis, url: wrong, cluster: 'c', patient: true }).catch((cause: unknown) => cause);
        expect(error).toMatchObject({ code: 'SH3105', hint: expect.stringContaining('redis://:PASSWORD@HOST') });
        expect(`${(error as Error).stack} ${JSON.stringify(error)}`).not.toContain('not-this-one');
      }
    });

    test('a server that evicts is refused, with what to do about it (S08)', async () => {
      const { url } = await redis.start({ maxmemoryPolicy: 'allkeys-lru' });
      await expect(openCarried({ open: openRedis, url: new URL(url), cluster: 'c', patient: true })).rejects.toMatchObject({
        code: 'SH3104',
        message: expect.stringContaining('maxmemory-policy allkeys-lru'),
        hint: expect.stringContaining('CONFIG SET maxmemory-policy noeviction'),
      });
    });

    test('a server that takes no messages just now is told why by doctor, and that none went round (N14)', async () => {
      const { url, port, folder } = await redis.start();
      const hinders: [command: string, setting: string, words: string, undo: string][] = [
        ['CONFIG SET maxmemory 500kb', 'warn maxmemory 512000, used_memory', 'OOM', 'CONFIG SET maxmemory 0'],
        ['CONFIG SET min-replicas-to-write 1', 'warn min-replicas-to-write', 'NOREPLICAS', 'CONFIG SET min-replicas-to-write 0'],
        ['BGSAVE', 'warn rdb_last_bgsave_status err', 'MISCONF', 'CONFIG SET stop-writes-on-bgsave-error no'],
      ];
      await ask(port, 'CONFIG SET save "3600 1"');
      rmSync(join(folder, 'data'), { recursive: true });
      for (const [command, setting, words, undo] of hinders) {
        await ask(port, command);
        await vi.waitFor(async () => expect(await ask(port, 'XADD some * of it')).toMatch(/^-/), patience);
        const found = await doctor(url, {});
        expect(
          found.some((line) => line.startsWith(setting)),
          found.join('\n'),
        ).toBe(true);
        expect(found.at(-1)).toMatch(new RegExp(`^fail .*${words}`));
        await ask(port, undo);
      }
      expect((await doctor(url, {})).at(-1)).toMatch(/^ok a message went round/);
      await ask(port, 'CONFIG SET maxmemory 32mb');
      expect(await doctor(url, {})).toContainEqual(expect.stringMatching(/^warn maxmemory 33554432: it is full soon/));
    });

    test('a server that is full of what was said to a coordinator that was away lets it come back, and takes messages again (N14)', async () => {
      const { url, port } = await redis.start();
      await ask(port, 'CONFIG SET maxmemory 8mb');
      const cluster = freshCluster();
      const [first, other] = [await dial(url, cluster), await dial(url, cluster)];
      await ear(first, 'hello');
      await first.close();
      let said = 0;
      const isTaken = async (): Promise<boolean> => {
        const [sent] = await Promise.allSettled([other.send('hello', [Buffer.alloc(100_000)])]);
        return sent.status === 'fulfilled';
      };
      while (await isTaken()) said++;
      await other.close();
      // Less than what lies there: a connection that was closed has given some back.
      await ask(port, 'CONFIG SET maxmemory 6mb');
      expect(await ask(port, 'XADD some * of it')).toMatch(/^-OOM/);
      const second = await openCarried({ open: openRedis, url: new URL(url), cluster, patient: true });
      opened.push(second);
      let heard = 0;
      await second.listen('hello', (batch) => void (heard += batch.length));
      const inbox = await ear(second, 'coordinator.2');
      await vi.waitFor(() => expect([second.state, heard]).toEqual(['up', said]), patience);
      await reaches(second, 'coordinator.2', inbox, 'there is room again');
    });

    test('FLUSHALL takes what was under way, and nothing more: whoever listens is heard again (N02)', async () => {
      const { url, port } = await redis.shared();
      const cluster = freshCluster();
      const [coordinator, other] = [await dial(url, cluster), await dial(url, cluster)];
      const [hello, inbox] = [await ear(coordinator, 'hello'), await ear(other, worker)];
      for (const round of ['one', 'two', 'three']) {
        await reaches(other, 'hello', hello, `hello ${round}`);
        await reaches(coordinator, worker, inbox, `work ${round}`);
        await ask(port, 'FLUSHALL');
      }
      await reaches(other, 'hello', hello, 'at last');
      await reaches(coordinator, worker, inbox, 'at last');
      expect([coordinator.state, other.state]).toEqual(['up', 'up']);
    });

    test('what was handled is gone from the stream', async () => {
      const { url, port } = await redis.shared();
      const cluster = freshCluster();
      const [coordinator, other] = [await dial(url, cluster), await dial(url, cluster)];
      const hello = await ear(coordinator, 'hello');
      for (let i = 0; i < 200; i++) await other.send('hello', [Buffer.from(`${i}`)]);
      await vi.waitFor(async () => expect(await ask(port, `XLEN shoal:{${cluster}}:hello`)).toBe(':0\r\n'), patience);
      expect(hello).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`));
    });

    test('what a reader was given and did not acknowledge is the next one’s', async () => {
      const { url, port } = await redis.shared();
      const options = { url: new URL(url), cluster: freshCluster(), onLost: () => undefined, onWarning: () => undefined };
      const first = await openRedis(options);
      const given = new Promise<void>((resolve) => {
        // It dies in the middle of this.
        void first.subscribe('coordinator.1', () => new Promise(() => resolve()));
      });
      await first.publish('hello', [Buffer.from('not for it')]);
      await vi.waitFor(async () => expect(await ask(port, `EXISTS shoal:{${options.cluster}}:coordinator.1`)).toBe(':1\r\n'), patience);
      await first.publish('coordinator.1', [Buffer.from('precious')]);
      await given;
      await first.close();
      const second = await openRedis(options);
      const again = await new Promise<string>((resolve) => {
        void second.subscribe('coordinator.1', async ([payload]) => resolve(Buffer.from(payload!).toString()));
      });
      expect(again).toBe('precious');
      await second.close();
    });

    test('needs no more rights than the how-to names', async () => {
      const { url, port } = await redis.start();
      const page = readFileSync(new URL('../../docs/how-to/broker-redis.md', import.meta.url), 'utf8');
      const rights = /ACL SETUSER shoal on >PASSWORD .*/.exec(page)![0];
      expect(await ask(port, rights.replace('PASSWORD', 'opensesame'))).toBe('+OK\r\n');
      const allowed = url.replace('//', '//shoal:opensesame@');
      const [coordinator, other] = [await dial(`${allowed}/0`, 'shoal'), await dial(allowed, 'shoal')];
      const [hello, inbox] = [await ear(coordinator, 'hello'), await ear(other, worker)];
      await reaches(other, 'hello', hello, 'hello');
      await reaches(coordinator, worker, inbox, 'work');
      await expect(dial(allowed, 'another')).rejects.toMatchObject({ code: 'SH3103', why: expect.stringContaining('NOPERM') });
    });

    describe('of several servers', () => {
      test('the master that a Sentinel names, and the next one when that is gone', async () => {
        const master = await redis.start({ args: ['--repl-diskless-sync-delay', '0'] });
        const replica = await redis.start({ args: ['--replicaof', '127.0.0.1', String(master.port)] });
        const sentinel = await startSentinel(master.port, name);
        try {
          await vi.waitFor(
            async () => expect(await ask(sentinel.port, 'SENTINEL REPLICAS mymaster')).toContain(`127.0.0.1:${replica.port}`),
            patience,
          );
          await vi.waitFor(async () => expect(await ask(replica.port, 'INFO replication')).toContain('link_status:up'), patience);
          const cluster = freshCluster();
          const [coordinator, other] = [await dial(sentinel.url, cluster), await dial(sentinel.url, cluster)];
          const inbox = await ear(other, worker);
          await reaches(coordinator, worker, inbox, 'before');
          await master.kill();
          await reaches(coordinator, worker, inbox, 'after');
          expect(await ask(replica.port, 'INFO replication')).toContain('role:master');
        } finally {
          await sentinel.stop();
        }
      });

      test('a replica is refused, with where to go instead', async () => {
        const { port } = await redis.shared();
        const { url } = await redis.start({ args: ['--replicaof', '127.0.0.1', String(port)] });
        await expect(dial(url, freshCluster())).rejects.toMatchObject({
          code: 'SH3104',
          hint: expect.stringContaining('redis+sentinel://'),
        });
      });

      test('each cluster’s keys are on one node of Redis Cluster, and found from any of them', async () => {
        const nodes = [await redis.start({ ofCluster: true }), await redis.start({ ofCluster: true })];
        const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
        await ask(one.port, 'CLUSTER ADDSLOTSRANGE 0 8191');
        await ask(two.port, 'CLUSTER ADDSLOTSRANGE 8192 16383');
        await ask(two.port, `CLUSTER MEET 127.0.0.1 ${one.port} ${one.clusterPort}`);
        for (const { port } of nodes) {
          await vi.waitFor(
            async () => expect(await ask(port, 'CLUSTER INFO')).toMatch(/cluster_state:ok.*cluster_slots_ok:16384/s),
            patience,
          );
        }
        // Names of both nodes' slots, whatever they are.
        const slotOf = async (cluster: string): Promise<number> =>
          Number((await ask(one.port, `CLUSTER KEYSLOT shoal:{${cluster}}:hello`)).slice(1));
        for (const { port } of nodes) {
          let cluster = freshCluster();
          while ((await slotOf(cluster)) < 8192 !== (port === one.port)) cluster = freshCluster();
          const [coordinator, other] = [await dial(one.url, cluster), await dial(two.url, cluster)];
          const [hello, inbox] = [await ear(coordinator, 'hello'), await ear(other, worker)];
          await reaches(other, 'hello', hello, 'hello');
          await reaches(coordinator, worker, inbox, 'work');
          expect(await ask(port, `EXISTS shoal:{${cluster}}:hello shoal:{${cluster}}:${worker}`)).toBe(':2\r\n');
        }
      });
    });
  });
}

streamsOf('redis');
streamsOf('valkey');

withServer('redis', 'encrypted streams', (redis) => {
  test('over rediss://, for who trusts its certificate', async () => {
    const { tlsPort } = await redis.start({ tls });
    const url = `rediss://localhost:${tlsPort}`;
    expect(await doctor(url, { NODE_EXTRA_CA_CERTS: tls.cert })).toContainEqual(expect.stringMatching(/^ok a message went round/));
    expect(await doctor(url, {})).toContainEqual(expect.stringMatching(/^fail .*self-signed certificate/));
  });

  test('who speaks TLS to a port without, or none to one with it, is told so', async () => {
    const { port, tlsPort } = await redis.start({ tls });
    expect(await doctor(`rediss://localhost:${port}`, {})).toEqual([expect.stringMatching(/^fail .*does not speak TLS/)]);
    expect(await doctor(`redis://localhost:${tlsPort}`, {})).toEqual([expect.stringMatching(/^fail .*speaks TLS/)]);
  });
});
