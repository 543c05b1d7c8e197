/** Three coordinators on one host, `file:` journal and `file:` election: real processes, killed, stopped and paused. */
import { afterEach, expect, test, vi } from 'vitest';
import { TestCluster } from '../cluster/harness.ts';
import { clocksApart, restartedInTurn } from './faults.ts';
import { load } from './load.ts';

// A dozen processes: on a busy machine each start takes seconds.
vi.setConfig({ testTimeout: 180_000 });

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let cluster: TestCluster;
afterEach(() => cluster?.close());

test('ten leaders killed under a job of 50 000 tasks: the answer is exact (C01, C03, C04)', async () => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 2 });
  const { next, results, expected } = load(await cluster.ready(2), { count: 50_000, blows: 10 });
  for (let kill = 0; kill < 10; kill++) {
    const leader = await cluster.nextLeader();
    await pause(Math.random() * 400);
    cluster.coordinators[leader]!.kill('SIGKILL');
    next();
    await cluster.coordinators[leader]!.ended;
    await cluster.nextLeader(leader);
    await cluster.startCoordinator(leader);
  }
  expect(await results).toEqual(expected);
});

test('a leader that stood still is followed; when it goes on, with work in its hands, it says nothing with effect (C04, C07, K05)', async () => {
  cluster = await TestCluster.start({ coordinators: 2, workers: 2 });
  const { next, results, expected } = load(await cluster.ready(2), { count: 6_000, blows: 2 });
  for (let blow = 0; blow < 2; blow++) {
    const leader = await cluster.nextLeader();
    await pause(Math.random() * 200);
    cluster.coordinators[leader]!.kill('SIGSTOP');
    next();
    await cluster.nextLeader(leader);
    cluster.coordinators[leader]!.kill('SIGCONT');
    await cluster.coordinators[leader]!.said(/it leads no more: /);
  }
  expect(await results).toEqual(expected);
});

test(restartedInTurn.title, async (context) => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 2 });
  await restartedInTurn.run({ cluster }, context);
});

test(clocksApart.title, async (context) => {
  cluster = await TestCluster.start({ coordinators: 1, workers: 2 });
  await clocksApart.run({ cluster }, context);
});
