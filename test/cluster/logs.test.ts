/** What tasks print, by the command line: kept with the job, whatever becomes of coordinators. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster, Task } from 'shoal';
import { afterEach, describe, expect, test } from 'vitest';
import { openJournal } from '../../src/journal-of.ts';
import { withServer } from '../real-servers.ts';
import * as tasks from './fixtures/tasks.ts';
import { TestCluster } from './harness.ts';

let cluster: TestCluster;
afterEach(() => cluster?.close());

const speak = (client: Cluster): Task<{ name: string; gate: string }, string> =>
  (tasks.speak as Task<{ name: string; gate: string }, string>).on(client);

/** `address`: undefined for a folder of the cluster's own. */
function keepsLogs(address: () => Promise<string | undefined>): void {
  test('through kill -9 of the coordinator, for who follows and for who comes later, and no longer than the job (C01)', {
    timeout: 180_000,
  }, async () => {
    const server = await address();
    cluster = await TestCluster.start({ workers: 1, threads: 2, ...(server !== undefined && { journal: server }) });
    const journal = server ?? `file:${join(cluster.folder, 'journal')}`;
    const client = await cluster.ready(1);
    const gate = join(cluster.folder, 'gate');
    const job = await speak(client).submit({ name: 'one', gate }, { keepResults: '1h' });
    const heard: string[] = [];
    const following = (async () => {
      for await (const { message } of job.logs({ follow: true })) heard.push(message);
    })();
    await stored(journal, job.id, 'one begins');
    await killCoordinator();
    expect(await linesOf(job.id)).toEqual(['one begins']);
    writeFileSync(gate, '');
    expect(await job.result()).toBe('one');
    await following;
    expect(heard).toEqual(['one begins', 'one ends']);
    await stored(journal, job.id, 'one ends');
    await killCoordinator();
    expect(await linesOf(job.id)).toEqual(['one begins', 'one ends']);

    expect((await cluster.shoal('jobs', 'delete', job.id)).code).toBe(0);
    await stop();
    const reader = await openJournal(journal);
    try {
      for await (const entries of reader.read(`logs.${job.id}.1`, { from: 0, part: 'head' })) expect(entries).toEqual([]);
    } finally {
      await reader.close();
    }
  });

  test('of its last moment, too, where the coordinator is asked to stop', { timeout: 180_000 }, async () => {
    const server = await address();
    cluster = await TestCluster.start({ workers: 1, threads: 2, ...(server !== undefined && { journal: server }) });
    const client = await cluster.ready(1);
    const gate = join(cluster.folder, 'gate');
    writeFileSync(gate, '');
    const names = Array.from({ length: 50 }, (_, i) => `task ${i}`);
    const job = speak(client).map(
      names.map((name) => ({ name, gate })),
      { keepResults: '1h' },
    );
    expect(await job.toArray()).toEqual(names);
    await stop();
    await cluster.startCoordinator();
    const lines = names.flatMap((name) => [`${name} begins`, `${name} ends`]);
    expect((await linesOf(job.id)).sort()).toEqual(lines.sort());
  });
}

describe('a file keeps logs', () => keepsLogs(() => Promise.resolve(undefined)));

withServer('redis', 'keeps logs', ({ start }) => {
  let started: ReturnType<typeof start> | undefined;
  keepsLogs(async () => {
    started ??= start({ appendonly: true, appendfsync: 'always' });
    return (await started).url;
  });
});

withServer('postgres', 'keeps logs', ({ shared }) => {
  keepsLogs(async () => `${(await shared()).url}?cluster=logs`);
});

async function killCoordinator(): Promise<void> {
  cluster.coordinator.kill('SIGKILL');
  await cluster.coordinator.ended;
  await cluster.startCoordinator();
}

async function stop(): Promise<void> {
  cluster.coordinator.kill('SIGTERM');
  await cluster.coordinator.ended;
}

async function linesOf(job: string): Promise<string[]> {
  const { stdout } = await cluster.shoal('jobs', 'logs', job, '--json');
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { message: string }).message);
}

/** Resolves when the journal has the line: only who tells before it is stored may lose it. */
async function stored(journal: string, job: string, text: string): Promise<void> {
  const folder = journal.startsWith('file:') ? journal.slice('file:'.length) : undefined;
  const reader = folder === undefined ? await openJournal(journal) : undefined;
  try {
    await expect.poll(async () => (folder === undefined ? inStream(reader!, job) : inFolder(folder)), { timeout: 60_000 }).toContain(text);
  } finally {
    await reader?.close();
  }
}

/** A log is stored in the text of its lines, whatever holds it. */
function inFolder(folder: string): string {
  return readdirSync(folder, { withFileTypes: true })
    .filter((each) => each.isFile())
    .map(({ name }) => readFileSync(join(folder, name), 'latin1'))
    .join('');
}

async function inStream(journal: Awaited<ReturnType<typeof openJournal>>, job: string): Promise<string> {
  let text = '';
  for await (const entries of journal.read(`logs.${job}.1`, { from: 0, part: 'all' })) {
    for (const { body } of entries) text += Buffer.concat(body).toString();
  }
  return text;
}
