/** Many tasks, many workers at once. */
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { dialWsBroker } from '../../src/brokers/ws/client.ts';
import { Secret } from '../../src/lib/secret.ts';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';

let cluster: TestCluster;
afterEach(() => cluster?.close());

function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096;
}

test('a job of a million tasks: every result, and at most 200 bytes a task in the coordinator (L01, S14)', async () => {
  cluster = await TestCluster.start({ workers: 2, threads: 1 });
  const client = await cluster.ready(2);
  const echo = tasks.echo.on(client);
  await echo.map([1, 2, 3]).toArray();
  const before = residentBytes(cluster.coordinator.pid);
  const count = 1_000_000;
  function* numbers(): Generator<number> {
    for (let i = 0; i < count; i++) yield i;
  }
  const job = echo.map(numbers(), { keepResults: '1h', idempotencyKey: 'million' });
  let next = 0;
  for await (const value of job) if (value !== next++) throw new Error(`${value} where ${next - 1} was expected`);
  expect(next).toBe(count);
  expect((residentBytes(cluster.coordinator.pid) - before) / count).toBeLessThan(200);
  // Killed and started again it knows them all.
  cluster.coordinator.kill('SIGKILL');
  await cluster.coordinator.ended;
  await cluster.startCoordinator();
  const found = await client.job<number[]>(job.id);
  expect(await found.state()).toBe('succeeded');
  expect((await found.result()).length).toBe(count);
});

test('five hundred workers that are cut off together are all back, and the coordinator serves others meanwhile (N13)', async () => {
  cluster = await TestCluster.start({ workers: 1 });
  const client = await cluster.ready(1);
  const token = new Secret(cluster.token('worker'));
  const brokers = await Promise.all(
    Array.from({ length: 500 }, () => dialWsBroker({ address: cluster.address, token: () => token, patient: true })),
  );
  try {
    const allUp = (): Promise<unknown> =>
      Promise.all(
        brokers.map((broker, index) => {
          if (broker.state === 'up') return undefined;
          return new Promise<void>((resolve) => broker.onState((state) => state === 'up' && resolve(void index)));
        }),
      );
    await allUp();
    await Promise.all(brokers.map((broker, index) => broker.listen(`worker.storm${index}.i1`, () => undefined)));
    const down = Promise.all(
      brokers.map((broker) => new Promise<void>((resolve) => broker.onState((state) => state === 'down' && resolve()))),
    );
    cluster.coordinator.kill('SIGKILL');
    await down;
    await cluster.startCoordinator();
    expect(await tasks.mix.on(client).run({ seed: 1, ms: 0 })).toBe(tasks.mixed(1));
    await allUp();
    expect(brokers.every(({ state }) => state === 'up')).toBe(true);
  } finally {
    await Promise.all(brokers.map((broker) => broker.close()));
  }
});
