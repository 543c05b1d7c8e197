// @ts-check
/** One worker process of the BullMQ contender. */
import { Worker } from 'bullmq';
import { works } from '../works.mjs';

const [, , port, work = '', concurrency] = process.argv;
const run = works[work];
if (!run) throw new Error(`there is no work ${work}`);
const worker = new Worker(work, async (job) => run(job.data), {
  connection: { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null },
  concurrency: Number(concurrency),
});
await worker.waitUntilReady();
process.send?.('ready');
