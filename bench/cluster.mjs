// @ts-check
/** A coordinator and workers as processes: rates and round trips beside BullMQ, a job of a million tasks, and recovery. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchCluster, end } from './clusters.mjs';
import { interleave, median, medianOf, ratioOf, runTrial } from './rounds.mjs';
import { tasks } from './tasks.mjs';

/** @typedef {import('./bench.mjs').Outcome} Outcome */

/** BullMQ would need a minute for as many. */
const bullmqShare = 10;

/** @returns {Promise<Outcome>} */
export async function cluster({ rounds = 3, count = 500_000 } = {}) {
  /** @param {string} contender @param {number} tasksCount @param {import('./contender.mjs').Settings} [settings] */
  const trial =
    (contender, tasksCount, settings = {}) =>
    () =>
      runTrial({ contender, mode: 'map', work: 'noop', count: tasksCount, settings });
  const seen = await interleave(
    {
      'shoal, file journal': trial('cluster', count),
      'shoal, in memory': trial('cluster', count, { journal: 'memory' }),
      'bullmq on redis': trial('bullmq', count / bullmqShare),
    },
    rounds,
  );
  const bullmq = seen['bullmq on redis'];
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      'tasks/s': Math.round(medianOf(all, 'rate')),
      '÷ bullmq': Number(ratioOf(all, bullmq, 'rate').toFixed(1)),
    })),
    claims: [
      {
        claim: 'times the rate of BullMQ, with a durable journal',
        value: ratioOf(seen['shoal, file journal'], bullmq, 'rate'),
        atLeast: 15,
      },
      { claim: 'tasks a second, with a durable journal', value: medianOf(seen['shoal, file journal'], 'rate'), atLeast: 150_000 },
    ],
    notes: { count, workers: 2 },
  };
}

/** @returns {Promise<Outcome>} */
export async function roundtrip({ rounds = 3, count = 20_000 } = {}) {
  /** @param {string} contender @param {import('./contender.mjs').Settings} [settings] */
  const trial =
    (contender, settings = {}) =>
    () =>
      runTrial({ contender, mode: 'run', work: 'noop', count, settings });
  const seen = await interleave(
    {
      'shoal, in memory': trial('cluster', { journal: 'memory' }),
      'shoal, file journal': trial('cluster'),
      'bullmq on redis': trial('bullmq', { concurrency: 1 }),
      'write and fdatasync': syncTimes,
    },
    rounds,
  );
  const [memory, file] = [medianOf(seen['shoal, in memory'], 'p50Ms'), medianOf(seen['shoal, file journal'], 'p50Ms')];
  const disk = medianOf(seen['write and fdatasync'], 'p50Ms');
  return {
    rows: Object.entries(seen).map(([name, all]) => ({
      contender: name,
      'p50 ms': Number(medianOf(all, 'p50Ms').toFixed(3)),
      'p99 ms': Number(medianOf(all, 'p99Ms').toFixed(3)),
    })),
    claims: [
      { claim: 'ms p50 of a round trip, not durable', value: memory, atMost: 0.5 },
      { claim: "of the disk's fdatasync above that, durable", value: (file - memory) / disk, atMost: 2 },
    ],
    notes: { count },
  };
}

/** What the disk asks for one commit: asked about as often as round trips ask, because disks that rest in between answer later. */
async function syncTimes() {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-bench-'));
  const file = openSync(join(folder, 'file'), 'w');
  const times = [];
  for (let i = 0; i < 1_000; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const started = performance.now();
    writeSync(file, 'x'.repeat(512));
    fdatasyncSync(file);
    times.push(performance.now() - started);
  }
  closeSync(file);
  rmSync(folder, { recursive: true });
  const p99Ms = times.sort((a, b) => a - b)[Math.floor(0.99 * times.length)] ?? Number.NaN;
  return { p50Ms: median(times), p99Ms };
}

