/** Workers that are killed, stopped, drained and eaten up from within, as real processes. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Cluster, startCoordinator, type Task } from 'shoal';
import { afterEach, describe, expect, test } from 'vitest';
import * as tasks from './fixtures/tasks.ts';
import { freePort, type Running, TestCluster, tasksFile } from './harness.ts';

let cluster: TestCluster;
afterEach(() => cluster?.close());

const seeds = (count: number, ms: number): { seed: number; ms: number }[] => Array.from({ length: count }, (_, seed) => ({ seed, ms }));
const answers = (count: number): number[] => Array.from({ length: count }, (_, seed) => tasks.mixed(seed));
const on = <I, O>(task: Task<I, O>, client: Cluster): Task<I, O> => task.on(client);

/** Waits for a file that a task writes when it runs. */
async function written(file: string): Promise<string> {
  while (!existsSync(file) || readFileSync(file, 'utf8') === '') await new Promise((resolve) => setTimeout(resolve, 10));
  return readFileSync(file, 'utf8');
}

async function workerState(name: string): Promise<{ status: string; why?: string; cpu?: number; pid?: number }> {
  const { stdout } = await cluster.shoal('workers', 'get', name, '--json');
  return JSON.parse(stdout) as { status: string; why?: string; cpu?: number; pid?: number };
}

describe('kill -9', () => {
  test.each(['its process', 'its supervisor'])('of %s in the middle of a task: it runs elsewhere, uncharged (W01)', async (which) => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const [worker] = cluster.workers as [Running];
    const file = join(cluster.folder, 'runs');
    const result = on(tasks.announce, client).run({ file, ms: 500 });
    await written(file);
    cluster.addWorker();
    await client.waitForWorkers(2);
    process.kill(which === 'its process' ? cluster.childOf(worker) : worker.pid, 'SIGKILL');
    expect(await result).toBe(1);
  });

  test('over and over while 20 000 tasks run: every result is there, none twice (W01, W16)', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const client = await cluster.ready(2);
    const count = 20_000;
    const results = on(tasks.mix, client).map(seeds(count, 0.3)).toArray();
    for (let kill = 0; kill < 4; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 400));
      const worker = cluster.workers[kill % 2]!;
      if (kill % 2 === 0) process.kill(await cluster.startedChildOf(worker), 'SIGKILL');
      else {
        worker.kill('SIGKILL');
        cluster.workers[1] = cluster.addWorker();
        cluster.workers.pop();
      }
    }
    expect(await results).toEqual(answers(count));
  });

  test('is told apart from running out of memory, with the facts (W05)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const file = join(cluster.folder, 'runs');
    const running = on(tasks.announce, client).with({ crashLimit: 0 }).run({ file, ms: 60_000 });
    running.catch(() => undefined);
    await written(file);
    process.kill(cluster.childOf(cluster.workers[0]!), 'SIGKILL');
    await expect(running).rejects.toThrow(
      /killed from outside by SIGKILL; memory last \d+ MiB of \d+ MiB; it held 1 task: test\.announce\[0\]/,
    );
  });

  test('of ten workers at once: the rest does it all', async () => {
    cluster = await TestCluster.start({ workers: 11, threads: 1 });
    const client = await cluster.ready(11);
    const results = on(tasks.mix, client).map(seeds(3_000, 2)).toArray();
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const worker of cluster.workers.slice(1)) worker.kill('SIGKILL');
    expect(await results).toEqual(answers(3_000));
  });
});

describe('a stopped worker', () => {
  test('longer than its lease: others do its tasks; when it goes on, what it has is refused, and it is of use again (W02, W12)', async () => {
    cluster = await TestCluster.start({ workers: 2, threads: 1 });
    const client = await cluster.ready(2);
    const results = on(tasks.mix, client).map(seeds(400, 10)).toArray();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const stopped = cluster.childOf(cluster.workers[0]!);
    process.kill(stopped, 'SIGSTOP');
    const all = await results;
    expect(all).toEqual(answers(400));
    process.kill(stopped, 'SIGCONT');
    cluster.workers[1]!.kill('SIGKILL');
    expect(await on(tasks.mix, client).map(seeds(50, 1)).toArray()).toEqual(answers(50));
  });
});

