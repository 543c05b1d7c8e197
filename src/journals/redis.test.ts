import { expect, it } from 'vitest';
import { TcpProxy } from '../../test/cluster/proxy.ts';
import { withServer } from '../../test/real-servers.ts';
import { connectTo } from '../lib/redis.ts';
import { engineSuite } from './engine.suite.ts';
import { entry, expectConflict, journalSuite, pattern, seqs, story } from './journal.suite.ts';
import { type Journal, JournalFullError } from './journal.ts';
import { openEngineJournal } from './on-engine.ts';
import { openRedisEngine } from './redis.ts';

let clusters = 0;
const freshCluster = (): string => `t${++clusters}`;
const durable = { appendonly: true, appendfsync: 'always', password: 'of-the-suite' } as const;

withServer('redis', 'The Redis journal', ({ shared, start }) => {
  journalSuite('redis', async () => {
    const { url } = await shared();
    const cluster = freshCluster();
    return { open: () => opened(url, cluster), persistent: true, stop: async () => {} };
  });

  engineSuite('redis', {
    open: openRedisEngine,
    start: () => start(durable),
    lineTo: (port) => TcpProxy.to(port),
    refusesPassword: true,
  });

  it('needs no more than the keys of its cluster', async () => {
    const { url } = await shared();
    const rights = '~shoal:{guest}:* +@read +@write +@scripting +@connection -@dangerous +info'.split(' ');
    await commands(url, ['ACL', 'SETUSER', 'guest', 'on', '>of-guest', ...rights]);
    const as = url.replace('//', '//guest:of-guest@');
    await used(await opened(as, 'guest'));
    await expect(opened(as, 'another')).rejects.toMatchObject({ code: 'SH4013' });
    await expect(opened(url.replace('//', '//guest:wrong@'), 'guest')).rejects.toMatchObject({ code: 'SH4013' });
  });

  it('says that its server is full, keeps what it has, and goes on when there is room (S02)', async () => {
    const server = await start({ args: ['--maxmemory', '16mb'] });
    const journal = await opened(server.url, 'full');
    await journal.append([entry('kept', 0, { body: ['kept'] })]);
    let full: unknown;
    let seq = 0;
    const next = () => ({ stream: 'gone', seq, writer: 'w', head: Buffer.of(), body: [pattern(1024 * 1024, 3)] });
    for (; seq < 100 && full === undefined; seq++) full = await journal.append([next()]).catch((error: unknown) => error);
    expect(full).toBeInstanceOf(JournalFullError);
    expect(seq).toBeGreaterThan(3);
    seq--;
    expect(await seqs(journal, 'gone')).toHaveLength(seq);
    expect(await story(journal, 'kept')).toEqual(['kept/0 by w:  | kept']);
    await commands(server.url, ['CONFIG', 'SET', 'maxmemory', '64mb']);
    await journal.append([next()]);
    expect(await seqs(journal, 'gone')).toHaveLength(seq + 1);
    await commands(server.url, ['CONFIG', 'SET', 'maxmemory', '16mb']);
    await expect(journal.append([entry('kept', 1)])).rejects.toThrow(JournalFullError);
    await journal.drop('gone');
    await journal.append([entry('kept', 1)]);
    await journal.close();
    await server.stop();
  });

  it('leaves nothing of a dropped stream but its id', async () => {
    const { url } = await shared();
    const cluster = freshCluster();
    const journal = await opened(url, cluster);
    for (let seq = 0; seq < 300; seq++) await journal.append([entry('a', seq, { head: 'x'.repeat(100), body: ['b'] })]);
    await journal.append([{ stream: 'a', seq: 300, writer: 'w', head: Buffer.of(), body: [pattern(9_000_000, 1)] }]);
    await journal.drop('a');
    await journal.close();
    expect(((await commands(url, ['KEYS', `shoal:{${cluster}}:*`])) as string[]).sort()).toEqual([
      `shoal:{${cluster}}:journal:closed`,
      `shoal:{${cluster}}:journal:format`,
    ]);
  });

  it('says what an entry survives, by what it found', async () => {
    const { url } = await shared();
    for (const [appendonly, appendfsync, durability, warning] of [
      ['no', 'always', 'process', /appendonly no/],
      ['yes', 'everysec', 'process', /the last second/],
      ['yes', 'always', 'host', undefined],
    ] as const) {
      await commands(url, ['CONFIG', 'SET', 'appendfsync', appendfsync], ['CONFIG', 'SET', 'appendonly', appendonly]);
      await commands(url, ['CONFIG', 'SET', 'maxmemory', '1gb']);
      const warnings: string[] = [];
      const journal = await opened(url, freshCluster(), (line) => warnings.push(line));
      expect(journal.durability).toBe(durability);
      expect(warnings).toEqual(warning ? [expect.stringMatching(warning)] : []);
      await journal.close();
    }
  });

  it('refuses a server that evicts (S08), a replica, and what a newer version has written', async () => {
    const server = await start({ maxmemoryPolicy: 'allkeys-lru' });
    await expect(opened(server.url, 'x')).rejects.toMatchObject({ code: 'SH4012', message: expect.stringContaining('allkeys-lru') });
    await commands(server.url, ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'], ['SET', 'shoal:{x}:journal:format', '99']);
    await expect(opened(server.url, 'x')).rejects.toMatchObject({ code: 'SH4007' });
    const journal = await opened(server.url, 'y');
    await journal.append([entry('a', 0)]);
    await commands(server.url, ['REPLICAOF', '127.0.0.1', '1']);
    await expect(opened(server.url, 'y')).rejects.toMatchObject({ code: 'SH4012', message: expect.stringContaining('role slave') });
    await commands(server.url, ['REPLICAOF', 'NO', 'ONE']);
    await journal.append([entry('a', 1)]);
    await journal.close();
    await server.stop();
  });

  it('fails over to a replica that was behind: the leader finds that out, and stops (S07)', async () => {
    const args = ['--repl-diskless-sync-delay', '0'];
    const [master, replica] = await Promise.all([start({ args }), start({ args })]);
    const line = await TcpProxy.to(master.port);
    const follow = async (who: string, port: number, isThere: () => Promise<boolean>): Promise<void> => {
      await commands(who, ['REPLICAOF', '127.0.0.1', `${port}`]);
      while (!(await isThere()));
    };
    const journal = await opened(master.url, 'x');
    await journal.append([entry('a', 0)]);
    await follow(replica.url, line.port, async () => Number(await commands(replica.url, ['DBSIZE'])) === 2);
    line.refuse();
    await journal.append([entry('a', 1)]);
    expect(await seqs(journal, 'a')).toEqual([0, 1]);
    // What a Sentinel does; then the old master has the role again.
    await commands(replica.url, ['REPLICAOF', 'NO', 'ONE']);
    await follow(master.url, replica.port, async () =>
      /master_link_status:up/.test(String(await commands(master.url, ['INFO', 'replication']))),
    );
    await commands(master.url, ['REPLICAOF', 'NO', 'ONE']);
    await expect(journal.append([entry('a', 2)])).rejects.toMatchObject({ code: 'SH4011' });
    expect(await seqs(journal, 'a')).toEqual([0]);
    await Promise.all([line.close(), journal.close()]);
  });
});

function opened(url: string, cluster: string, onWarning?: (line: string) => void): Promise<Journal> {
  return openEngineJournal(openRedisEngine, { url: new URL(url), cluster, ...(onWarning && { onWarning }) });
}

/** All that a coordinator does with it; it is closed then. */
async function used(journal: Journal): Promise<void> {
  await journal.append([{ stream: 'a', seq: 0, writer: 'w', head: pattern(5_000_000, 1), body: [pattern(5_000_000, 2)] }]);
  await journal.append([entry('a', 1)]);
  expect(await seqs(journal, 'a')).toEqual([0, 1]);
  expect(await journal.readBodies('a', [{ seq: 0, offset: 4_999_990, length: 10 }])).toHaveLength(1);
  await journal.drop('a');
  await expectConflict(journal.append([entry('a', 2)]), 'a', 2);
  await journal.close();
}

/** The reply to the last one. */
async function commands(url: string, ...each: readonly (readonly string[])[]): Promise<unknown> {
  const { connection } = await connectTo({ url: new URL(url), cluster: 'x', forWhat: 'this test' }, () => undefined);
  try {
    let reply: unknown;
    for (const command of each) reply = await connection.command(command);
    return reply;
  } finally {
    connection.destroy();
  }
}
