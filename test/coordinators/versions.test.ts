/** Two operators change the same thing, whomever of several coordinators they ask, and whoever leads by then (issue 6). */
import { afterEach, expect, test, vi } from 'vitest';
import { Connection } from '../../src/client/connection.ts';
import { openRemoteSession } from '../../src/client/remote/session.ts';
import type { CancelReply, JobView, QueueReply, ReplayReply } from '../../src/core/answers.ts';
import { Secret } from '../../src/lib/secret.ts';
import * as tasks from '../cluster/fixtures/tasks.ts';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';

// Processes: on a busy machine each start takes seconds.
vi.setConfig({ testTimeout: 180_000 });

let cluster: TestCluster;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await cluster?.close();
});

async function operator(address: string): Promise<Connection> {
  const connection = new Connection(await openRemoteSession({ address, token: new Secret(cluster.token()) }));
  closing.push(() => connection.close());
  return connection;
}

/** Of three tasks, for which there is no worker. */
async function submit(idempotencyKey: string): Promise<string> {
  const job = tasks.wait
    .on(await cluster.connect())
    .with({ idempotencyKey })
    .map([1, 2, 3].map((value) => ({ ms: 0, value })));
  expect(await job.state()).toBe('queued');
  return job.id;
}

test('of two at once one gets through, one asking the leader and one a standby; so it stays under the next leader', async () => {
  cluster = await TestCluster.start({ coordinators: 2, workers: 0 });
  const job = await submit('nightly');
  const leader = await cluster.nextLeader();
  const standby = 1 - leader;
  const looked = await cluster.shoal('jobs', 'get', 'nightly', '--json', '--address', cluster.addressOf(standby));
  const { version } = JSON.parse(looked.stdout) as JobView;
  const ask = (at: number, reason: string): ReturnType<TestCluster['shoal']> => {
    const what = ['jobs', 'cancel', 'nightly', '--reason', reason, '--if-match', String(version)];
    return cluster.shoal(...what, '--json', '--address', cluster.addressOf(at));
  };
  const both = await Promise.all([ask(leader, 'the first'), ask(standby, 'the second')]);
  const [winner, loser] = both.toSorted((a, b) => a.code! - b.code!);
  expect(winner).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(winner!.stdout)).toEqual({ job, cancelled: true, state: 'cancelled', version: version + 1 });
  expect(loser).toMatchObject({ code: 1, stdout: '' });
  expect(JSON.parse(loser!.stderr)).toMatchObject({ code: 'SH1414', title: expect.stringContaining(`at version ${version + 1}`) });

  const asked = await operator(cluster.address);
  await asked.request<QueueReply>({ kind: 'setQueue', queue: 'default', paused: true, expectedVersion: 0 });
  cluster.coordinators[leader]!.kill('SIGKILL');
  await cluster.nextLeader(leader);
  await expect(asked.request({ kind: 'replay', job, expectedVersion: version })).rejects.toMatchObject({ code: 'SH1414' });
  await expect(asked.request({ kind: 'setQueue', queue: 'default', paused: true, expectedVersion: 0 })).rejects.toMatchObject({
    code: 'SH1414',
    why: expect.stringMatching(/^since then it was paused .* ago \(version 1\)$/),
  });
  const replays = [1, 2].map(() => asked.request<ReplayReply>({ kind: 'replay', job, expectedVersion: version + 1 }));
  const settled = await Promise.allSettled(replays);
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect(await asked.request<QueueReply>({ kind: 'setQueue', queue: 'default', paused: false, expectedVersion: 1 })).toEqual({
    paused: false,
    version: 2,
  });
});

test('a change whose answer is lost with its leader is made once, and is not refused because of itself (A03)', async () => {
  cluster = await TestCluster.start({ coordinators: 2, workers: 0 });
  const job = await submit('nightly');
  const leader = await cluster.nextLeader();
  const proxy = await TcpProxy.to(Number(new URL(cluster.addressOf(leader)).port));
  closing.push(() => proxy.close());
  const near = await operator(`${proxy.address},${cluster.addressOf(1 - leader)}`);
  const onlooker = await operator(cluster.address);
  expect(await near.request<CancelReply>({ kind: 'cancel', job, reason: 'enough' })).toMatchObject({ version: 1 });

  // The answer is on its way for longer than the leader lives.
  proxy.delay(1_500);
  const replayed = near.request<ReplayReply>({ kind: 'replay', job, expectedVersion: 1 });
  await expect
    .poll(async () => (await onlooker.request<JobView>({ kind: 'query', job })).version, { timeout: 60_000, interval: 20 })
    .toBe(2);
  proxy.refuse();
  cluster.coordinators[leader]!.kill('SIGKILL');
  await cluster.nextLeader(leader);
  expect(await replayed).toEqual({ replayed: 3, version: 2 });
  expect(await onlooker.request<JobView>({ kind: 'query', job })).toMatchObject({ version: 2, queued: 3 });
});
