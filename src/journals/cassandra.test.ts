import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { auth, Client } from 'cassandra-driver';
import { expect, it } from 'vitest';
import { TcpProxy } from '../../test/cluster/proxy.ts';
import { type Started, withServer } from '../../test/real-servers.ts';
import { openCassandraEngine } from './cassandra.ts';
import { engineSuite } from './engine.suite.ts';
import { entry, expectConflict, journalSuite, pattern, seqs } from './journal.suite.ts';
import type { Journal } from './journal.ts';
import { openEngine, openEngineJournal } from './on-engine.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../api/fixtures/${name}`, import.meta.url));
const certificate = fixture('localhost.cert.pem');

/** It asks for passwords and looks at rights, and takes TLS and plain text at one door. */
const settings = {
  authenticator: 'PasswordAuthenticator',
  authorizer: 'CassandraAuthorizer',
  // Rights count from when they are given.
  permissions_validity: '0ms',
  client_encryption_options: {
    enabled: true,
    optional: true,
    ssl_context_factory: {
      class_name: 'org.apache.cassandra.security.PEMBasedSslContextFactory',
      parameters: { private_key: readFileSync(fixture('localhost.key.pem'), 'utf8') + readFileSync(certificate, 'utf8') },
    },
  },
};

let clusters = 0;

withServer('cassandra', 'The Cassandra journal', (real) => {
  /** It starts slowly, and so there is one for all. */
  let only: Promise<Started<'cassandra'>> | undefined;
  const server = (): Promise<Started<'cassandra'>> => {
    only ??= (async () => {
      const started = await real.start({ settings });
      await makeKeyspace(started.port);
      return {
        ...started,
        url: `cassandra://cassandra:cassandra@127.0.0.1:${started.port}/jobs`,
        async restart(options?: { keepData?: boolean }) {
          await started.restart(options);
          await makeKeyspace(started.port);
        },
      };
    })();
    return only;
  };

  journalSuite('cassandra', async () => {
    const { url } = await server();
    const cluster = `t${++clusters}`;
    return { open: () => opened(url, { cluster, deadlineMs: 30_000 }), persistent: true, stop: async () => {} };
  });

  engineSuite('cassandra', {
    open: openCassandraEngine,
    start: server,
    lineTo: (port) => TcpProxy.to(port),
    refusesPassword: true,
    deadlineMs: 15_000,
    largeMebibytes: { body: 16, head: 3 },
    manyEntries: 1_500,
  });

  it('needs to read and to write in a keyspace, and to make tables there unless somebody else made them', async () => {
    const { port } = await server();
    const role = (name: string): string => `CREATE ROLE IF NOT EXISTS ${name} WITH LOGIN = true AND PASSWORD = 'its-own'`;
    await cql(port, keyspace('given'), role('owner'), role('guest'), role('nobody'));
    await cql(port, ...['CREATE', 'SELECT', 'MODIFY'].map((right) => `GRANT ${right} ON KEYSPACE given TO owner`));
    const as = (name: string): string => `cassandra://${name}:its-own@127.0.0.1:${port}/given`;
    await used(await opened(as('owner')));
    for (const table of ['journal_entries', 'journal_pieces'])
      await cql(port, ...['SELECT', 'MODIFY'].map((right) => `GRANT ${right} ON given.${table} TO guest`));
    const warnings: string[] = [];
    const guest = await opened(as('guest'), { onWarning: (line) => warnings.push(line) });
    expect([guest.durability, warnings]).toEqual(['process', [expect.stringContaining('commitlog_sync = unknown')]]);
    await used(guest);
    // Without it nobody tells a guest what a crash would lose.
    await cql(port, 'GRANT SELECT ON system_views.settings TO guest');
    const informed = await opened(as('guest'));
    expect(informed.durability).toBe('host');
    await informed.close();
    const refused = await opened(as('nobody'));
    await expect(refused.append([entry('a', 0)])).rejects.toMatchObject({ code: 'SH4013' });
    await expect(seqs(refused, 'a')).rejects.toMatchObject({ code: 'SH4013' });
    await refused.close();
  });

  it('speaks TLS with whom it trusts, and with nobody else', async () => {
    const { port } = await server();
    const url = `cassandra://cassandra:cassandra@localhost:${port}/jobs`;
    await used(await opened(`${url}?ca=${encodeURIComponent(certificate)}`));
    await expect(opened(`${url}?tls=true`)).rejects.toMatchObject({ code: 'SH4010', why: expect.stringContaining('self-signed') });
    await expect(opened(`${url}?ca=/nowhere`)).rejects.toMatchObject({ code: 'SH1305' });
    await expect(opened(`${url}?tsl=true`)).rejects.toMatchObject({ code: 'SH1305' });
    await expect(opened(`${url}-of-work`)).rejects.toMatchObject({ code: 'SH1305' });
  });

  it('has all its lines cut again and again, and leaves none behind when it closes', async () => {
    const { url, port } = await server();
    const line = await TcpProxy.to(port);
    const lineUrl = new URL(url);
    lineUrl.port = String(line.port);
    const journal = await opened(lineUrl.href, { cluster: 'cut', deadlineMs: 30_000 });
    for (let seq = 0; seq < 8; seq++) {
      await journal.append([entry('a', seq)]);
      line.cut();
    }
    expect(await seqs(journal, 'a')).toHaveLength(8);
    await journal.close();
    // Sockets end a moment later, all of them.
    while (line.openCount > 0) await new Promise(setImmediate);
    await line.close();
  });

  it('says what to do about a keyspace that is not there', async () => {
    const { url } = await server();
    const hint = `CREATE KEYSPACE "Other" WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}`;
    await expect(opened(url.replace('jobs', 'Other'))).rejects.toMatchObject({ code: 'SH4012', hint: expect.stringContaining(hint) });
  });

  it('says what a confirmed entry survives, and warns of a keyspace without a commit log', async () => {
    const { url, port } = await server();
    const warnings: string[] = [];
    const synced = await opened(url, { onWarning: (line) => warnings.push(line) });
    expect([synced.durability, warnings]).toEqual(['host', []]);
    await synced.close();
    await cql(port, `${keyspace('hasty')} AND durable_writes = false`);
    const hasty = await opened(url.replace('jobs', 'hasty'), { onWarning: (line) => warnings.push(line) });
    expect([hasty.durability, warnings]).toEqual(['process', [expect.stringContaining('durable_writes = false')]]);
    await hasty.close();
  });

  it('lets one data centre decide, and no second one after it; refuses what a newer version has written', async () => {
    const { url, port } = await server();
    const place = url.replace('jobs', 'places');
    await cql(port, keyspace('places'));
    await expect(opened(`${place}?datacenter=elsewhere`)).rejects.toMatchObject({ code: 'SH4012' });
    await used(await opened(`${place}?datacenter=datacenter1`));
    await used(await opened(place));
    const comment = (text: string): string => `ALTER TABLE places.journal_entries WITH comment = '${text}'`;
    await cql(port, comment('shoal journal, format 1, data centre elsewhere'));
    await expect(opened(place)).rejects.toMatchObject({ code: 'SH4012', message: expect.stringContaining('elsewhere') });
    await cql(port, comment('shoal journal, format 99, data centre datacenter1'));
    await expect(opened(place)).rejects.toMatchObject({ code: 'SH4007' });
  });

  it('leaves one row of a dropped stream, and nothing of what came too late or was never finished', async () => {
    const { url, port } = await server();
    const place = url.replace('jobs', 'erased');
    await cql(port, keyspace('erased'));
    const [journal, other] = [await opened(place), await opened(place)];
    const large = (seq: number) => ({ stream: 'a', seq, writer: 'w', head: pattern(300_000, 1), body: [pattern(600_000, 2)] });
    for (const seq of [0, 1, 40]) await journal.append([large(seq)]);
    // A writer who ends between its pieces and their row.
    const engine = await openEngine(openCassandraEngine, { url: new URL(place), otherHosts: [], cluster: 'shoal', deadlineMs: 30_000 });
    const unfinished = { stream: 'a', seq: 41, writer: 'ended', part: 1, bytes: pattern(10, 3) };
    await engine.putPieces([unfinished], new AbortController().signal);
    await engine.close();
    expect(await cql(port, 'SELECT part FROM erased.journal_pieces')).toHaveLength(3 * 4 + 1);
    await journal.drop('a');
    await expectConflict(other.append([large(41)]), 'a', 41);
    expect(await cql(port, 'SELECT seq, closed FROM erased.journal_entries')).toEqual([{ seq: null, closed: true }]);
    expect(await cql(port, 'SELECT part FROM erased.journal_pieces')).toEqual([]);
    await Promise.all([journal.close(), other.close()]);
  });
});

