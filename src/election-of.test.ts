import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openElection } from './election-of.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-election-'));
});
afterEach(() => rm(folder, { recursive: true }));

const never = new AbortController().signal;
const me = { id: 'a', url: 'http://a.example:7690', address: 'hello' };

it('knows none:, where the only one leads for ever', async () => {
  const election = await openElection('none:', { cluster: 'c' });
  const leadership = await election.campaign(me, never);
  expect(leadership.ttlMs).toBe(Number.POSITIVE_INFINITY);
  expect(await election.leader()).toEqual(me);
  await election.close();
});

it.each(['file:', 'file://'])('knows %sDIR', async (scheme) => {
  const election = await openElection(`${scheme}${folder}/deep/er`, { cluster: 'c' });
  const leadership = await election.campaign(me, never);
  expect(leadership.lost.aborted).toBe(false);
  expect(await readdir(join(folder, 'deep', 'er'))).toEqual(['c.term-1']);
  await election.close();
});

it.each(['', 'none', 'file:', 'file://', 'consul://a', 'memory:', '/tmp/x', 'redis:', 'redis://', 'redis://host:port', 'redis://a:b@'])(
  'does not know "%s"',
  async (url) => {
    await expect(openElection(url, { cluster: 'c' })).rejects.toMatchObject({ code: 'SH1321' });
  },
);

it('shows no password when it does not know an address (X03)', async () => {
  const error = await openElection('consul://me:secret@host', { cluster: 'c' }).catch((caught: Error) => caught);
  expect(String(error)).toContain('consul://***@host');
});
