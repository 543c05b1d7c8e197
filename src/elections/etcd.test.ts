import { createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { electionSuite } from './election.suite.ts';
import type { Election } from './election.ts';
import { etcdStore } from './etcd.ts';
import { type ElectionOptions, leaseElection } from './lease.ts';

withServer('etcd', 'elections', (etcd) => {
  electionSuite('etcd', 'a server', async () => {
    const server = await etcd.shared();
    const url = server.url.replace('http', 'etcd');
    return {
      url,
      store: (options) => etcdStore(url, options),
      removeLease: async (cluster) => {
        const key = base64(`shoal/${cluster}/election`);
        expect(await call(server.url, 'kv/deleterange', { key })).toMatchObject({ deleted: '1' });
      },
      server,
      stop: () => Promise.resolve(),
    };
  });

  const opened: Election[] = [];
  const me = { id: 'a', address: 'hello' };
  const never = new AbortController().signal;

  afterEach(() => Promise.all(opened.splice(0).map((election) => election.close())));

  async function open(url: string, options: Partial<ElectionOptions> = {}): Promise<Election> {
    const all = { cluster: 'own', ...options };
    const election = leaseElection(await etcdStore(url, all), all);
    opened.push(election);
    return election;
  }

  it('leads on while one of its members says nothing (S10)', async () => {
    const { url } = await etcd.shared();
    const silent = createServer();
    const lines = new Set<Socket>();
    silent.on('connection', (line) => lines.add(line.on('error', () => undefined)));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = silent.address() as { port: number };
      const both = url.replace('http://', `etcd://127.0.0.1:${port},`);
      const election = await open(both, { ttlMs: 6_000 });
      const leadership = await election.campaign(me, never);
      expect(lines.size).toBeGreaterThan(0);
      expect(leadership.lost.aborted).toBe(false);
      expect(await election.leader()).toEqual(me);
      await leadership.resign();
    } finally {
      silent.close();
      for (const line of lines) line.destroy();
    }
  });

  it('needs no more rights than the docs say, and without them tries in vain no longer; tokens may end at any time', async () => {
    const server = await etcd.start();
    await call(server.url, 'auth/user/add', { name: 'root', password: 'secret' });
    await call(server.url, 'auth/user/grant', { user: 'root', role: 'root' });
    for (const role of ['enough', 'little']) {
      await call(server.url, 'auth/role/add', { name: role });
      await call(server.url, 'auth/user/add', { name: role, password: 'secret' });
      await call(server.url, 'auth/user/grant', { user: role, role });
    }
    const perm = { permType: 'READWRITE', key: base64('shoal/'), range_end: base64('shoal0') };
    await call(server.url, 'auth/role/grant', { name: 'enough', perm });
    await call(server.url, 'auth/enable', {});

    const as = (login: string): string => server.url.replace('http://', `etcd://${login}@`);
    const warnings: string[] = [];
    const election = await open(as('enough:secret'), { onWarning: (line) => warnings.push(line) });
    const leadership = await election.campaign(me, never);
    expect(await (await open(as('enough:secret'))).leader()).toEqual(me);
    // The revision of the users that its token was made for is an old one from here on.
    const { token } = await call<{ token: string }>(server.url, 'auth/authenticate', { name: 'root', password: 'secret' });
    await call(server.url, 'auth/user/add', { name: 'another', password: 'secret' }, token);
    expect(await election.leader()).toEqual(me);
    await leadership.resign();
    expect(await election.leader()).toBeUndefined();
    expect(warnings).toEqual([]);
    // It kept its tokens in memory.
    await server.restart();
    expect(await election.leader()).toBeUndefined();

    for (const login of ['little:secret', 'enough:wrong', 'nobody:secret']) {
      const refused = await (await open(as(login))).campaign(me, never).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'SH3011', hint: expect.stringContaining('shoal/') });
      expect(String(refused)).not.toMatch(/secret|wrong/);
    }
    const refused = await (await open(server.url.replace('http', 'etcd'))).campaign(me, never).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'SH3011' });
  });
});

async function call<T>(url: string, path: string, body: object, token?: string): Promise<T> {
  const headers = token === undefined ? {} : { authorization: token };
  const response = await fetch(`${url}/v3/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = (await response.json()) as T;
  if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
  return answer;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
