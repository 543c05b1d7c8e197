/** FAULTS S02, S03, S04: a full disk, on a real small one, and a disk that dies. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, type TestContext } from 'vitest';
import { all, entry, expectConflict, pattern, seqs } from '../journal.suite.ts';
import { type Journal, JournalFullError, OutcomeUnknownError } from '../journal.ts';
import { type Disk, nodeDisk } from './disk.ts';
import { trial, watchedDisk } from './trial.suite.ts';

const { directory, open } = trial();
const KIBIBYTE = 1024;

/** Runs `test` in a directory on a disk of its own, of one mebibyte. */
async function onSmallDisk(context: TestContext, test: (path: string) => Promise<void>): Promise<void> {
  const mountPoint = await directory();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mountPoint], { stdio: 'pipe' });
  } catch (error) {
    context.skip(`a small disk can't be mounted here: ${String(error)}`);
  }
  try {
    await test(join(mountPoint, 'journal'));
  } finally {
    execFileSync('umount', ['-l', mountPoint]);
  }
}

/** Appends until there is no room; answers with how many were taken. */
async function fillUp(journal: Journal, stream: string, bytes: number): Promise<number> {
  for (let seq = 0; ; seq += 1) {
    try {
      await journal.append([{ stream, seq, writer: 'w', head: Buffer.from('h'), body: [pattern(bytes, seq)] }]);
    } catch (error) {
      expect(error).toBeInstanceOf(JournalFullError);
      expect(error).toMatchObject({ code: 'SH4003' });
      return seq;
    }
  }
}

it('S02: a full disk refuses, keeps what it has, and takes again when streams were dropped', async (context) => {
  await onSmallDisk(context, async (path) => {
    const journal = await open(path);
    await journal.append([entry('kept', 0, { body: ['kept'] })]);
    const count = await fillUp(journal, 'gone', 50 * KIBIBYTE);
    expect(count).toBeGreaterThan(10);
    // The partial record was taken back.
    const { size } = statSync(join(path, '00000001.log'));
    await expect(
      journal.append([{ stream: 'x', seq: 0, writer: 'w', head: Buffer.of(), body: [pattern(90 * KIBIBYTE, 1)] }]),
    ).rejects.toThrow(JournalFullError);
    expect(statSync(join(path, '00000001.log')).size).toBe(size);
    // Running work goes on: what is there is read.
    const entries = await all(journal, 'gone');
    expect(entries).toHaveLength(count);
    expect(entries.every(({ seq, body }) => Buffer.concat(body).equals(pattern(50 * KIBIBYTE, seq)))).toBe(true);

    await fillUp(journal, 'crumbs', 100);
    await journal.drop('gone');
    await journal.reclaimed();
    await expectConflict(journal.append([entry('gone', count)]), 'gone', count);
    expect(await fillUp(journal, 'again', 50 * KIBIBYTE)).toBeGreaterThan(5);
    await journal.close();

    const opened = await open(path);
    expect(await seqs(opened, 'kept')).toEqual([0]);
    expect(await seqs(opened, 'gone')).toEqual([]);
    await opened.drop('again');
    await opened.reclaimed();
    expect(await fillUp(opened, 'third', 50 * KIBIBYTE)).toBeGreaterThan(5);
    await opened.close();
  });
});

it('S02: of calls that have no room together, those that have some alone are taken', async (context) => {
  await onSmallDisk(context, async (path) => {
    const journal = await open(path);
    await fillUp(journal, 'a', 100 * KIBIBYTE);
    const big = { stream: 'big', seq: 0, writer: 'w', head: Buffer.of(), body: [pattern(500 * KIBIBYTE, 1)] };
    const outcomes = await Promise.allSettled([
      journal.append([entry('first', 0)]),
      journal.append([big]),
      journal.append([entry('last', 0)]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect([await seqs(journal, 'first'), await seqs(journal, 'big'), await seqs(journal, 'last')]).toEqual([[0], [], [0]]);
    // An append has room for all of its entries or for none.
    await expect(journal.append([entry('second', 0), big])).rejects.toThrow(JournalFullError);
    await journal.close();
    const opened = await open(path);
    expect([await seqs(opened, 'first'), await seqs(opened, 'second'), await seqs(opened, 'last')]).toEqual([[0], [], [0]]);
    await opened.close();
  });
});

it('S02: a disk too full for the next segment refuses, and goes on when there is room', async (context) => {
  await onSmallDisk(context, async (path) => {
    const journal = await open(path, { segmentBytes: 100 * KIBIBYTE });
    await journal.append([entry('kept', 0)]);
    const count = await fillUp(journal, 'gone', 45 * KIBIBYTE);
    expect(count).toBeGreaterThan(10);
    expect(await seqs(journal, 'gone')).toHaveLength(count);
    await journal.drop('gone');
    await journal.reclaimed();
    expect(await fillUp(journal, 'again', 45 * KIBIBYTE)).toBeGreaterThan(5);
    expect(await seqs(journal, 'kept')).toEqual([0]);
    await journal.close();
  });
});

function failing(act: keyof Disk): { disk: Disk; acts: string[]; fail: () => void } {
  const acts: string[] = [];
  let isFailing = false;
  const disk = watchedDisk((done) => {
    acts.push(done);
    if (isFailing && done === act) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  });
  return { disk, acts, fail: () => (isFailing = true) };
}

for (const act of ['sync', 'write'] as const) {
  it(`S04: a failed ${act} leaves the outcome unknown, and nothing is written after it`, async () => {
    const path = await directory();
    const { disk, acts, fail } = failing(act);
    const journal = await open(path, {}, disk);
    await journal.append([entry('a', 0)]);
    fail();
    const outcomes = await Promise.allSettled([journal.append([entry('a', 1)]), journal.append([entry('b', 0)])]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'SH4002', why: expect.stringContaining('EIO') as string } });
    }
    const before = acts.length;
    await expect(journal.append([entry('a', 1)])).rejects.toThrow(OutcomeUnknownError);
    await expect(journal.append([entry('c', 0)])).rejects.toThrow(OutcomeUnknownError);
    await expect(journal.drop('a')).rejects.toThrow(OutcomeUnknownError);
    expect(acts).toHaveLength(before);
    // What was confirmed is still read; what was not is not shown.
    expect(await seqs(journal, 'a')).toEqual([0]);
    await journal.close();
    const opened = await open(path);
    expect((await seqs(opened, 'a')).length).toBe(act === 'sync' ? 2 : 1);
  });
}

