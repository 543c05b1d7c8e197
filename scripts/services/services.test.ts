/** What surrounds the tools that install servers; that those work is seen where a machine has none of the servers. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { installServices } from '../services.mjs';
import { place } from './place.mjs';
import { run } from './run.mjs';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-services-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const make = (content: string) => async (workshop: string) => {
  await mkdir(join(workshop, 'made'));
  await writeFile(join(workshop, 'made/jar'), content);
};

it('puts a folder in its place as a whole', async () => {
  const home = join(folder, 'whole/kafka-1');
  await place(home, make('whole'));
  expect(await readFile(join(home, 'jar'), 'utf8')).toBe('whole');
  expect(await readdir(join(folder, 'whole'))).toEqual(['kafka-1']);
});

it('leaves nothing of a folder that was not finished', async () => {
  const makeHalf = async (workshop: string) => {
    await make('half')(workshop);
    throw new Error('no network');
  };
  await expect(place(join(folder, 'half/kafka-1'), makeHalf)).rejects.toThrow('no network');
  expect(await readdir(join(folder, 'half'))).toEqual([]);
});

it('keeps what somebody else has put there meanwhile', async () => {
  const home = join(folder, 'twice/kafka-1');
  await place(home, async (workshop) => {
    await place(home, make('first'));
    await make('second')(workshop);
  });
  expect(await readFile(join(home, 'jar'), 'utf8')).toBe('first');
  expect(await readdir(join(folder, 'twice'))).toEqual(['kafka-1']);
});

it('tells which names there are', async () => {
  const [outcome] = await installServices(['mysql']);
  expect(outcome?.why).toMatch(/^unknown; there are redis, .*kafka/);
});

it('shows the end of what a tool said before it failed', async () => {
  await expect(run('/bin/sh', ['-c', 'seq 100; echo too bad >&2; exit 3'])).rejects.toThrow(/ended with 3\n62\n(.|\n)*100\ntoo bad$/);
  expect(await run('/bin/sh', ['-c', 'echo fine'])).toBe('fine\n');
});