describe('a task that', () => {
  test('spins for three leases keeps its worker: one attempt, no doubt (W03)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    expect(await on(tasks.spin, client).run({ ms: 16_000 })).toBe('done');
    expect(cluster.coordinator.stderr).not.toMatch(/lost the line/);
    expect((await workerState('w1')).status).toBe('live');
  });

  test('kills its process every time is buried after crashLimit; its neighbours are not charged (W04)', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const client = await cluster.ready(2);
    const job = on(tasks.kamikaze, client).map([0, 1, 2, 13, 4, 5], { maxFailures: 1 });
    const settled: string[] = [];
    for await (const each of job.settled())
      settled.push(`${each.index} ${each.status} ${each.status === 'rejected' ? each.reason.code : each.attempts}`);
    expect(settled).toEqual(['0 fulfilled 1', '1 fulfilled 1', '2 fulfilled 1', '3 rejected SH2003', '4 fulfilled 1', '5 fulfilled 1']);
    const { stdout } = await cluster.shoal('dlq', 'list', '--json');
    const { letters } = JSON.parse(stdout) as { letters: { index: number; history: unknown[] }[] };
    expect(letters.map(({ index }) => index)).toEqual([3]);
    expect(letters[0]!.history.length).toBeGreaterThan(3);
  });

  test('is ended in its child process frees the slot and is charged; the worker stays (W05)', async () => {
    cluster = await TestCluster.start({ workers: 1, worker: { args: ['--isolation', 'process'] } });
    const client = await cluster.ready(1);
    const file = join(cluster.folder, 'runs');
    const running = on(tasks.announce, client).run({ file, ms: 300 });
    const [pid] = (await written(file)).split(' ');
    process.kill(Number(pid), 'SIGKILL');
    expect(await running).toBe(2);
    expect((await workerState('w1')).status).toBe('live');
  });

  test('eats its heap fails as out of memory, the others go on (W06)', async () => {
    cluster = await TestCluster.start({ workers: 1, worker: { args: ['--heap', '64MiB'] } });
    const client = await cluster.ready(1);
    const eating = on(tasks.eatHeap, client).with({ crashLimit: 0 }).run();
    await expect(eating).rejects.toMatchObject({ code: 'SH2003', message: expect.stringMatching(/heap limit of 64 MiB/) });
    expect(await on(tasks.mix, client).run({ seed: 7, ms: 0 })).toBe(tasks.mixed(7));
  });

  test('eats memory outside of its heap is found, alone, and buried; the worker is back, its neighbour unharmed (W06)', async () => {
    cluster = await TestCluster.start({ workers: 1, worker: { args: ['--memory-limit', '700MiB'] } });
    const client = await cluster.ready(1);
    const neighbour = on(tasks.wait, client).run({ ms: 2_000, value: 42 });
    const eating = on(tasks.eatBuffers, client).with({ crashLimit: 0 }).run({ mebibytes: 2_000 });
    await expect(eating).rejects.toMatchObject({
      code: 'SH2003',
      message: expect.stringMatching(/memory|the worker used \d+ MiB of 700 MiB/),
    });
    expect(await neighbour).toBe(42);
  });

  test('never returns is ended by its timeout, spinning or deaf, and the slot is back (W07, W08)', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1, worker: { args: ['--cancel-grace', '200ms'] } });
    const client = await cluster.ready(1);
    await expect(on(tasks.spin, client).with({ timeout: 300 }).run({ ms: 1e9 })).rejects.toMatchObject({ code: 'SH2002' });
    await expect(on(tasks.deaf, client).with({ timeout: 300 }).run({ ms: 1e9 })).rejects.toMatchObject({ code: 'SH2002' });
    expect(await on(tasks.mix, client).run({ seed: 7, ms: 0 })).toBe(tasks.mixed(7));
  });

  test('is cancelled beside others in its thread: the others give their results (W09)', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1, worker: { args: ['--cancel-grace', '200ms'] } });
    const client = await cluster.ready(1);
    const deaf = await on(tasks.lanes, client).submit({ ms: 1e9, value: 0, isDeaf: true });
    const neighbours = on(tasks.lanes, client).map(Array.from({ length: 6 }, (_, value) => ({ ms: 600, value, isDeaf: false })));
    for await (const { running } of deaf.progress({ every: 20 })) if (running > 0) break;
    await deaf.cancel();
    expect(await neighbours.toArray()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('prints 100 MB keeps its worker’s beats on time and gives its result; what is kept is bounded (W13)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const job = await on(tasks.shout, client).submit({ bytes: 100 * 1024 * 1024 });
    expect(await job.result()).toBe('said');
    let characters = 0;
    for await (const { message } of job.logs()) characters += message.length;
    expect(characters).toBeGreaterThan(1_000);
    expect(characters).toBeLessThan(4 * 1024 * 1024);
    expect((await workerState('w1')).status).toBe('live');
  });

  test('exits its process with 0 has not succeeded (W14)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    await expect(on(tasks.exit, client).with({ crashLimit: 0 }).run({ code: 0 })).rejects.toMatchObject({ code: 'SH2003' });
  });

  test('leaves a rejection behind is not blamed on the next (W15)', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1 });
    const client = await cluster.ready(1);
    expect(await on(tasks.stray, client).run({ isStray: true })).toBe('settled');
    const next = on(tasks.wait, client).map(Array.from({ length: 20 }, (_, value) => ({ ms: 5, value })));
    const attempts: number[] = [];
    for await (const each of next.settled()) if (each.status === 'fulfilled') attempts.push(each.attempts);
    expect(attempts).toEqual(new Array(20).fill(1));
  });
});