/** Has no descriptor for `act` from `use` on, until it was asked for one three times. */
function withoutDescriptors(act: 'list' | 'create' | 'syncDirectory', meanwhile: () => Promise<unknown> = async () => undefined) {
  let left = 0;
  const out = (): Error => Object.assign(new Error('EMFILE: too many open files'), { code: left % 2 ? 'EMFILE' : 'ENFILE' });
  const check = (): void => {
    if (left > 0 && left-- > 0) throw out();
  };
  const disk: Disk = {
    ...nodeDisk,
    marksOf: () => () => undefined,
    list: (path) => {
      if (act === 'list') check();
      return nodeDisk.list(path);
    },
    create: async (path) => {
      if (act === 'create') {
        if (left > 0) await meanwhile();
        check();
      }
      return nodeDisk.create(path);
    },
    syncDirectory: async (path) => {
      if (act === 'syncDirectory') check();
      return nodeDisk.syncDirectory(path);
    },
  };
  return { disk, use: () => void (left = 3), asked: () => left === 0 };
}

it.each(['list', 'create', 'syncDirectory'] as const)(
  'a moment without descriptors holds an append up, and spoils nothing (at %s)',
  async (act) => {
    const path = await directory();
    const { disk, use, asked } = withoutDescriptors(act);
    const journal = await open(path, { segmentBytes: 1_000 }, disk);
    await journal.append([entry('a', 0, { body: ['x'.repeat(900)] })]);
    use();
    await Promise.all([journal.append([entry('a', 1, { body: ['x'.repeat(900)] })]), journal.append([entry('b', 0)])]);
    expect(asked()).toBe(true);
    await journal.append([entry('a', 2)]);
    await journal.close();
    const opened = await open(path);
    expect([await seqs(opened, 'a'), await seqs(opened, 'b')]).toEqual([[0, 1, 2], [0]]);
  },
);

it('H19: who could not look for want of descriptors confirms nothing that another opener has superseded', async () => {
  const path = await directory();
  const { disk, use, asked } = withoutDescriptors('list');
  const old = await open(path, {}, disk);
  await old.append([entry('a', 0)]);
  await open(path, { takeOver: true });
  use();
  await expectConflict(old.append([entry('a', 1, { writer: 'old' })]), 'a', 1);
  expect(asked()).toBe(true);
});

it('H19: nor does it take the number of a segment that another opener had meanwhile', async () => {
  const path = await directory();
  let next: Journal | undefined;
  const { disk, use } = withoutDescriptors('create', async () => void (next ??= await open(path, { takeOver: true })));
  const old = await open(path, { segmentBytes: 1_000 }, disk);
  await old.append([entry('a', 0, { body: ['x'.repeat(900)] })]);
  use();
  const late = entry('a', 1, { writer: 'old', body: ['x'.repeat(900)] });
  await expectConflict(old.append([late]), 'a', 1);
  expect(await seqs(next!, 'a')).toEqual([0]);
});

function refuseWrites(act: keyof Disk): void {
  if (act === 'write') throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
}

it('S02: a disk that stays full although the reserve was given away refuses to open with words, not with a bare ENOSPC', async () => {
  const path = await directory();
  await (await open(path)).close();
  const before = await readdir(path);
  await expect(open(path, {}, watchedDisk(refuseWrites))).rejects.toMatchObject({
    code: 'SH4003',
    why: expect.stringContaining(path) as string,
  });
  expect(before).toContain('reserve');
  expect(await readdir(path)).toEqual(before.filter((name) => name !== 'reserve'));
  expect(await seqs(await open(path), 'a')).toEqual([]);
});

it('leaves no litter when it can not open', async () => {
  const path = await directory();
  await expect(open(path, {}, watchedDisk(refuseWrites))).rejects.toBeInstanceOf(JournalFullError);
  expect(await readdir(path)).toEqual([]);
});

it('S04, S13: leaves its segment where a failing disk may have taken the header, for another opener may count it already', async () => {
  const path = await directory();
  const disk: Disk = {
    ...nodeDisk,
    write: async (...args) => {
      await nodeDisk.write(...args);
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
    },
  };
  await expect(open(path, {}, disk)).rejects.toThrow('EIO');
  expect(await readdir(path)).toEqual(['00000001.log']);
  const journal = await open(path);
  await journal.append([entry('a', 0)]);
  expect(await seqs(journal, 'a')).toEqual([0]);
});
