/** Clients and operators against a real cluster: who goes away, who asks twice, who asks for what is not there. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster, Task } from 'shoal';
import { connect } from 'shoal';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';

let cluster: TestCluster;
let client: Cluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ workers: 2 });
  client = await cluster.ready(2);
});
afterAll(() => cluster?.close());
afterEach(async () => {
  await cluster.shoal('queues', 'resume', 'default');
});

const on = <I, O>(task: Task<I, O>): Task<I, O> => task.on(client);
const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await cluster.shoal(...args, '--json')).stdout) as T;

describe('a client', () => {
  test('that leaves in the middle and returns finds its job by id and by key (A01)', async () => {
    const first = await connect(cluster.address, { token: cluster.token() });
    const inputs = Array.from({ length: 50 }, (_, value) => ({ ms: 40, value }));
    const job = tasks.wait.on(first).map(inputs, { idempotencyKey: 'left behind' });
    await job.state();
    const { id } = job;
    await first.close();
    const byId = await client.job<number[]>(id);
    expect(await byId.result()).toEqual(inputs.map(({ value }) => value));
    const byKey = await client.job<number[]>('left behind');
    expect(byKey.id).toBe(id);
  });

  test('that waits for what is not there is told so (A10)', async () => {
    await expect(client.job('01j00000000000000000000000')).rejects.toMatchObject({ code: 'SH1401' });
    const { code, stderr } = await cluster.shoal('jobs', 'result', 'nobody');
    expect([code, stderr]).toEqual([1, expect.stringContaining('SH1401')]);
  });

  test('that cancels is told the truth: what was cancelled gives no result, what had ended stays (A04, A05)', async () => {
    const job = await on(tasks.wait).submit({ ms: 60_000, value: 1 });
    await job.cancel('enough');
    expect(await job.state()).toBe('cancelled');
    await expect(job.result()).rejects.toThrow();
    const done = await on(tasks.wait).submit({ ms: 1, value: 2 });
    expect(await done.result()).toBe(2);
    await done.cancel();
    expect(await done.state()).toBe('succeeded');
  });

  test('that races cancel against completion, a hundred times: never both (A04)', async () => {
    const rounds = Array.from({ length: 100 }, async (_, value) => {
      const job = await on(tasks.wait).submit({ ms: value % 10, value });
      const [state, result] = await Promise.all([
        job.cancel().then(() => job.state()),
        job.result().then(
          (given) => given,
          () => undefined,
        ),
      ]);
      return state === (result === value ? 'succeeded' : 'cancelled') ? 'agreed' : `${state}, but ${String(result)}`;
    });
    expect(new Set(await Promise.all(rounds))).toEqual(new Set(['agreed']));
  });

  test('that uses a key again after its job failed gets that job, and may replay it (A08, A06)', async () => {
    const file = join(cluster.folder, 'switch');
    const options = { idempotencyKey: 'failing' };
    const job = await on(tasks.needsFile).submit({ file }, options);
    await expect(job.result()).rejects.toMatchObject({ code: 'SH2001' });
    const again = await on(tasks.needsFile).submit({ file }, options);
    expect([again.id, again.deduplicated]).toEqual([job.id, true]);
    await on(tasks.makeFile).run({ file });
    expect(existsSync(file)).toBe(true);
    expect(await again.replayFailed()).toBe(1);
    expect(await again.result()).toBe('found');
  });
});

describe('an operator', () => {
  test('who replays a dead letter twice at once starts it once; purged it is gone (A07)', async () => {
    const file = join(cluster.folder, 'late');
    const job = await on(tasks.needsFile).submit({ file });
    await expect(job.result()).rejects.toThrow();
    const id = `${job.id}/0/0`;
    expect((await json<{ history: unknown[] }>('dlq', 'get', id)).history).toHaveLength(1);
    await on(tasks.makeFile).run({ file });
    const both = await Promise.all([json<{ replayed: number }>('dlq', 'replay', id), json<{ replayed: number }>('dlq', 'replay', id)]);
    expect(both[0]!.replayed + both[1]!.replayed).toBe(1);
    expect((await cluster.shoal('jobs', 'watch', job.id, '--quiet')).code).toBe(0);
    const other = await on(tasks.needsFile).submit({ file: join(cluster.folder, 'never') });
    await expect(other.result()).rejects.toThrow();
    expect(await json('dlq', 'purge', other.id)).toMatchObject({ purged: 1 });
    expect(await json('dlq', 'replay', other.id)).toMatchObject({ replayed: 0 });
  });

  test('who pauses a queue holds its jobs back, and explain says so', async () => {
    await cluster.shoal('queues', 'pause', 'default');
    const job = await on(tasks.mix).submit({ seed: 1, ms: 0 });
    const { stdout } = await cluster.shoal('explain', job.id);
    expect(stdout).toMatch(/queue "default" is paused/);
    expect(stdout).toMatch(/shoal queues resume default/);
    await cluster.shoal('queues', 'resume', 'default');
    expect(await job.result()).toBe(tasks.mixed(1));
  });

  test('who drains a worker ends it when it is through (W10)', async () => {
    const extra = cluster.addWorker({ name: 'leaves' });
    await client.waitForWorkers(3);
    await cluster.shoal('workers', 'drain', 'leaves');
    expect((await extra.ended).code).toBe(0);
  });

  test('without a token, or with a wrong one, is not let in, with exit code 3 (X02)', async () => {
    const wrong = cluster.run(['status', '--address', cluster.address], { SHOAL_TOKEN: `shoal_${'x'.repeat(43)}` });
    expect((await wrong.ended).code).toBe(3);
    expect(wrong.stderr).toMatch(/SH3002/);
    const readOnly = cluster.run(['queues', 'pause', 'default', '--address', cluster.address], { SHOAL_TOKEN: cluster.token('read-only') });
    expect((await readOnly.ended).code).toBe(3);
    const worker = cluster.run(['status', '--address', cluster.address], { SHOAL_TOKEN: cluster.token('worker') });
    expect((await worker.ended).code).toBe(3);
  });

  test('where nobody listens is told within seconds, with exit code 3', async () => {
    const nobody = cluster.run(['status', '--address', 'http://127.0.0.1:1']);
    expect((await nobody.ended).code).toBe(3);
    expect(nobody.stderr).toMatch(
      /error\[SH3001\] cannot reach the coordinator at http:\/\/127\.0\.0\.1:1\n {2}why {4}connect ECONNREFUSED/,
    );
  });
});
