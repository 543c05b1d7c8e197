/** Three coordinators on one host, `file:` journal and `file:` election: real processes, killed, stopped and paused. */
import type { Cluster, Task } from 'shoal';
import { afterEach, expect, test } from 'vitest';
import * as tasks from '../cluster/fixtures/tasks.ts';
import { TestCluster } from '../cluster/harness.ts';

class Signal {
  give: () => void = () => undefined;
  readonly isGiven = new Promise<void>((resolve) => (this.give = resolve));
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let cluster: TestCluster;
afterEach(() => cluster?.close());

const seeds = (count: number, ms: number): { seed: number; ms: number }[] => Array.from({ length: count }, (_, seed) => ({ seed, ms }));
const answers = (count: number): number[] => Array.from({ length: count }, (_, seed) => tasks.mixed(seed));
const on = <I, O>(task: Task<I, O>, client: Cluster): Task<I, O> => task.on(client);

test('ten leaders killed under a job of 50 000 tasks: the answer is exact (C01, C03, C04)', async () => {
  cluster = await TestCluster.start({ coordinators: 3, workers: 2 });
  const client = await cluster.ready(2);
  const [count, changes] = [50_000, 10];
  const kills = Array.from({ length: changes }, () => new Signal());
  /** A part of them before each kill, so that each strikes a job at work. */
  async function* inputs() {
    const all = seeds(count, 0.05);
    for (let at = 0; at < count; at++) {
      const part = Math.floor((at * (changes + 1)) / count);
      if (part > 0) await kills[part - 1]!.isGiven;
      yield all[at]!;
    }
  }
  const results = on(tasks.mix, client).map(inputs()).toArray();
  for (const kill of kills) {
    const leader = await cluster.nextLeader();
    await pause(Math.random() * 400);
    cluster.coordinators[leader]!.kill('SIGKILL');
    kill.give();
    await cluster.coordinators[leader]!.ended;
    await cluster.nextLeader(leader);
    await cluster.startCoordinator(leader);
  }
  expect(await results).toEqual(answers(count));
});
