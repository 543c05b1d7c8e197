/** The commands of docs/how-to/high-availability.md that back up and restore, word for word, on real servers, around a job. */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from 'shoal';
import { afterEach, describe, expect, test, vi } from 'vitest';
import * as tasks from '../cluster/fixtures/tasks.ts';
import { TestCluster } from '../cluster/harness.ts';
import { withServer } from '../real-servers.ts';

vi.setConfig({ testTimeout: 180_000 });

const page = readFileSync(new URL('../../docs/how-to/high-availability.md', import.meta.url), 'utf8');

const count = 2_000;
const expected = Array.from({ length: count }, (_, seed) => tasks.mixed(seed));

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

/** A job that has the results of its first half, and no inputs for the second one until `goOn`. */
async function halfDone(client: Cluster) {
  let goOn = (): void => undefined;
  const goesOn = new Promise<void>((resolve) => (goOn = resolve));
  async function* inputs(): AsyncGenerator<{ seed: number; ms: number }> {
    for (let seed = 0; seed < count; seed++) {
      if (seed === count / 2) await goesOn;
      yield { seed, ms: 0.05 };
    }
  }
  const job = tasks.mix.on(client).map(inputs(), { idempotencyKey: 'nightly' });
  for await (const { succeeded } of job.progress({ every: '50ms' })) if (succeeded === count / 2) break;
  return { job, inputs, goOn };
}

interface Journal {
  /** Undefined: a folder of the cluster's own. */
  url?: string;
  /** What the page calls by another name here. */
  places: (cluster: TestCluster) => Record<string, string>;
  isStoppedToCopy?: boolean;
  stop?: () => Promise<void>;
  start?: () => Promise<void>;
}

/** The block of commands behind a line of the page that says `what`, as it is run here. */
function commands(what: string, journal: Journal, running: TestCluster): string {
  const block = page.split(what)[1]?.split('```')[1];
  if (block === undefined) throw new Error(`no commands behind "${what}"`);
  return Object.entries(journal.places(running)).reduce((text, [named, here]) => text.replaceAll(named, here), block);
}

function survivesRestore(name: string, open: () => Promise<Journal>): void {
  test('a job goes on from the backup, and its answer is exact', async () => {
    const journal = await open();
    const own = await TestCluster.start({ workers: 2, ...(journal.url !== undefined && { journal: journal.url }) });
    cluster = own;
    const run = (what: string): void => {
      const env = { ...own.env, ...(journal.url !== undefined && { SHOAL_JOURNAL: journal.url }) };
      execFileSync('/bin/sh', ['-ec', commands(what, journal, own)], { cwd: own.folder, env, stdio: 'pipe' });
    };
    const stopAll = async (): Promise<void> => {
      for (const worker of own.workers) worker.kill('SIGTERM');
      // As long as somebody is there to whom they can give what they have.
      await Promise.all(own.workers.map(({ ended }) => ended));
      own.coordinator.kill('SIGTERM');
      await own.coordinator.ended;
    };
    const startAll = async (): Promise<void> => {
      await own.startCoordinator();
      for (const name of ['w1', 'w2']) own.addWorker({ name });
    };

    const { job, inputs, goOn } = await halfDone(await own.ready(2));

    if (journal.isStoppedToCopy) await stopAll();
    run(`Back up ${name}`);
    if (journal.isStoppedToCopy) await startAll();
    goOn();
    expect(await job.toArray()).toEqual(expected);

    await stopAll();
    await journal.stop?.();
    run(`Restore ${name}`);
    await journal.start?.();
    await startAll();

    const client = await own.ready(2);
    expect(await (await client.job('nightly')).state()).not.toBe('succeeded');
    goOn();
    const again = tasks.mix.on(client).map(inputs(), { idempotencyKey: 'nightly' });
    expect(await again.toArray()).toEqual(expected);
    expect(again.deduplicated).toBe(true);
  });
}

describe('a folder', () => {
  survivesRestore('a folder', async () => ({
    isStoppedToCopy: true,
    places: ({ folder }) => ({ '/srv/shoal': join(folder, 'journal'), '-C /srv ': `-C ${folder} `, ' shoal\n': ' journal\n' }),
  }));
});

test('a journal that was set back under workers that live: they drop what they have, it is said so, and no result is wrong (S07)', async () => {
  const own = await TestCluster.start({ workers: 2 });
  cluster = own;
  const journal = join(own.folder, 'journal');
  const copy = join(own.folder, 'copy');
  const restart = async (between: () => void): Promise<void> => {
    own.coordinator.kill('SIGKILL');
    await own.coordinator.ended;
    between();
    await own.startCoordinator();
    await own.ready(2);
  };
  await own.ready(2);
  await restart(() => cpSync(journal, copy, { recursive: true }));
  // A leader of which the copy knows nothing.
  await restart(() => undefined);
  const { job, inputs, goOn } = await halfDone(await own.ready(2));
  await restart(() => {
    rmSync(journal, { recursive: true });
    cpSync(copy, journal, { recursive: true });
  });
  for (const name of ['w1', 'w2'])
    await own.coordinator.said(
      new RegExp(`worker ${name} was led in term 3, of which this journal knows nothing \\(its own is 2\\): it was set back`),
    );
  goOn();
  await expect(job.toArray()).rejects.toMatchObject({ code: 'SH1401' });
  const again = tasks.mix.on(await own.ready(2)).map(inputs(), { idempotencyKey: 'nightly' });
  expect(await again.toArray()).toEqual(expected);
});

withServer('postgres', 'jobs', (real) => {
  survivesRestore('PostgreSQL', async () => {
    const { url } = await real.shared();
    // What docs/how-to/journals.md gives it, and no more.
    const role = ["CREATE ROLE shoal LOGIN PASSWORD 'secret'", 'CREATE SCHEMA shoal AUTHORIZATION shoal'];
    execFileSync('psql', [url, ...role.flatMap((statement) => ['-c', statement])], { stdio: 'pipe' });
    return { url: url.replace('postgres@', 'shoal:secret@'), places: () => ({}) };
  });
});

withServer('redis', 'jobs', (real) => {
  survivesRestore('Redis', async () => {
    const server = await real.start({ appendonly: true, appendfsync: 'always' });
    const data = join(server.folder, 'data');
    return {
      url: server.url,
      places: () => ({ '/var/lib/redis': data, 'redis-cli ': `redis-cli -u ${server.url} ` }),
      stop: () => server.shutdown(),
      start: () => server.restart(),
    };
  });
});
