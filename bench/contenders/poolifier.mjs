// @ts-check
/** https://github.com/poolifier/poolifier, version 5. */
import { fileURLToPath } from 'node:url';
import { FixedThreadPool } from 'poolifier';
import { lanes } from '../lanes.mjs';

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads, settings }) {
  const concurrency = Number(settings.concurrency ?? 1);
  const pool = new FixedThreadPool(threads, fileURLToPath(new URL('poolifier-worker.mjs', import.meta.url)), {
    workerOptions: { workerData: { work } },
    enableEvents: false,
    ...(concurrency > 0 && { enableTasksQueue: true, tasksQueueOptions: { concurrency } }),
  });
  await Promise.all(Array.from({ length: threads }, () => pool.execute(1)));
  return {
    map: (inputs) => lanes(inputs, Number(settings.inFlight ?? 4 * threads * (concurrency || 64)), (input) => pool.execute(input)),
    run: (input) => pool.execute(input),
    close: () => pool.destroy(),
  };
}
