import { createClient } from '@redis/client';
import { afterEach, expect, it, vi } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { electionSuite } from './election.suite.ts';
import type { Election } from './election.ts';
import { leaseElection } from './lease.ts';
import { redisStore } from './redis.ts';

withServer('redis', 'elections', (redis) => {
  electionSuite('redis', 'a server', async () => {
    const server = await redis.shared();
    return {
      url: server.url,
      store: (options) => redisStore(server.url, options),
      removeLease: (cluster) => asAdmin(server.url, async (admin) => expect(await admin.del(`shoal:{${cluster}}:election`)).toBe(1)),
      server,
      stop: () => server.stop(),
    };
  });

  const opened: Election[] = [];
  const options = { cluster: 'c' };
  const me = { id: 'a', address: 'hello' };
  const never = new AbortController().signal;

  afterEach(() => Promise.all(opened.splice(0).map((election) => election.close())));

  async function open(url: string): Promise<Election> {
    const election = leaseElection(await redisStore(url, options), options);
    opened.push(election);
    return election;
  }

  it('a call that was given up while it dialled leaves no connection behind, which would keep the process for ever', async () => {
    const { url } = await redis.start();
    await asAdmin(url, async (admin) => {
      const count = async (what: string): Promise<number> => Number(new RegExp(`${what}:(\\d+)`).exec(await admin.info())![1]);
      const before = await count('total_connections_received');
      const late = new AbortController();
      const store = await redisStore(url, options);
      const taking = store.claim({ id: 'a', record: 'a' }).take(late.signal);
      late.abort(new Error('late'));
      await expect(taking).rejects.toThrow();
      await store.close();
      await vi.waitFor(async () => expect(await count('total_connections_received')).toBe(before + 1), 60_000);
      await vi.waitFor(async () => expect(await count('connected_clients')).toBe(1), 60_000);
    });
  });

  it('needs no more rights than the docs say, and without them tries in vain no longer', async () => {
    const { url } = await redis.start({ password: 'secret' });
    await asAdmin(url, async (admin) => {
      await admin.sendCommand(['ACL', 'SETUSER', 'enough', 'on', '>one', '~shoal:*', '+get', '+set', '+pexpire', '+del', '+eval']);
      await admin.sendCommand(['ACL', 'SETUSER', 'little', 'on', '>two', '~shoal:*', '+get']);
    });
    const as = (login: string): string => url.replace(/\/\/[^@]*@/, `//${login}@`);
    const leadership = await (await open(as('enough:one'))).campaign(me, never);
    expect(await (await open(as('enough:one'))).leader()).toEqual(me);
    await leadership.resign();
    for (const login of ['little:two', 'enough:wrong', 'nobody:no-password']) {
      const refused = await (await open(as(login))).campaign(me, never).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'SH3011', hint: expect.stringContaining('PEXPIRE') });
      expect(String(refused)).not.toContain(login.split(':')[1]);
    }
  });
});

async function asAdmin(url: string, act: (admin: ReturnType<typeof createClient>) => Promise<unknown>): Promise<void> {
  const admin = createClient({ url });
  await admin.connect();
  try {
    await act(admin as ReturnType<typeof createClient>);
  } finally {
    admin.destroy();
  }
}
