/** A coordinator and a worker within programs of one's own, over a broker; the other end of each is a process like any other. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, startCoordinator, startWorker } from 'shoal';
import { expect, test } from 'vitest';
import { tasks } from '../../bench/tasks.mjs';
import { withServer } from '../real-servers.ts';

withServer('redis', 'startCoordinator and startWorker', (redis) => {
  test('meet at the broker that both are given, and only with the same secret', async () => {
    const { url } = await redis.start();
    const folder = mkdtempSync(join(tmpdir(), 'shoal-in-process-'));
    process.env.SHOAL_HOME = join(folder, 'home');
    const place = { broker: url, cluster: 'in-process', clusterSecret: 'a secret of this cluster' };
    let isRefused: () => void = () => undefined;
    const refusal = new Promise<void>((resolve) => {
      isRefused = resolve;
    });
    const coordinator = await startCoordinator({
      ...place,
      listen: '127.0.0.1:0',
      journal: 'memory:',
      onLog: (line) => {
        if (/refused a message to hello/.test(line)) isRefused();
      },
    });
    const [noop] = [tasks.noop!];
    const stranger = await startWorker({ ...place, clusterSecret: 'a secret of another', tasks: [noop], threads: 1, name: 'stranger' });
    await refusal;
    const client = await connect(coordinator.address);
    const worker = await startWorker({ ...place, tasks: [noop], threads: 1, name: 'w1' });
    await client.waitForWorkers(1);
    expect(await noop.on(client).map([1, 2, 3]).toArray()).toEqual([1, 2, 3]);
    await client.close();
    await worker.stop();
    await stranger.stop();
    await coordinator.stop();
    rmSync(folder, { recursive: true });
  });
});
