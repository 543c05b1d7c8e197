/** Moving to another broker is a restart with another URL, in the middle of a job as well: docs/how-to/brokers.md. */
import { afterEach, expect, test } from 'vitest';
import * as tasks from '../cluster/fixtures/tasks.ts';
import { TestCluster } from '../cluster/harness.ts';
import { type Started, withServer } from '../real-servers.ts';

let cluster: TestCluster | undefined;
afterEach(() => cluster?.close());

withServer('redis', 'from ws: to Redis', (redis) => {
  withServer('nats', 'then to NATS', (nats) => {
    test('and back, under one job: each result once', { timeout: 120_000 }, async () => {
      const [first, second]: [Started<'redis'>, Started<'nats'>] = await Promise.all([redis.start(), nats.start()]);
      const urls = [first.url, second.url, 'ws:'];
      const here = await TestCluster.start({ workers: 2 });
      cluster = here;
      const client = await here.ready(2);
      const count = 800;
      const values: number[] = [];
      const inputs = Array.from({ length: count }, (_, value) => ({ ms: 5, value }));
      for await (const value of tasks.wait.on(client).map(inputs, { order: 'completion' })) {
        values.push(value as number);
        if (values.length % (count / 4) !== 0 || urls.length === 0) continue;
        const broker = urls.shift()!;
        for (const worker of here.workers.splice(0)) worker.kill('SIGTERM');
        here.coordinator.kill('SIGTERM');
        await here.coordinator.ended;
        await here.startCoordinator(0, { SHOAL_BROKER: broker });
        for (let i = 0; i < 2; i++) here.addWorker({ args: ['--broker', broker] });
      }
      expect(urls).toEqual([]);
      expect(values.sort((a, b) => a - b)).toEqual(inputs.map(({ value }) => value));
    });
  });
});
