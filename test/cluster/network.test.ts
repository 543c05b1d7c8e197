/** What networks do to a cluster: delays, cuts, silence, peers that do not read. Real processes, a real TCP proxy between them. */
import { readFileSync } from 'node:fs';
import type { Cluster, Task } from 'shoal';
import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { encodeMessage } from '../../src/wire/frame.ts';
import { openLink } from '../../src/wire/link.ts';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';
import { TcpProxy } from './proxy.ts';

let cluster: TestCluster;
const proxies: TcpProxy[] = [];
afterEach(async () => {
  await cluster?.close();
  for (const proxy of proxies.splice(0)) await proxy.close();
});

const seeds = (count: number, ms: number): { seed: number; ms: number }[] => Array.from({ length: count }, (_, seed) => ({ seed, ms }));
const answers = (count: number): number[] => Array.from({ length: count }, (_, seed) => tasks.mixed(seed));
const on = <I, O>(task: Task<I, O>, client: Cluster): Task<I, O> => task.on(client);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function proxied(): Promise<TcpProxy> {
  const proxy = await TcpProxy.to(cluster.port);
  proxies.push(proxy);
  return proxy;
}

function residentMiB(pid: number): number {
  return (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096) / 2 ** 20;
}

test('a slow network changes nothing but the time', async () => {
  cluster = await TestCluster.start({ workers: 0 });
  const proxy = await proxied();
  proxy.delay(50);
  cluster.addWorker({ address: proxy.address });
  await cluster.ready(1);
  const client = await cluster.connect(proxy.address);
  expect(await on(tasks.mix, client).map(seeds(2_000, 0.2)).toArray()).toEqual(answers(2_000));
});

test('lines of a worker and of a client that are cut again and again: every result, once, in order (A01, N13)', async () => {
  cluster = await TestCluster.start({ workers: 1 });
  const [workerProxy, clientProxy] = [await proxied(), await proxied()];
  cluster.addWorker({ address: workerProxy.address });
  await cluster.ready(2);
  const client = await cluster.connect(clientProxy.address);
  const results = on(tasks.mix, client).map(seeds(8_000, 0.5)).toArray();
  for (let cut = 0; cut < 6; cut++) {
    await pause(150 + Math.random() * 250);
    (cut % 2 === 0 ? workerProxy : clientProxy).cut();
  }
  expect(await results).toEqual(answers(8_000));
});

test('a worker whose line goes silent is given up, its tasks run elsewhere; back again it is of use (N06, N11, W12)', async () => {
  cluster = await TestCluster.start({ workers: 1, threads: 1 });
  const proxy = await proxied();
  cluster.addWorker({ address: proxy.address, threads: 1 });
  const client = await cluster.ready(2);
  const results = on(tasks.mix, client).map(seeds(600, 10)).toArray();
  await pause(500);
  proxy.silence();
  expect(await results).toEqual(answers(600));
  const { stdout } = await cluster.shoal('workers', 'list', '--all', '--json');
  const { workers } = JSON.parse(stdout) as { workers: { worker: string; status: string }[] };
  expect(workers.find(({ worker }) => worker === 'w2')!.status).not.toBe('live');
  proxy.silence(false);
  await client.waitForWorkers(2);
  expect(await on(tasks.mix, client).map(seeds(100, 5)).toArray()).toEqual(answers(100));
});

test('a client whose line goes silent in the middle of its inputs and results comes back by itself (N11, A01)', async () => {
  cluster = await TestCluster.start({ workers: 1 });
  const proxy = await proxied();
  await cluster.ready(1);
  const client = await cluster.connect(proxy.address);
  const results = on(tasks.mix, client).map(seeds(5_000, 0.2)).toArray();
  await pause(200);
  proxy.silence();
  await pause(1_000);
  proxy.silence(false);
  expect(await results).toEqual(answers(5_000));
});

test('a hundred megabytes to and from a worker do not make it look dead (N12)', async () => {
  cluster = await TestCluster.start({ workers: 1 });
  const client = await cluster.ready(1);
  const beats = on(tasks.mix, client).map(seeds(2_000, 1)).toArray();
  const large = on(tasks.big, client).map([30, 30, 30].map((mebibytes) => ({ bytes: mebibytes * 2 ** 20 })));
  const reading = (async () => {
    for await (const value of large) expect(value.length).toBe(30 * 2 ** 20);
  })();
  const [results] = await Promise.all([beats, reading]);
  expect(results).toEqual(answers(2_000));
  expect(cluster.coordinator.stderr).not.toMatch(/lost the line/);
});

test('a client that asks for everything and reads nothing holds a window of it, not all (N10)', async () => {
  cluster = await TestCluster.start({ workers: 1 });
  const client = await cluster.ready(1);
  const job = await on(tasks.big, client).map(
    Array.from({ length: 200 }, () => ({ bytes: 2 ** 20 })),
    { keepResults: '1h' },
  );
  await job.done();
  const before = residentMiB(cluster.coordinator.pid);
  const socket = new WebSocket(`${cluster.address.replace('http', 'ws')}/api/v1/stream`, {
    headers: { authorization: `Bearer ${cluster.token()}`, 'shoal-protocol': '1' },
  });
  await new Promise((resolve) => socket.once('open', resolve));
  const link = openLink(socket, { messageBytesMax: 2 ** 28, onMessage: () => undefined, onClose: () => undefined });
  link.pause();
  for (let reader = 1; reader <= 4; reader++) {
    link.send(encodeMessage({ kind: 'read', reader, job: job.id, order: 'input', credit: 1_000_000, inputs: false }));
  }
  let most = 0;
  for (let look = 0; look < 20; look++) {
    await pause(100);
    most = Math.max(most, residentMiB(cluster.coordinator.pid) - before);
  }
  // 800 MiB were asked for; four windows and what the journal's reader holds are there.
  expect(most).toBeLessThan(350);
  expect(await on(tasks.mix, client).run({ seed: 1, ms: 0 })).toBe(tasks.mixed(1));
  socket.terminate();
});
