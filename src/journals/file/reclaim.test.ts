/** FAULTS S11: room is given back, and a crash at any step of that loses nothing and opens nothing again. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { all, entry, expectConflict, pattern, seqs, text } from '../journal.suite.ts';
import type { Journal } from '../journal.ts';
import { copyAsCrashed, trial, watchedDisk } from './trial.suite.ts';

const { directory, open } = trial();
const SEGMENT_BYTES = 4000;

const logs = async (path: string): Promise<string[]> => (await readdir(path)).filter((name) => name.endsWith('.log')).sort();

async function logBytes(path: string): Promise<number> {
  const sizes = await Promise.all((await logs(path)).map(async (name) => (await stat(join(path, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Bodies that tell whose they are. */
const body = (stream: string, seq: number, bytes = 700): Buffer => Buffer.concat([Buffer.from(`${stream}/${seq};`), pattern(bytes, seq)]);

async function fill(journal: Journal, stream: string, from: number, to: number): Promise<void> {
  for (let seq = from; seq < to; seq += 1) {
    await journal.append([{ stream, seq, writer: 'w', head: Buffer.from(`${stream}#${seq}`), body: [body(stream, seq)] }]);
  }
}

async function expectWhole(journal: Journal, stream: string, count: number): Promise<void> {
  const entries = await all(journal, stream);
  expect(entries.map(({ head }) => text(head))).toEqual(Array.from({ length: count }, (_, seq) => `${stream}#${seq}`));
  expect(entries.every((read) => Buffer.concat(read.body).equals(body(stream, read.seq)))).toBe(true);
}

it('removes the segments of which nothing is alive', async () => {
  const path = await directory();
  const journal = await open(path, { segmentBytes: SEGMENT_BYTES });
  await fill(journal, 'kept', 0, 3);
  await fill(journal, 'gone', 0, 100);
  const before = await logBytes(path);
  await journal.drop('gone');
  await journal.reclaimed();
  expect(before).toBeGreaterThan(70_000);
  expect(await logBytes(path)).toBeLessThan(10_000);
  await expectWhole(journal, 'kept', 3);
});

it('copies the rest of a segment that is mostly dead, and keeps streams closed whose drop lay there', async () => {
  const path = await directory();
  const journal = await open(path, { segmentBytes: SEGMENT_BYTES });
  // Each segment gets one small live entry, one drop, and much that will be dead.
  for (let round = 0; round < 12; round += 1) {
    await journal.append([entry('kept', round, { head: `kept#${round}`, body: [`body ${round}`] })]);
    await fill(journal, `job-${round}`, 0, 5);
    await journal.drop(`job-${round}`);
  }
  await journal.reclaimed();
  expect(await logBytes(path)).toBeLessThan(3 * SEGMENT_BYTES);
  const check = async (opened: Journal): Promise<void> => {
    const kept = await all(opened, 'kept');
    expect(kept.map(({ head, body: chunks }) => `${text(head)} ${text(Buffer.concat(chunks))}`)).toEqual(
      Array.from({ length: 12 }, (_, round) => `kept#${round} body ${round}`),
    );
    const [slice] = await opened.readBodies('kept', [{ seq: 0, offset: 5, length: 1 }]);
    expect(text(slice)).toBe('0');
    for (let round = 0; round < 12; round += 1) await expectConflict(opened.append([entry(`job-${round}`, 5)]), `job-${round}`, 5);
  };
  await check(journal);
  await journal.close();
  await check(await open(path, { segmentBytes: SEGMENT_BYTES }));
});

it('S11: a crash before any act on the disk leaves a log that knows all that was confirmed', async () => {
  const path = await directory();
  const crashed: { copy: string; kept: number; dropped: string[] }[] = [];
  let kept = 0;
  const dropped: string[] = [];
  const disk = watchedDisk(async () => {
    const copy = await directory();
    await copyAsCrashed(path, copy);
    crashed.push({ copy, kept, dropped: [...dropped] });
  });
  const journal = await open(path, { segmentBytes: SEGMENT_BYTES }, disk);
  for (let round = 0; round < 6; round += 1) {
    await fill(journal, 'kept', round, round + 1);
    kept = round + 1;
    await fill(journal, `job-${round}`, 0, 6);
    await journal.drop(`job-${round}`);
    dropped.push(`job-${round}`);
  }
  await journal.reclaimed();
  expect(crashed.length).toBeGreaterThan(80);
  const acts = await logs(path);
  expect(acts.length).toBeLessThan(6);

  for (const { copy, kept: keptThen, dropped: droppedThen } of crashed) {
    const again = await open(copy, { segmentBytes: SEGMENT_BYTES });
    const count = (await seqs(again, 'kept')).length;
    // What was under way may have come through.
    expect([keptThen, keptThen + 1]).toContain(count);
    await expectWhole(again, 'kept', count);
    for (const stream of droppedThen) {
      expect(await seqs(again, stream)).toEqual([]);
      await expectConflict(again.append([entry(stream, 0)]), stream, 0);
    }
    await fill(again, 'kept', count, count + 1);
    await again.reclaimed();
    await expectWhole(again, 'kept', count + 1);
    await again.close();
  }
});

it('finishes at the next opening what the last process left', async () => {
  const path = await directory();
  const journal = await open(path, { segmentBytes: SEGMENT_BYTES });
  await fill(journal, 'kept', 0, 2);
  await fill(journal, 'gone', 0, 20);
  const crashed = await directory();
  await copyAsCrashed(path, crashed);
  const again = await open(crashed, { segmentBytes: SEGMENT_BYTES });
  const dropping = again.drop('gone');
  await again.close();
  await dropping;
  const third = await open(crashed, { segmentBytes: SEGMENT_BYTES });
  await third.reclaimed();
  expect(await logBytes(crashed)).toBeLessThan(3 * SEGMENT_BYTES);
  await expectWhole(third, 'kept', 2);
});

it('lets a reader finish on a segment that is removed under it', async () => {
  const path = await directory();
  const journal = await open(path, { segmentBytes: SEGMENT_BYTES });
  await fill(journal, 'gone', 0, 30);
  const slices = Array.from({ length: 30 }, (_, seq) => ({ seq, offset: 0, length: body('gone', seq).length }));
  const reading = journal.readBodies('gone', slices);
  const dropping = journal.drop('gone');
  const bodies = await reading;
  await dropping;
  await journal.reclaimed();
  expect(bodies.map((bytes) => Buffer.from(bytes))).toEqual(slices.map(({ seq }) => body('gone', seq)));
  expect((await logs(path)).length).toBeLessThan(3);
});

it('keeps no segment for an opening that wrote nothing, and few for many that wrote little', async () => {
  const path = await directory();
  for (let round = 0; round < 5; round += 1) await (await open(path)).close();
  expect(await logs(path)).toHaveLength(1);
  for (let round = 0; round < 40; round += 1) {
    const journal = await open(path);
    await fill(journal, 'kept', round, round + 1);
    await journal.reclaimed();
    await journal.close();
  }
  expect((await logs(path)).length).toBeLessThan(20);
  await expectWhole(await open(path), 'kept', 40);
});
