/** A cluster in which there is something of everything to look at, for the tests of the operators' commands. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cluster } from 'shoal';
import { TestCluster } from '../cluster/harness.ts';
import * as tasks from './fixtures/tasks.ts';

const tasksFile = fileURLToPath(new URL('./fixtures/tasks.ts', import.meta.url));

export interface Setting {
  cluster: TestCluster;
  client: Cluster;
  /** Opens the gates, for which the job `open` waits. */
  gate: string;
}

/** Keys of its jobs: `done`, `tolerated`, `day/2024/11` (failed), `open` (running), `odd`, `json`, `sum`. */
export async function startSetting(): Promise<Setting> {
  const cluster = await TestCluster.start({ workers: 0 });
  try {
    cluster.addWorker({ name: 'w1', args: ['--tasks', tasksFile, '--label', 'zone=a'] });
    const client = await cluster.ready(1);
    const gate = join(cluster.folder, 'gate');
    const keyed = (idempotencyKey: string): { idempotencyKey: string } => ({ idempotencyKey });
    const ended = [
      tasks.double.on(client).with(keyed('done')).map([1, 2, 3]).result(),
      tasks.picky.on(client).with(keyed('tolerated')).map([1, 2, 3], { maxFailures: 1 }).result(),
      tasks.picky.on(client).with(keyed('day/2024/11')).map([1, 2, 3]).result(),
      tasks.odd.on(client).with(keyed('odd')).map([0, 1, 2, 3, 4, 5, 6, 7]).result(),
      tasks.inJson.on(client).with(keyed('json')).map([7, 100_000]).result(),
      tasks.double.on(client).with(keyed('sum')).map([1, 2, 3]).reduce(tasks.sum),
    ];
    await Promise.allSettled(ended);
    const open = tasks.gate
      .on(client)
      .with(keyed('open'))
      .map([{ file: gate }]);
    while ((await open.state()) !== 'running');
    return { cluster, client, gate };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

export function openGate({ gate }: Pick<Setting, 'gate'>): void {
  writeFileSync(gate, '');
}