/** @returns {Promise<Outcome>} */
export async function million({ rounds = 1, count = 1_000_000 } = {}) {
  const [noop] = [tasks.noop];
  if (!noop) throw new Error('no task');
  const seen = await interleave(
    {
      'a million tasks': async () => {
        const own = await BenchCluster.start({
          journal: 'file',
          workers: 2,
          tasks: new URL('./tasks.mjs', import.meta.url),
          watchLag: true,
        });
        const client = await own.connect();
        await noop.on(client).map([1, 2, 3]).toArray();
        const before = residentBytes(own);
        const started = performance.now();
        const results = await noop.on(client).map(range(count)).toArray();
        const seconds = (performance.now() - started) / 1000;
        if (results.length !== count || results.at(-1) !== count - 1) throw new Error('wrong results');
        await client.close();
        await Promise.all(own.workers.map((worker) => end(worker)));
        await end(own.coordinator);
        const { maxMs, rssBytes } = own.lag();
        await own.close();
        return { seconds, maxMs, bytesPerTask: (rssBytes - before) / count };
      },
    },
    rounds,
  );
  const all = seen['a million tasks'] ?? [];
  return {
    rows: all.map(({ seconds = 0, maxMs = 0, bytesPerTask = 0 }) => ({
      seconds: Number(seconds.toFixed(2)),
      'bytes a task': Math.round(bytesPerTask),
      'longest block ms': Math.round(maxMs),
    })),
    claims: [
      { claim: 'bytes a task in the coordinator, at its peak', value: medianOf(all, 'bytesPerTask'), atMost: 200 },
      { claim: 'ms that its event loop was blocked at most', value: medianOf(all, 'maxMs'), atMost: 50 },
    ],
    notes: { count },
  };
}

/** @param {BenchCluster} own */
function residentBytes(own) {
  const pid = own.coordinator?.pid;
  return pid === undefined ? 0 : Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096;
}

/** @param {number} count */
function* range(count) {
  for (let i = 0; i < count; i++) yield i;
}

/** @returns {Promise<Outcome>} */
export async function recovery({ rounds = 3 } = {}) {
  const { wait } = tasks;
  if (!wait) throw new Error('no task');
  const seen = await interleave(
    {
      'worker killed': async () => {
        const own = await BenchCluster.start({ journal: 'file', workers: 2, threads: 2, tasks: new URL('./tasks.mjs', import.meta.url) });
        const client = await own.connect();
        const busy = Promise.all([
          wait.on(client).run(1_000),
          wait.on(client).run(1_000),
          wait.on(client).run(1_000),
          wait.on(client).run(1_000),
        ]);
        await new Promise((resolve) => setTimeout(resolve, 500));
        own.workers[0]?.kill('SIGKILL');
        const killed = performance.now();
        await busy;
        const seconds = (performance.now() - killed) / 1000;
        await client.close();
        await own.close();
        return { seconds };
      },
      'coordinator killed': async () => {
        const own = await BenchCluster.start({ journal: 'file', workers: 2, tasks: new URL('./tasks.mjs', import.meta.url) });
        const client = await own.connect();
        let lastMs = 0;
        let gapMs = 0;
        let killedMs = Number.POSITIVE_INFINITY;
        const reading = (async () => {
          for await (const _ of wait.on(client).map(
            Array.from({ length: 600 }, () => 10),
            { order: 'completion' },
          )) {
            const nowMs = performance.now();
            if (lastMs > 0 && nowMs > killedMs) gapMs = Math.max(gapMs, nowMs - Math.max(lastMs, killedMs));
            lastMs = nowMs;
          }
        })();
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await end(own.coordinator, 'SIGKILL');
        killedMs = performance.now();
        await own.startCoordinator();
        await reading;
        await client.close();
        await own.close();
        return { seconds: gapMs / 1000 };
      },
    },
    rounds,
  );
  return {
    rows: Object.entries(seen).map(([what, all]) => ({ what, 'seconds until results': Number(medianOf(all, 'seconds').toFixed(2)) })),
    claims: [
      {
        claim: 's from kill -9 of a worker to the results of its two tasks of 1 s',
        value: medianOf(seen['worker killed'], 'seconds'),
        atMost: 2.5,
      },
      {
        claim: 's from kill -9 of the coordinator, started again at once, to the next result',
        value: medianOf(seen['coordinator killed'], 'seconds'),
        atMost: 2,
      },
    ],
    notes: {},
  };
}