describe('SIGTERM', () => {
  test('drains: what runs is finished, the rest goes to others, nothing is charged, exit code 0 (W10)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    const job = on(tasks.mix, client).map(seeds(60, 50));
    const taken: number[] = [];
    const reading = (async () => {
      for await (const each of job.settled()) if (each.status === 'fulfilled') taken.push(each.attempts);
    })();
    while (taken.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    const [worker] = cluster.workers as [Running];
    worker.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
    cluster.addWorker();
    await reading;
    expect(taken).toEqual(new Array(60).fill(1));
  });

  test('with a long task: after the drain timeout it is aborted and handed back, uncharged (W10)', async () => {
    cluster = await TestCluster.start({ workers: 1, worker: { args: ['--drain-timeout', '300ms', '--cancel-grace', '100ms'] } });
    const client = await cluster.ready(1);
    const file = join(cluster.folder, 'runs');
    const running = on(tasks.announce, client).run({ file, ms: 2_500 });
    await written(file);
    const [worker] = cluster.workers as [Running];
    worker.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
    cluster.addWorker();
    expect(await running).toBe(1);
  });

  test('of worker and coordinator at the same moment, as Ctrl-C does it: nobody waits for what is stored already (W10)', async () => {
    cluster = await TestCluster.start({ workers: 1 });
    const client = await cluster.ready(1);
    expect(await on(tasks.mix, client).map(seeds(20, 1)).toArray()).toHaveLength(20);
    const [worker] = cluster.workers as [Running];
    const both = [worker, cluster.coordinator];
    for (const process of both) process.kill('SIGTERM');
    for (const process of both) expect((await process.ended).code).toBe(0);
    expect(worker.stderr).not.toContain('the drain timeout is over');
  });
});

