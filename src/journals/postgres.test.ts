import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { expect, it } from 'vitest';
import { TcpProxy } from '../../test/cluster/proxy.ts';
import { withServer } from '../../test/real-servers.ts';
import { engineSuite } from './engine.suite.ts';
import { entry, expectConflict, journalSuite, pattern, seqs, story } from './journal.suite.ts';
import { type Journal, JournalFullError } from './journal.ts';
import { openEngineJournal } from './on-engine.ts';
import { openPostgresEngine } from './postgres.ts';

let schemas = 0;

withServer('postgres', 'The PostgreSQL journal', ({ shared, start }) => {
  journalSuite('postgres', async () => {
    const { url } = await shared();
    const schema = `s${++schemas}`;
    return { open: () => opened(`${url}?schema=${schema}`), persistent: true, stop: async () => {} };
  });

  engineSuite('postgres', { open: openPostgresEngine, start, lineTo: (port) => TcpProxy.to(port), refusesPassword: true });

  it('needs no more than a schema of its own, or three tables that somebody else made in one', async () => {
    const { url } = await shared();
    await sql(
      url,
      'CREATE ROLE owner LOGIN',
      'CREATE SCHEMA given AUTHORIZATION owner',
      'CREATE ROLE guest LOGIN',
      'CREATE ROLE nobody LOGIN',
    );
    const as = (role: string): string => `${url.replace('postgres@', `${role}@`)}?schema=given`;
    await used(await opened(as('owner')));
    await sql(
      url,
      'GRANT USAGE ON SCHEMA given TO guest',
      'GRANT SELECT, INSERT, UPDATE ON given.journal_streams TO guest',
      'GRANT SELECT, INSERT, DELETE ON given.journal_entries, given.journal_pieces TO guest',
    );
    await used(await opened(as('guest')));
    const refused = await opened(as('nobody'));
    await expect(refused.append([entry('a', 0)])).rejects.toMatchObject({ code: 'SH4013' });
    await refused.close();
  });

  it('says that its disk is full, keeps what it has, and goes on when there is room (S02)', async (context) => {
    const { url } = await shared();
    const disk = mkdtempSync(join(tmpdir(), 'shoal-small-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m,mode=0777', 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      context.skip(`a small disk can't be mounted here: ${String(error)}`);
    }
    try {
      execFileSync('mkdir', [join(disk, 'space')]);
      execFileSync('chown', ['postgres', join(disk, 'space')]);
      await sql(url, `CREATE TABLESPACE small LOCATION '${join(disk, 'space')}'`);
      const journal = await opened(`${url}?schema=small&options=${encodeURIComponent('-c default_tablespace=small')}`);
      await journal.append([entry('kept', 0, { body: ['kept'] })]);
      const body = [pattern(1024 * 1024, 3)];
      let full: unknown;
      let seq = 0;
      for (; seq < 100 && full === undefined; seq++) {
        full = await journal.append([{ stream: 'gone', seq, writer: 'w', head: Buffer.of(), body }]).then(
          () => undefined,
          (error: unknown) => error,
        );
      }
      expect(full).toBeInstanceOf(JournalFullError);
      expect(seq).toBeGreaterThan(3);
      expect(await story(journal, 'kept')).toEqual(['kept/0 by w:  | kept']);
      execFileSync('mount', ['-o', 'remount,size=32m', disk]);
      await journal.append([{ stream: 'gone', seq: seq - 1, writer: 'w', head: Buffer.of(), body }]);
      expect(await seqs(journal, 'gone')).toHaveLength(seq);
      await journal.close();
      await sql(url, 'DROP SCHEMA small CASCADE', 'DROP TABLESPACE small');
    } finally {
      execFileSync('umount', ['-l', disk]);
      rmSync(disk, { recursive: true });
    }
  });

  it('switches synchronous_commit on for itself where it is off, and says what it found', async () => {
    const { url } = await shared();
    const warnings: string[] = [];
    await sql(url, 'CREATE ROLE hasty LOGIN', 'ALTER ROLE hasty SET synchronous_commit = off', 'CREATE SCHEMA hasty AUTHORIZATION hasty');
    const address = `${url.replace('postgres@', 'hasty@')}?schema=hasty`;
    const journal = await opened(address, (line) => warnings.push(line));
    expect(warnings).toEqual([expect.stringMatching(/synchronous_commit = off/)]);
    expect(journal.durability).toBe('host');
    await journal.append([entry('a', 0)]);
    await sql(
      url,
      'CREATE TABLE hasty.seen (how text)',
      'ALTER TABLE hasty.seen OWNER TO hasty',
      `CREATE FUNCTION hasty.look() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO hasty.seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$`,
      'CREATE TRIGGER look BEFORE INSERT ON hasty.journal_entries FOR EACH ROW EXECUTE FUNCTION hasty.look()',
    );
    await journal.append([entry('a', 1)]);
    await journal.close();
    expect(await sql(url, 'SELECT how FROM hasty.seen')).toEqual([{ how: 'on' }]);
  });

  it('says what a commit survives: a standby, a power cut, or the coordinator only; a replica takes none and is refused', async () => {
    const server = await start();
    for (const [setting, value, durability] of [
      ['synchronous_standby_names', 'other', 'replicated'],
      ['synchronous_commit', 'local', 'host'],
      ['fsync', 'off', 'process'],
    ] as const) {
      await sql(server.url, `ALTER SYSTEM SET ${setting} = '${value}'`, 'SELECT pg_reload_conf()');
      while (!isDeepStrictEqual(await sql(server.url, `SHOW ${setting}`), [{ [setting]: value }]));
      const journal = await opened(server.url);
      expect(journal.durability).toBe(durability);
      await journal.close();
    }
    await server.shutdown();
    writeFileSync(join(server.folder, 'data', 'standby.signal'), '', { mode: 0o666 });
    await server.restart();
    await expect(opened(server.url)).rejects.toMatchObject({ code: 'SH4012', message: expect.stringContaining('pg_is_in_recovery') });
    await server.stop();
  });

  it('refuses what a newer version has written', async () => {
    const { url } = await shared();
    const journal = await opened(`${url}?schema=newer`);
    await journal.append([entry('a', 0)]);
    await journal.close();
    await sql(url, `COMMENT ON TABLE newer.journal_streams IS 'shoal journal, format 99'`);
    await expect(opened(`${url}?schema=newer`)).rejects.toMatchObject({ code: 'SH4007' });
  });
});

function opened(url: string, onWarning?: (line: string) => void): Promise<Journal> {
  return openEngineJournal(openPostgresEngine, { url: new URL(url), ...(onWarning && { onWarning }) });
}

/** All that a coordinator does with it; it is closed then. */
async function used(journal: Journal): Promise<void> {
  const stream = `s${++schemas}`;
  await journal.append([{ stream, seq: 0, writer: 'w', head: pattern(9_000_000, 1), body: [pattern(9_000_000, 2)] }]);
  await journal.append([entry(stream, 1)]);
  expect(await seqs(journal, stream)).toEqual([0, 1]);
  expect(await journal.readBodies(stream, [{ seq: 0, offset: 8_999_990, length: 10 }])).toHaveLength(1);
  await journal.drop(stream);
  await expectConflict(journal.append([entry(stream, 2)]), stream, 2);
  await journal.close();
}

/** As superuser, one after the other; the rows of the last one. */
async function sql(url: string, ...texts: readonly string[]): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    let rows: unknown[] = [];
    for (const text of texts) ({ rows } = await client.query(text));
    return rows;
  } finally {
    await client.end();
  }
}
