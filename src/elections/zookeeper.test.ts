import { once } from 'node:events';
import zookeeperClient, { type Client } from 'node-zookeeper-client';
import { afterEach, expect, it } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { electionSuite } from './election.suite.ts';
import type { Election } from './election.ts';
import { type ElectionOptions, leaseElection } from './lease.ts';
import { zookeeperStore } from './zookeeper.ts';

withServer('zookeeper', 'elections', (zookeeper) => {
  electionSuite('zookeeper', 'a server', async () => {
    const server = await shared();
    return {
      url: server.url,
      store: (options) => zookeeperStore(server.url, options),
      removeLease: (cluster) => removeFirst(server.url, `/shoal/${encodeURIComponent(cluster)}-election`),
      server,
      stop: () => Promise.resolve(),
    };
  });

  let one: ReturnType<typeof zookeeper.start> | undefined;
  const opened: Election[] = [];
  const me = { id: 'a', address: 'hello' };
  const never = new AbortController().signal;

  afterEach(() => Promise.all(opened.splice(0).map((election) => election.close())));

  function shared(): ReturnType<typeof zookeeper.start> {
    one ??= zookeeper.start({ config: 'maxSessionTimeout=60000' });
    return one;
  }

  async function open(url: string, options: Partial<ElectionOptions> = {}): Promise<Election> {
    const all = { cluster: 'own', ...options };
    const election = leaseElection(await zookeeperStore(url, all), all);
    opened.push(election);
    return election;
  }

  it('says so when the server grants a longer time than was asked for, and takes it as it is', async () => {
    const { url } = await shared();
    const warnings: string[] = [];
    // Its ticks are of 500 ms, and two of them the least that it grants.
    const election = await open(url, { ttlMs: 500, onWarning: (line) => warnings.push(line) });
    const leadership = await election.campaign(me, never);
    expect(leadership.ttlMs).toBe(1_000);
    expect(warnings).toEqual([expect.stringContaining('minSessionTimeout')]);
  });

  it('finds a server that answers among several', async () => {
    const { url } = await shared();
    const several = url.replace('//', '//127.0.0.1:1,');
    const leadership = await (await open(several)).campaign(me, never);
    expect(leadership.lost.aborted).toBe(false);
  });

  it('lets nobody else near what it made, when it has a name and a password', async () => {
    const { url } = await shared();
    const as = (login: string): string => `${url.replace('//', `//${login}@`)}/private/deep`;
    const leadership = await (await open(as('me:secret'))).campaign(me, never);
    expect(await (await open(as('me:secret'))).leader()).toEqual(me);
    for (const address of [as('me:wrong'), `${url}/private/deep`]) {
      const refused = await (await open(address)).campaign(me, never).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'SH3011', hint: expect.stringContaining('/private/deep/own-election') });
      expect(String(refused)).not.toMatch(/secret|wrong/);
    }
    await leadership.resign();
  });

  it('asks to be woken as often as it likes', async () => {
    const { url } = await shared();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const store = await zookeeperStore(url, { cluster: 'woken', ttlMs: 60_000 });
    const [first, second] = ['a', 'b'].map((id) => store.claim({ id, record: id }));
    expect(await first!.take(fresh())).toBeDefined();
    expect(await second!.take(fresh())).toBeUndefined();
    for (let asked = 0; asked < 20; asked++) {
      const enough = new AbortController();
      const freed = second!.freed!(enough.signal);
      enough.abort();
      await freed;
    }
    const freed = second!.freed!(fresh());
    await first!.release(fresh());
    await freed;
    expect(await second!.take(fresh())).toBeDefined();
    await second!.release(fresh());
    await store.close();
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

function fresh(): AbortSignal {
  return new AbortController().signal;
}

async function removeFirst(url: string, folder: string): Promise<void> {
  const client: Client = zookeeperClient.createClient(url.replace('zookeeper://', ''));
  const connected = once(client, 'connected');
  client.connect();
  await connected;
  await new Promise<void>((resolve, reject) => {
    client.getChildren(folder, (error, names) => {
      if (error) return reject(new Error(String(error)));
      client.remove(`${folder}/${names.sort()[0]}`, (failure) => (failure ? reject(new Error(String(failure))) : resolve()));
    });
  });
  client.close();
}
