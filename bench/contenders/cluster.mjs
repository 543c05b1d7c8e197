// @ts-check
/** Shoal as a cluster: one coordinator, two worker processes of one thread each, over WebSocket or a message system. */
import { BenchCluster } from '../clusters.mjs';
import { tasks } from '../tasks.mjs';

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads, settings }) {
  const journal = settings.journal === 'memory' ? 'memory' : 'file';
  const broker = String(settings.broker ?? 'ws:');
  const cluster = await BenchCluster.start({ journal, workers: threads, tasks: new URL('../tasks.mjs', import.meta.url), broker });
  const client = await cluster.connect();
  const task = /** @type {import('shoal').Task<number, number>} */ (tasks[work]).on(client);
  await task.map(Array.from({ length: threads }, () => 1)).toArray();
  return {
    map: (inputs) => task.map(inputs).toArray(),
    run: (input) => task.run(input),
    async close() {
      await client.close();
      await cluster.close();
    },
  };
}