const keyspace = (name: string): string =>
  `CREATE KEYSPACE IF NOT EXISTS ${name} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`;

/** All that a coordinator does with it; it is closed then. */
async function used(journal: Journal): Promise<void> {
  const stream = `s${++clusters}`;
  await journal.append([{ stream, seq: 0, writer: 'w', head: pattern(300_000, 1), body: [pattern(600_000, 2)] }]);
  await journal.append([entry(stream, 1)]);
  expect(await seqs(journal, stream)).toEqual([0, 1]);
  expect(await journal.readBodies(stream, [{ seq: 0, offset: 599_990, length: 10 }])).toHaveLength(1);
  await journal.drop(stream);
  await expectConflict(journal.append([entry(stream, 2)]), stream, 2);
  await journal.close();
}

/** Until its superuser is there, which comes a little after its first answer. */
async function makeKeyspace(port: number): Promise<void> {
  for (const endMs = performance.now() + 60_000; ; ) {
    try {
      return void (await cql(port, keyspace('jobs')));
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
  }
}

function opened(
  url: string,
  options: { cluster?: string; deadlineMs?: number; onWarning?: (line: string) => void } = {},
): Promise<Journal> {
  return openEngineJournal(openCassandraEngine, { url: new URL(url), ...options });
}

/** As superuser, one after the other; the rows of the last one. */
async function cql(port: number, ...texts: readonly string[]): Promise<Record<string, unknown>[]> {
  const client = new Client({
    contactPoints: [`127.0.0.1:${port}`],
    localDataCenter: 'datacenter1',
    authProvider: new auth.PlainTextAuthProvider('cassandra', 'cassandra'),
  });
  try {
    await client.connect();
    let rows: Record<string, unknown>[] = [];
    for (const text of texts) rows = ((await client.execute(text)).rows ?? []).map((row) => ({ ...row }));
    return rows;
  } finally {
    await client.shutdown();
  }
}
