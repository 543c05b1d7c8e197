/** Coordinators that are killed and stopped at any moment of a job, as real processes. */
import { readFileSync } from 'node:fs';
import type { Cluster, Task } from 'shoal';
import { afterEach, describe, expect, test } from 'vitest';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';

let cluster: TestCluster;
afterEach(() => cluster?.close());

const seeds = (count: number, ms: number): { seed: number; ms: number }[] => Array.from({ length: count }, (_, seed) => ({ seed, ms }));
const answers = (count: number): number[] => Array.from({ length: count }, (_, seed) => tasks.mixed(seed));
const on = <I, O>(task: Task<I, O>, client: Cluster): Task<I, O> => task.on(client);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function killCoordinator(): Promise<void> {
  cluster.coordinator.kill('SIGKILL');
  await cluster.coordinator.ended;
}

describe('kill -9 of the coordinator', () => {
  test('five times at random moments of 20 000 tasks: every result is there, none twice, in order (C01, C03)', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const client = await cluster.ready(2);
    const count = 20_000;
    const results = on(tasks.mix, client).map(seeds(count, 0.3)).toArray();
    for (let kill = 0; kill < 5; kill++) {
      await pause(100 + Math.random() * 500);
      await killCoordinator();
      await cluster.startCoordinator();
    }
    expect(await results).toEqual(answers(count));
  });

  test('while results are read as they come, and the job combines: nothing is counted twice (C03, A09)', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const client = await cluster.ready(2);
    const count = 6_000;
    const expected = answers(count).reduce((total, value) => (total + value) >>> 0, 0);
    const sum = on(tasks.mix, client).map(seeds(count, 0.5)).reduce(on(tasks.sum, client));
    const seen = new Map<number, number>();
    const reading = (async () => {
      for await (const { index } of on(tasks.mix, client).map(seeds(count, 0.5), { order: 'completion' }).settled()) {
        seen.set(index, (seen.get(index) ?? 0) + 1);
      }
    })();
    for (let kill = 0; kill < 3; kill++) {
      await pause(200 + Math.random() * 500);
      await killCoordinator();
      await cluster.startCoordinator();
    }
    expect(await sum).toBe(expected);
    await reading;
    expect(seen.size).toBe(count);
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
  });

  test('workers finish what they run meanwhile, and their results are taken: no task starts twice (C03)', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1 });
    const client = await cluster.ready(1);
    const file = `${cluster.folder}/starts`;
    const result = on(tasks.countStart, client).run({ file, ms: 1_500 });
    while ((await readFileSafely(file)) === '') await pause(10);
    await killCoordinator();
    await pause(500);
    await cluster.startCoordinator();
    expect(await result).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe('x');
  });

  test('before it answered: the same submission is one job, whoever asks again (A02, A03)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const many = Array.from({ length: 50 }, () => on(tasks.mix, client).submit({ seed: 5, ms: 0 }, { idempotencyKey: 'once' }));
    await killCoordinator();
    await cluster.startCoordinator();
    const jobs = await Promise.all(many);
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(1);
    expect(await jobs[0]!.result()).toBe(tasks.mixed(5));
    await expect(
      on(tasks.mix, client)
        .submit({ seed: 6, ms: 0 }, { idempotencyKey: 'once' })
        .then((job) => job.result()),
    ).rejects.toMatchObject({
      code: 'SH1403',
    });
  });
});

describe('a coordinator', () => {
  test('that was stopped for longer than every lease goes on; nobody is taken for dead, nothing runs twice (K05)', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const client = await cluster.ready(2);
    const attempts: number[] = [];
    const job = on(tasks.mix, client).map(seeds(2_000, 2));
    const reading = (async () => {
      for await (const each of job.settled()) if (each.status === 'fulfilled') attempts.push(each.attempts);
    })();
    await pause(500);
    cluster.coordinator.kill('SIGSTOP');
    await pause(7_000);
    cluster.coordinator.kill('SIGCONT');
    await reading;
    expect(attempts).toEqual(new Array(2_000).fill(1));
  });

  test('takes its time to stop: what was confirmed is there when it starts again; one without election is refused its journal (S13)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const job = await on(tasks.mix, client).submit({ seed: 9, ms: 0 }, { keepResults: '1h' });
    expect(await job.result()).toBe(tasks.mixed(9));
    const second = cluster.run([
      'coordinator',
      '--listen',
      '127.0.0.1:0',
      '--journal',
      `file:${cluster.folder}/journal`,
      '--election',
      'none:',
    ]);
    expect((await second.ended).code).not.toBe(0);
    expect(second.stderr).toMatch(/error\[SH400\d\]/);
    cluster.coordinator.kill('SIGTERM');
    expect((await cluster.coordinator.ended).code).toBe(0);
    await cluster.startCoordinator();
    const { stdout } = await cluster.shoal('jobs', 'result', job.id);
    expect(JSON.parse(stdout)).toBe(tasks.mixed(9));
  });
});

async function readFileSafely(file: string): Promise<string> {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