describe('a worker', () => {
  test('that starts again under the same name is another incarnation: what the old one had runs at once (W11)', async () => {
    cluster = await TestCluster.start({ workers: 0 });
    const first = cluster.addWorker({ name: 'same' });
    const client = await cluster.ready(1);
    const file = join(cluster.folder, 'runs');
    const running = on(tasks.announce, client).run({ file, ms: 1_500 });
    await written(file);
    process.kill(cluster.childOf(first), 'SIGSTOP');
    cluster.addWorker({ name: 'same' });
    expect(await running).toBe(1);
  });

  test('whose name another has, which lives, is told so and waits; the other goes on until it ends, and then it is let in (W11)', async () => {
    cluster = await TestCluster.start({ workers: 1, worker: { name: 'same' } });
    const client = await cluster.ready(1);
    const [first] = cluster.workers as [Running];
    const owner = await cluster.startedChildOf(first);
    const job = on(tasks.mix, client).map(seeds(4_000, 1)).settled();
    const second = cluster.addWorker({ name: 'same' });
    await second.said(new RegExp(`there is a worker of this name already, process ${owner} on `));
    await cluster.coordinator.said(/another of that name, process \d+ on .+, is not let in/);
    for await (const each of job) expect(each).toMatchObject({ status: 'fulfilled', attempts: 1 });
    expect(await workerState('same')).toMatchObject({ pid: owner });
    first.kill('SIGTERM');
    await first.ended;
    expect(await on(tasks.mix, client).map(seeds(10, 1)).toArray()).toEqual(answers(10));
  });

  test('that is there before a coordinator was ever started is let in with the token which that leaves', async () => {
    cluster = await TestCluster.start({ coordinators: 0, workers: 0 });
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    const worker = cluster.run(['worker', '--address', address, '--tasks', tasksFile]);
    await worker.said(/cannot reach the coordinator/);
    cluster.run(['coordinator', '--listen', `127.0.0.1:${port}`]);
    await worker.said(/the coordinator is there again/);
  });

  test('that joins half-way takes its share', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1 });
    const client = await cluster.ready(1);
    const job = on(tasks.mix, client).map(seeds(1_500, 2));
    const workers = new Map<string, number>();
    let joined = false;
    for await (const { worker } of job.settled()) {
      workers.set(worker, (workers.get(worker) ?? 0) + 1);
      if (joined) continue;
      joined = true;
      cluster.addWorker({ threads: 1 });
    }
    expect([...workers.keys()].sort()).toEqual(['w1', 'w2']);
  });

  test('with a free slot takes over what waits elsewhere behind a long task (C16)', async () => {
    cluster = await TestCluster.start({ workers: 1, threads: 1 });
    const client = await cluster.ready(1);
    const [gate, open] = [join(cluster.folder, 'gate'), join(cluster.folder, 'open')];
    writeFileSync(open, '');
    const files = [gate, open, open].map((file) => ({ file }));
    const job = on(tasks.until, client).map(files, { order: 'completion' });
    const ends = job[Symbol.asyncIterator]();
    const first = ends.next();
    await written(`${gate}.runs`);
    cluster.addWorker({ threads: 1 });
    expect([await first, await ends.next()]).toEqual([
      { done: false, value: open },
      { done: false, value: open },
    ]);
    writeFileSync(gate, '');
    expect(await ends.next()).toEqual({ done: false, value: gate });
    expect(await ends.next()).toMatchObject({ done: true });
  });

  test('without the code of a task does not lose it: it waits and says so, and goes to one that has it (V01)', async () => {
    cluster = await TestCluster.start({ workers: 0 });
    cluster.addWorker({ args: ['--allow-bundles'] });
    const client = await cluster.ready(1);
    const job = await on(tasks.mix, client).submit({ seed: 3, ms: 0 });
    const explained = await cluster.shoal('explain', job.id);
    expect(explained.stdout).toMatch(/no worker has the code of "test\.mix"/);
    cluster.addWorker();
    expect(await job.result()).toBe(tasks.mixed(3));
  });
});

describe('a policy', () => {
  const whose = async (client: Cluster, count: number): Promise<string[]> => {
    const names: string[] = [];
    for (let i = 0; i < count; i++) {
      for await (const { worker } of on(tasks.mix, client).map(seeds(1, 0)).settled()) names.push(worker);
    }
    return names;
  };

  test('says which worker is served first: by default the first with nothing to do, under round-robin each in turn', async () => {
    cluster = await TestCluster.start({ workers: 2 });
    const byDefault = await whose(await cluster.ready(2), 4);
    expect(new Set(byDefault).size).toBe(1);
    await cluster.close();
    cluster = await TestCluster.start({ workers: 2, coordinatorArgs: ['--policy', 'round-robin'] });
    const inTurns = await whose(await cluster.ready(2), 4);
    expect(inTurns[0]).not.toBe(inTurns[1]);
    expect(inTurns.slice(2)).toEqual(inTurns.slice(0, 2));
  });

  test('least-cpu knows how busy the processors of each worker are, and shows it', async () => {
    cluster = await TestCluster.start({ workers: 1, coordinatorArgs: ['--policy', 'least-cpu'] });
    const client = await cluster.ready(1);
    expect(await whose(client, 1)).toEqual(['w1']);
    let busy: number | undefined;
    while (busy === undefined) busy = (await workerState('w1')).cpu;
    expect(busy).toBeGreaterThanOrEqual(0);
    expect(busy).toBeLessThanOrEqual(1);
    expect((await cluster.shoal('workers', 'list')).stdout).toMatch(/^w1 .* \d+ % /m);
  });

  test('that there is none of is refused by its name', async () => {
    cluster = await TestCluster.start({ coordinators: 0, workers: 0 });
    await expect(startCoordinator({ policy: 'fastest' as 'adaptive' })).rejects.toMatchObject({
      code: 'SH1341',
      message: expect.stringContaining('"fastest"') as string,
    });
    const running = cluster.run(['coordinator', '--policy', 'fastest']);
    expect(await running.ended).toMatchObject({ code: 2 });
    expect(running.stderr).toContain('adaptive, least-loaded, least-cpu, round-robin');
  });
});
