/** What `shoal doctor` finds: each test makes one thing wrong, and looks for what is said and what is advised. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Running, TestCluster } from '../cluster/harness.ts';

interface Finding {
  check: string;
  status: string;
  what: string;
  try?: string;
}

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ workers: 0 });
});
afterAll(() => cluster?.close());

async function ran(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ running: Running; code: number | null }> {
  const running = cluster.run(['doctor', ...args], { SHOAL_ADDRESS: cluster.address, ...env });
  const { code } = await running.ended;
  return { running, code };
}

async function found(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<{ code: number | null; checks: Finding[] }> {
  const { running, code } = await ran(['--json', ...args], env);
  return { code, ...(JSON.parse(running.stdout) as { checks: Finding[] }) };
}

const of = (checks: readonly Finding[], name: string): Finding | undefined => checks.find(({ check }) => check === name);

describe('the way to the coordinator', () => {
  it('is well, and the machine is looked at', async () => {
    const { code, checks } = await found([]);
    expect(code).toBe(0);
    expect(checks.map(({ check }) => check)).toEqual(expect.arrayContaining(['node', 'cores', 'memory', 'clock', 'ready', 'version']));
    expect(of(checks, 'address')!.what).toBe(`${cluster.address}, from SHOAL_ADDRESS (environment)`);
    expect(of(checks, 'token')).toMatchObject({ status: 'ok', what: 'let in as admin' });
    expect(of(checks, 'workers')).toMatchObject({ status: 'warn', try: `shoal worker --address ${cluster.address} --allow-bundles` });
  });

  it.each(['client', 'read-only'])('with a %s token has that role', async (role) => {
    const { checks } = await found([], { SHOAL_TOKEN: cluster.token(role) });
    expect(of(checks, 'token')).toMatchObject({ status: 'ok', what: `let in as ${role}` });
  });

  it.each([
    ['a wrong token', () => `shoal_${'x'.repeat(43)}`, /it does not know the token that it was shown/],
    ["a worker's token", () => cluster.token('worker'), /a worker token may not do this/],
  ])('%s fails, and is not shown', async (_name, token, what) => {
    const { running, code } = await ran([], { SHOAL_TOKEN: token() });
    expect(code).toBe(1);
    expect(running.stdout).toMatch(/^FAIL {2}token {2,}/m);
    expect(running.stdout).toMatch(what);
    expect(running.stdout + running.stderr).not.toContain(token());
  });

  it('no token fails, and says where they are', async () => {
    const { code, checks } = await found([], { SHOAL_HOME: join(cluster.folder, 'elsewhere') });
    expect(code).toBe(1);
    expect(of(checks, 'token')).toMatchObject({
      status: 'fail',
      what: 'there is none to show',
      try: expect.stringContaining('--token-file'),
    });
  });

  it('nobody there fails, and the port is free', async () => {
    const port = await freePort();
    const { code, checks } = await found(['--address', `http://127.0.0.1:${port}`]);
    expect(code).toBe(1);
    expect(of(checks, 'coordinator')).toMatchObject({ status: 'fail', what: 'nobody listens there' });
    expect(of(checks, 'port')).toMatchObject({ status: 'ok', what: `${port} is free for a coordinator` });
  });

  it('of several coordinators each is looked at, and says which it is', async () => {
    const gone = `http://127.0.0.1:${await freePort()}`;
    const { code, checks } = await found(['--address', `${gone},${cluster.address}`]);
    expect(code).toBe(1);
    expect(checks.filter(({ check }) => check === 'coordinator')).toMatchObject([
      { status: 'fail', what: `${gone}: nobody listens there` },
      { status: 'ok', what: `${cluster.address}: it answers` },
    ]);
    expect(of(checks, 'ready')).toMatchObject({ status: 'ok' });
    expect(of(checks, 'token')).toMatchObject({ status: 'ok', what: 'let in as admin' });
  });

  it('somebody else there fails, and what it says does nothing to the terminal (X13)', async () => {
    const server = createServer((_request, response) => response.end('\u001b[2Jwelcome'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { running, code } = await ran(['--address', `http://127.0.0.1:${(server.address() as AddressInfo).port}`]);
    server.close();
    expect(code).toBe(1);
    expect(running.stdout).toContain('something answers there (200: \\x1b[2Jwelcome), but it is no coordinator');
    expect(running.stdout).not.toContain('\u001b');
  });

  it('https where there is none fails', async () => {
    const { code, checks } = await found(['--address', cluster.address.replace('http:', 'https:')]);
    expect(code).toBe(1);
    expect(of(checks, 'coordinator')).toMatchObject({ status: 'fail', try: expect.stringContaining('http:// instead of https://') });
  });
});

describe('a journal', () => {
  const journal = (name: string): string => join(cluster.folder, name);

  it('of the coordinator is well: space, speed, tokens', async () => {
    const { code, checks } = await found(['--journal', `file:${journal('journal')}`]);
    expect(code).toBe(0);
    expect(of(checks, 'disk')!.what).toMatch(/^a commit costs at least \d+\.\d\d ms \(fdatasync\)$/);
    expect(of(checks, 'tokens')!.status).toBe('ok');
    expect(of(checks, 'permissions')).toBeUndefined();
  });

  it('that others may change, or whose tokens they may read, fails', async () => {
    mkdirSync(journal('open'));
    chmodSync(journal('open'), 0o777);
    writeFileSync(join(journal('open'), 'tokens'), `admin ${'x'.repeat(40)}\n`);
    chmodSync(join(journal('open'), 'tokens'), 0o644);
    const { code, checks } = await found(['--journal', `file:${journal('open')}`]);
    expect(code).toBe(1);
    expect(of(checks, 'permissions')).toMatchObject({ status: 'fail', try: `chmod 700 ${journal('open')}` });
    expect(of(checks, 'tokens')).toMatchObject({ status: 'fail', try: `chmod 600 ${join(journal('open'), 'tokens')}` });
  });

  it('that is not there yet is fine; one that is no folder is not', async () => {
    const missing = await found(['--journal', `file:${journal('missing')}`]);
    expect(missing.code).toBe(0);
    expect(of(missing.checks, 'journal')!.what).toContain('is not there yet');
    writeFileSync(journal('file'), '');
    const file = await found(['--journal', `file:${journal('file')}`]);
    expect(file.code).toBe(1);
    expect(of(file.checks, 'journal')).toMatchObject({ status: 'fail' });
  });

  it('is looked at where coordinators put it by themselves', async () => {
    mkdirSync(journal('.shoal'), { mode: 0o700 });
    const { checks } = await found([]);
    expect(of(checks, 'journal')!.what).toContain(journal('.shoal'));
    expect(of(checks, 'disk')!.status).toMatch(/ok|warn/);
  });
});
