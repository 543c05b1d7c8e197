/** A coordinator's port while another one leads (N15). */
import { afterEach, expect, test } from 'vitest';
import { dialWsBroker } from '../brokers/ws/client.ts';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import { openRemoteSession } from '../client/remote/session.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import { Secret } from '../lib/secret.ts';
import { parse, raw, type Served, serve, tokenOf, upgrade } from './api.suite.ts';
import type { Standing } from './server.ts';

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function coordinator(standing?: () => Standing): Promise<Served> {
  const plugs = { broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() };
  const served = await serve(plugs, standing && { standing });
  open.push(served);
  return served;
}

test('who comes without a good token is told nothing of the leader', async () => {
  const { port } = await coordinator(() => ({ leads: false, leader: 'http://10.0.0.9:7690' }));
  expect(await upgrade(port, { token: 'nonsense' })).toMatchObject({ status: 401, body: expect.not.stringContaining('10.0.0.9') });
  const answer = await upgrade(port, { token: tokenOf('client') });
  expect(answer.status).toBe(307);
  expect(JSON.parse(answer.body)).toMatchObject({ code: 'SH3020', leader: 'http://10.0.0.9:7690' });
  expect(answer.headers).toMatch(/^location: http:\/\/10\.0\.0\.9:7690\/api\/v1\/stream\r?$/im);
});

test('it lives, is not ready, and points requests to the leader, or says that none is known', async () => {
  let leader: string | undefined = 'http://10.0.0.9:7690';
  const { port } = await coordinator(() => ({ leads: false, ...(leader !== undefined && { leader }) }));
  const get = async (path: string): Promise<ReturnType<typeof parse>> =>
    parse(await raw(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
  expect((await get('/livez')).status).toBe(200);
  const pointed = await get('/api/v1/jobs?limit=1');
  expect([pointed.status, /location: (.*)/i.exec(pointed.headers)?.[1]]).toEqual([307, 'http://10.0.0.9:7690/api/v1/jobs?limit=1']);
  leader = undefined;
  expect(await get('/api/v1/jobs')).toMatchObject({ status: 503, headers: expect.stringMatching(/retry-after: 1/i) });
  expect((await get('/nothing')).status).toBe(404);
});

test('clients and workers that dial it come to the one that leads', async () => {
  const leader = await coordinator();
  const standby = await coordinator(() => ({ leads: false, leader: leader.api.address }));
  const session = await openRemoteSession({ address: standby.api.address, token: new Secret(tokenOf('client')) });
  expect(leader.sessions).toHaveLength(1);
  const broker = await dialWsBroker({ address: standby.api.address, token: () => new Secret(tokenOf('worker')) });
  expect([leader.workers.length, standby.workers.length]).toEqual([1, 0]);
  session.close();
  await broker.close();
});

test('clients and workers move on when another leads, without a word from anybody', async () => {
  const standings: Standing[] = [{ leads: true }, { leads: false }];
  const both = [await coordinator(() => standings[0]!), await coordinator(() => standings[1]!)];
  const address = both.map(({ api }) => api.address).join(',');
  const session = await openRemoteSession({ address, token: new Secret(tokenOf('client')) });
  const broker = await dialWsBroker({ address, token: () => new Secret(tokenOf('worker')) });
  const isReset = new Promise<void>((resolve) => void (session.onReset = resolve));
  // Nobody leads for a while, then the other one does.
  standings[0] = { leads: false };
  both[0]!.sessions[0]!.end({ code: 'SH3003', message: 'the leadership was lost' });
  both[0]!.workers[0]!.close(1012);
  await expect.poll(() => broker.state).toBe('down');
  standings[1] = { leads: true };
  await isReset;
  await expect.poll(() => broker.state).toBe('up');
  expect([both[1]!.sessions.length, both[1]!.workers.length]).toEqual([1, 1]);
  session.close();
  await broker.close();
});
