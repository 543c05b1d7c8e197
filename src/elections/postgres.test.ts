import pg from 'pg';
import { afterAll, afterEach, expect, it } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { electionSuite } from './election.suite.ts';
import type { Election } from './election.ts';
import { type ElectionOptions, leaseElection } from './lease.ts';
import { postgresStore } from './postgres.ts';

withServer('postgres', 'elections', (postgres) => {
  electionSuite('postgres', 'a server', async () => {
    const server = await postgres.shared();
    return {
      url: server.url,
      store: (options) => postgresStore(server.url, options),
      removeLease: async (cluster) => {
        expect(await rowCount(server.url, 'DELETE FROM shoal_election WHERE cluster = $1', [cluster])).toBe(1);
      },
      server,
      stop: () => Promise.resolve(),
    };
  });

  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  afterAll(() => void process.off('warning', onWarning));

  const opened: Election[] = [];
  const me = { id: 'a', address: 'hello' };
  const never = new AbortController().signal;

  afterEach(() => Promise.all(opened.splice(0).map((election) => election.close())));

  async function open(url: string, options: Partial<ElectionOptions> = {}): Promise<Election> {
    const all = { cluster: 'own', ...options };
    const election = leaseElection(await postgresStore(url, all), all);
    opened.push(election);
    return election;
  }

  async function newDatabase(name: string): Promise<string> {
    const { url } = await postgres.shared();
    await rowCount(url, `CREATE DATABASE ${name}`);
    return url.replace(/\/postgres$/, `/${name}`);
  }

  it('asks one thing after the other on its connection, as the client wants it', async () => {
    const { url } = await postgres.shared();
    const election = await open(url);
    await Promise.all([election.leader(), election.leader(), election.campaign(me, never)]);
    // Given once a process: those of the tests before would be here as well.
    expect(warnings).toEqual([]);
  });

  it('makes its table once, though several come at the same time', async () => {
    const warnings: string[] = [];
    // Which of its errors PostgreSQL has for those that come second is chance.
    for (let round = 0; round < 10; round++) {
      const url = await newDatabase(`fresh${round}`);
      const elections = await Promise.all(Array.from({ length: 6 }, () => open(url, { onWarning: (line) => warnings.push(line) })));
      await Promise.all(elections.map((election) => election.leader()));
    }
    expect(warnings).toEqual([]);
  });

  it.each(['AS (cluster text)', 'AS ENUM ()'])('does not try in vain to make it where a type %s has its name', async (type) => {
    const url = await newDatabase(type.includes('ENUM') ? 'counted' : 'composed');
    await rowCount(url, `CREATE TYPE shoal_election ${type}`);
    const refused = await (await open(url)).campaign(me, never).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'SH3011', why: expect.stringContaining('shoal_election') });
  });

  it('keeps its leader when its connections are cut, as poolers and proxies do (C08)', async () => {
    const url = await newDatabase('cut');
    const ttlMs = 3_000;
    const leader = await open(url, { ttlMs });
    const leadership = await leader.campaign(me, never);
    const beats = async (): Promise<number> => (await rows<{ beats: number }>(url, 'SELECT beats::int FROM shoal_election'))[0]!.beats;
    const before = await beats();
    const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shoal election'";
    expect((await rows(url, cut)).length).toBeGreaterThan(0);
    while ((await beats()) === before) expect(leadership.lost.aborted).toBe(false);
    expect(leadership.lost.aborted).toBe(false);
    await leadership.resign();
  });

  it('lets go of the dead although the clock of the server was set back', async () => {
    const url = await newDatabase('clock');
    const ttlMs = 1_000;
    // Silent from now on, with an end that its clock, an hour back, will not reach.
    await (await open(url, { ttlMs })).leader();
    const dead = "INSERT INTO shoal_election VALUES ('own', 7, 'dead', '{}', 3, clock_timestamp() + interval '1 hour')";
    await rowCount(url, dead);
    const leadership = await (await open(url, { ttlMs })).campaign(me, never);
    expect(leadership.lost.aborted).toBe(false);
    expect(await rows(url, 'SELECT term::int, record::json->>$1 AS id FROM shoal_election', ['id'])).toEqual([{ term: 8, id: 'a' }]);
  });

  it('needs no more rights than the docs say, and without them tries in vain no longer', async () => {
    const url = await newDatabase('rights');
    await (await open(url)).leader();
    await rowCount(url, 'CREATE ROLE enough LOGIN');
    await rowCount(url, 'CREATE ROLE little LOGIN');
    await rowCount(url, 'GRANT SELECT, INSERT, UPDATE ON shoal_election TO enough');
    const as = (role: string): string => url.replace('//postgres@', `//${role}:secret@`);
    const leadership = await (await open(as('enough'))).campaign(me, never);
    expect(await (await open(as('enough'))).leader()).toEqual(me);
    await leadership.resign();
    for (const address of [as('little'), as('nobody'), as('enough').replace(/rights$/, 'nowhere')]) {
      const refused = await (await open(address)).campaign(me, never).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'SH3011', hint: expect.stringContaining('shoal_election') });
      expect(String(refused)).not.toContain('secret');
    }
  });
});

async function rows<T extends object>(url: string, statement: string, values: readonly unknown[] = []): Promise<T[]> {
  return (await run<T>(url, statement, values)).rows;
}

async function rowCount(url: string, statement: string, values: readonly unknown[] = []): Promise<number | null> {
  return (await run(url, statement, values)).rowCount;
}

async function run<T extends object>(url: string, statement: string, values: readonly unknown[]): Promise<pg.QueryResult<T>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query<T>(statement, [...values]);
  } finally {
    await client.end();
  }
}
