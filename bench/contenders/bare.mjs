// @ts-check
/**
 * The floor: two worker_threads that take arrays of inputs and answer with arrays of results. No queue, no errors, no
 * types, nothing kept: what is left when everything that a pool is good for is taken away.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { works } from '../works.mjs';

/** Batches on their way to a thread, so that it never waits for the next one. */
const window = 2;

if (!isMainThread) {
  const work = /** @type {(input: number) => number} */ (works[workerData.work]);
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
  port.on('message', ({ from, inputs }) => port.postMessage({ from, results: inputs.map(work) }));
  port.postMessage('ready');
}

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads, settings }) {
  const batch = Number(settings.batch ?? 1);
  const workers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url), { workerData: { work } }));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  return {
    map: (inputs) =>
      new Promise((resolve) => {
        const results = new Array(inputs.length);
        let next = 0;
        let missing = inputs.length;
        /** @param {Worker} worker */
        const feed = (worker) => {
          if (next >= inputs.length) return;
          worker.postMessage({ from: next, inputs: inputs.slice(next, next + batch) });
          next += batch;
        };
        for (const worker of workers) {
          worker.removeAllListeners('message');
          worker.on('message', ({ from, results: part }) => {
            feed(worker);
            for (let index = 0; index < part.length; index++) results[from + index] = part[index];
            missing -= part.length;
            if (missing === 0) resolve(results);
          });
        }
        for (let ahead = 0; ahead < window; ahead++) workers.forEach(feed);
      }),
    run: async (input) => {
      const worker = /** @type {Worker} */ (workers[0]);
      worker.removeAllListeners('message');
      const answer = new Promise((resolve) => worker.once('message', ({ results }) => resolve(results[0])));
      worker.postMessage({ from: 0, inputs: [input] });
      return answer;
    },
    close: async () => {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}
