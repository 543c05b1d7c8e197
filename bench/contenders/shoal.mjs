// @ts-check
import { connect } from 'shoal';
import { tasks } from '../tasks.mjs';

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads }) {
  const cluster = await connect(`local:${threads}`);
  const task = /** @type {import('shoal').Task<number, number>} */ (tasks[work]).on(cluster);
  await task.map(Array.from({ length: threads }, () => 1)).toArray();
  return {
    map: (inputs) => task.map(inputs).toArray(),
    run: (input) => task.run(input),
    close: () => cluster.close(),
  };
}
