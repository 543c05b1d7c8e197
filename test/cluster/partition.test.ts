/** A worker behind a network of its own (a namespace), whose cable is pulled and put back. Needs the right to make one. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tracesIn } from '../../scripts/leftovers.mjs';
import * as tasks from './fixtures/tasks.ts';
import { bin, TestCluster, tasksFile } from './harness.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const name = `shoal${process.pid}`;
const [outside, inside] = [`10.213.${process.pid % 250}.1`, `10.213.${process.pid % 250}.2`];
const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

let cluster: TestCluster | undefined;
let canPartition: string | undefined;

beforeEach(() => {
  try {
    ip('netns', 'add', name);
    // Names of interfaces have at most 15 characters.
    ip('link', 'add', `${name}o`, 'type', 'veth', 'peer', 'name', `${name}i`, 'netns', name);
    ip('addr', 'add', `${outside}/24`, 'dev', `${name}o`);
    ip('link', 'set', `${name}o`, 'up');
    ip('-n', name, 'addr', 'add', `${inside}/24`, 'dev', `${name}i`);
    ip('-n', name, 'link', 'set', `${name}i`, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
  } catch (error) {
    canPartition = (error as Error).message.split('\n')[0];
  }
});
afterEach(async () => {
  await cluster?.close();
  try {
    ip('netns', 'del', name);
  } catch {
    // There is none.
  }
});

test('what a partition is made of would be seen if it were left behind', (context) => {
  if (canPartition !== undefined) return context.skip(`no network namespaces here: ${canPartition}`);
  const made = [`network namespace ${name}`, `network interface ${name}o`];
  expect(tracesIn(root)).toEqual(expect.arrayContaining(made));
  ip('netns', 'del', name);
  expect(tracesIn(root).filter((trace) => made.includes(trace))).toEqual([]);
});

test('a worker that is cut off loses its tasks to others, starts nothing new, and is of use when it is back (N06, W12)', async (context) => {
  if (canPartition !== undefined) return context.skip(`no network namespaces here: ${canPartition}`);
  cluster = await TestCluster.start({ workers: 1, threads: 1, host: outside });
  const far = spawn(
    'ip',
    [
      'netns',
      'exec',
      name,
      process.execPath,
      bin,
      'worker',
      '--address',
      cluster.address,
      '--name',
      'far',
      '--threads',
      '1',
      '--tasks',
      tasksFile,
    ],
    { env: { ...cluster.env, SHOAL_TOKEN: cluster.token('worker') }, stdio: 'ignore', cwd: cluster.folder },
  );
  try {
    const client = await cluster.ready(2);
    const inputs = Array.from({ length: 400 }, (_, seed) => ({ seed, ms: 10 }));
    const answers = inputs.map(({ seed }) => tasks.mixed(seed));
    const workers = new Set<string>();
    const job = tasks.mix.on(client).map(inputs);
    const values: number[] = [];
    for await (const each of job.settled()) {
      if (each.status === 'rejected') throw each.reason;
      values[each.index] = each.value;
      workers.add(each.worker);
      if (values.length === 40) ip('link', 'set', `${name}o`, 'down');
    }
    expect(values).toEqual(answers);
    expect([...workers].sort((a, b) => (a < b ? -1 : 1))).toEqual(['far', 'w1']);
    ip('link', 'set', `${name}o`, 'up');
    await client.waitForWorkers(2, { timeout: '30s' });
    expect(await tasks.mix.on(client).map(inputs.slice(0, 100)).toArray()).toEqual(answers.slice(0, 100));
  } finally {
    far.kill('SIGTERM');
    await once(far, 'exit');
  }
});
