// @ts-check
/**
 * https://docs.bullmq.io, version 6, on a Redis of its own that keeps nothing on disk, or on the one at `redisPort`: two worker processes, jobs added in
 * bulk, results gathered from its event stream.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Queue, QueueEvents } from 'bullmq';
import { startRedis } from '../clusters.mjs';

const chunk = 1_000;

/** @type {import('../contender.mjs').Open} */
export async function open({ work, threads, settings }) {
  const redis = settings.redisPort ? { port: Number(settings.redisPort), stop: async () => {} } : await startRedis();
  if (!redis) throw new Error('no redis-server to start: apt-get install redis-server');
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null };
  const workers = Array.from({ length: threads }, () =>
    fork(fileURLToPath(new URL('./bullmq-worker.mjs', import.meta.url)), [String(redis.port), work, String(settings.concurrency ?? 100)]),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  // By default it drops the oldest of 10 000 events, and with them results of which nobody has heard yet.
  const queue = new Queue(work, { connection, streams: { events: { maxLen: 1_000_000 } } });
  const events = new QueueEvents(work, { connection });
  await events.waitUntilReady();
  /** @type {Map<string, (value: unknown) => void>} */
  const waiting = new Map();
  events.on('completed', ({ jobId, returnvalue }) => {
    waiting.get(jobId)?.(returnvalue);
    waiting.delete(jobId);
  });
  let nextId = 0;
  const jobOptions = { removeOnComplete: true, removeOnFail: true };
  /** @param {number[]} inputs */
  const submit = async (inputs) => {
    const jobs = inputs.map((input) => ({ name: 'task', data: input, opts: { ...jobOptions, jobId: `j${nextId++}` } }));
    const results = jobs.map(({ opts }) => new Promise((resolve) => waiting.set(opts.jobId, resolve)));
    await queue.addBulk(jobs);
    return results;
  };
  return {
    async map(inputs) {
      /** @type {Promise<unknown>[]} */
      const results = [];
      for (let from = 0; from < inputs.length; from += chunk) results.push(...(await submit(inputs.slice(from, from + chunk))));
      return Promise.all(results);
    },
    run: async (input) => (await submit([input]))[0],
    async close() {
      await events.close();
      await queue.close();
      for (const worker of workers) worker.kill('SIGKILL');
      await redis.stop();
    },
  };
}
