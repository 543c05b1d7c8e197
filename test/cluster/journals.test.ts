/** Jobs that live in databases, by the command line: coordinators are killed, jobs go on from what the database has. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Task } from 'shoal';
import { afterEach, expect, test } from 'vitest';
import { makeKeyspace } from '../../scripts/servers/keyspace.mjs';
import { withServer } from '../real-servers.ts';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

const count = 20_000;
const seeds = Array.from({ length: count }, (_, seed) => ({ seed, ms: 0.2 }));
const answers = seeds.map(({ seed }) => tasks.mixed(seed));

const program = `
  import { appendFileSync } from 'node:fs';
  import { main, task } from 'shoal';
  const mark = task('mark', async (i: number) => {
    appendFileSync('marks', i + '\\n');
    await new Promise((resolve) => setTimeout(resolve, 20));
    return i;
  });
  main(async () => {
    const all = await mark.map(Array.from({ length: 100 }, (_, i) => i), { chunkSize: 1 }).toArray();
    console.log(all.reduce((a, b) => a + b, 0));
  });`;

/** `url`: with a password in it that nobody may see. */
function outlivesCoordinators(url: () => Promise<string>, survives: RegExp): void {
  test('kill -9 of the coordinator, again and again, in 20 000 tasks: every result once, in order (C01, C03)', {
    timeout: 180_000,
  }, async () => {
    cluster = await TestCluster.start({ workers: 2, journal: await url() });
    await cluster.coordinator.said(survives);
    const client = await cluster.ready(2);
    const results = (tasks.mix as Task<{ seed: number; ms: number }, number>).on(client).map(seeds).toArray();
    for (let kill = 0; kill < 2; kill++) {
      await new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 500));
      cluster.coordinator.kill('SIGKILL');
      await cluster.coordinator.ended;
      await cluster.startCoordinator();
    }
    expect(await results).toEqual(answers);
    expect(cluster.coordinator.stdout + cluster.coordinator.stderr).not.toContain('not-for-logs');
  });
}

function outlivesRuns(url: () => Promise<string>): void {
  test('`shoal run`, killed half-way, goes on where it was; doctor looks at the journal', { timeout: 180_000 }, async () => {
    const journal = await url();
    cluster = await TestCluster.start({ workers: 0 });
    const marks = join(cluster.folder, 'marks');
    appendFileSync(marks, '');
    writeFileSync(join(cluster.folder, 'slow.ts'), program);
    const command = ['run', '--threads', '2', '--journal', journal, 'slow.ts'];
    const first = cluster.run(command);
    while (readFileSync(marks, 'utf8').split('\n').length < 50 && !first.isOver) await new Promise((resolve) => setTimeout(resolve, 5));
    first.kill('SIGKILL');
    await first.ended;
    const second = cluster.run(command);
    expect(await second.ended, second.stderr).toMatchObject({ code: 0 });
    expect(second.stdout).toBe('4950\n');
    const counts = /mark {2}100 done {2}\((\d+) from the journal, (\d+) computed/.exec(second.stderr);
    expect(Number(counts?.[1]), second.stderr).toBeGreaterThan(10);
    const doctor = cluster.run(['doctor', '--journal', journal], { SHOAL_ADDRESS: cluster.address });
    await doctor.ended;
    expect(doctor.stdout).toMatch(/^ok +journal +\w+:\/\/(\*\*\*@)?127\S+ answered/m);
    expect([first, second, doctor].map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain('not-for-logs');
  });
}

withServer('postgres', 'Jobs', ({ shared }) => {
  const url = async (): Promise<string> => (await shared()).url.replace('postgres@', 'postgres:not-for-logs@');
  outlivesRuns(url);
  outlivesCoordinators(url, /journal {2}postgres:\/\/\*\*\*@\S+: what is confirmed survives a crash of this process and of this machine/);
});

withServer('redis', 'Jobs', ({ start }) => {
  let started: ReturnType<typeof start> | undefined;
  const url = async (): Promise<string> => {
    started ??= start({ appendonly: true, appendfsync: 'always', password: 'not-for-logs' });
    return (await started).url;
  };
  outlivesRuns(url);
  outlivesCoordinators(url, /journal {2}redis:\/\/\*\*\*@\S+: what is confirmed survives a crash of this process and of this machine/);
});

withServer('mongodb', 'Jobs', ({ shared }) => {
  outlivesRuns(async () => `${(await shared()).url}/jobs`);
});

withServer('cassandra', 'Jobs', ({ shared }) => {
  outlivesRuns(async () => {
    const { url, port } = await shared();
    await makeKeyspace(port);
    return `${url}/shoal`;
  });
});
