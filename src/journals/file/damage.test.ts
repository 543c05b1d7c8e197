/** FAULTS S01, S05, V03, P9: what a crash cut off is cut, what was confirmed and is damaged is refused. */
import { readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, it } from 'vitest';
import { ShoalError } from '../../lib/errors.ts';
import { all, entry, pattern, seqs, story } from '../journal.suite.ts';
import { type Journal, JournalCorruptError } from '../journal.ts';
import { nodeDisk } from './disk.ts';
import { changeFile, copyAsCrashed, trial } from './trial.suite.ts';

const { directory, open } = trial();

/** A small log of five entries and a drop; and where in the file each ends. */
async function smallLog(): Promise<{ path: string; first: Buffer; ends: number[] }> {
  const path = await directory();
  const journal = await open(path);
  const ends: number[] = [];
  const file = join(path, '00000001.log');
  for (let seq = 0; seq < 5; seq += 1) {
    await journal.append([entry('a', seq, { writer: 'writer', head: `head ${seq}`, body: [`body ${seq}`] })]);
    ends.push((await readFile(file)).length);
  }
  await journal.drop('b');
  const first = await readFile(file);
  await journal.close();
  return { path, first, ends };
}

it('S01: cuts a torn tail at whatever byte it was torn, and survives the next crash', async () => {
  const { first, ends } = await smallLog();
  for (let cut = 0; cut <= first.length; cut += 1) {
    const path = await directory();
    await writeFile(join(path, '00000001.log'), first.subarray(0, cut));
    const whole = ends.filter((end) => end <= cut).length;
    const journal = await open(path);
    expect((await seqs(journal, 'a')).length, `cut at ${cut}`).toBe(whole);
    await journal.append([entry('a', whole, { head: 'after' })]);
    const crashed = await directory();
    await copyAsCrashed(path, crashed);
    await journal.close();
    const again = await open(crashed);
    const read = await story(again, 'a');
    expect(read, `cut at ${cut}`).toHaveLength(whole + 1);
    expect(read.at(-1)).toBe(`a/${whole} by w: after | `);
    await again.close();
  }
});

it('S05: refuses whatever byte was changed, in the last segment and in an older one, and says where', async () => {
  const { path, first } = await smallLog();
  // Opened again: now the same bytes are an older, sealed segment.
  await (await open(path)).close();
  for (const isSealed of [false, true]) {
    for (let at = 0; at < first.length; at += 1) {
      const damaged = await directory();
      if (isSealed) await copyAsCrashed(path, damaged);
      const bytes = Buffer.from(first);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(join(damaged, '00000001.log'), bytes);
      const before = await readdir(damaged);
      const error: unknown = await open(damaged).catch((reason: unknown) => reason);
      expect(error, `byte ${at}`).toBeInstanceOf(JournalCorruptError);
      const { message, hint } = error as JournalCorruptError;
      expect(message).toContain(join(damaged, '00000001.log'));
      expect(message).toMatch(/at offset \d+/);
      expect(hint).toContain('restore the directory from a copy');
      // A refusal changes nothing.
      expect(await readdir(damaged)).toEqual(before);
      expect(await readFile(join(damaged, '00000001.log'))).toEqual(bytes);
    }
  }
});

it('S05: refuses a file that ends before what was confirmed, or is gone', async () => {
  const { path, first } = await smallLog();
  await (await open(path)).close();
  await writeFile(join(path, '00000001.log'), first.subarray(0, first.length - 1));
  await expect(open(path)).rejects.toThrow(/00000001\.log is damaged at offset \d+: \d+ bytes of it were confirmed/);
  await unlink(join(path, '00000001.log'));
  await expect(open(path)).rejects.toThrow(/00000001\.log is missing/);
});

it('tells apart what a lost sector and what a flipped bit did to a write of several records', async () => {
  const path = await directory();
  const journal = await open(path);
  const big = { writer: 'w', head: pattern(100, 1), body: [pattern(2000, 2)] };
  await journal.append([{ stream: 'before', seq: 0, ...big }]);
  // Two calls made together go with one write.
  await Promise.all(['x', 'y'].map((stream) => journal.append([{ stream, seq: 0, ...big }])));
  const file = await readFile(join(path, '00000001.log'));
  await journal.append([{ stream: 'later', seq: 0, ...big }]);
  const withLater = await readFile(join(path, '00000001.log'));
  const inX = file.indexOf(Buffer.from('xw')) + 600;
  const sector = Math.ceil(inX / 512) * 512;

  const opened = async (bytes: Buffer, damage: (bytes: Buffer) => void) => {
    const damaged = await directory();
    const copy = Buffer.from(bytes);
    damage(copy);
    await writeFile(join(damaged, '00000001.log'), copy);
    return open(damaged);
  };
  const loseSector = (bytes: Buffer): unknown => bytes.fill(0, sector, sector + 512);
  const flip = (bytes: Buffer): unknown => bytes.writeUInt8(bytes.readUInt8(inX) ^ 4, inX);

  // Power went while the write was under way: the sector never arrived, nothing of the write was confirmed.
  const cut = await opened(file, loseSector);
  expect([await seqs(cut, 'before'), await seqs(cut, 'x'), await seqs(cut, 'y')]).toEqual([[0], [], []]);
  await expect(opened(file, flip)).rejects.toThrow(/all of its bytes are there/);
  // A later write says that this one was confirmed.
  await expect(opened(withLater, loseSector)).rejects.toThrow(/a record that was written later is whole/);
  await expect(opened(withLater, flip)).rejects.toThrow(/a record that was written later is whole/);
});

it('S01, S05: a small write goes into zeros that lie ready; torn there it is cut, flipped there it is refused', async () => {
  const path = await directory();
  // By its clock this disk is quick, whatever the machine does meanwhile.
  const journal = await open(path, {}, { ...nodeDisk, nowMs: () => 0 });
  const file = join(path, '00000001.log');
  const append = (seq: number, bytes: number): Promise<void> =>
    journal.append([{ stream: 'a', seq, writer: 'w', head: Buffer.from('head'), body: [pattern(bytes, seq)] }]);
  // Until the disk has shown that it is quick; then with the record's begin at many places of a sector.
  let count = 0;
  while ((await readFile(file)).at(-1) !== 0) await append(count++, 1);
  const opened = async (bytes: Buffer): Promise<Journal> => {
    const damaged = await directory();
    await writeFile(join(damaged, '00000001.log'), bytes);
    return open(damaged);
  };
  for (let shift = 1; shift < 200; shift += 11) {
    await append(count++, shift);
    const before = await readFile(file);
    await append(count, 1200);
    const after = await readFile(file);
    const begin = before.findIndex((byte, at) => byte !== after[at]);
    const end = after.findLastIndex((byte, at) => byte !== before[at]) + 1;
    const sectors = [...new Set([begin, begin + 512, begin + 1024, end - 1].filter((at) => at < end).map((at) => at >>> 9))];
    for (let lost = 1; lost < 1 << sectors.length; lost++) {
      const torn = Buffer.from(after);
      for (const [index, sector] of sectors.entries())
        if ((lost >>> index) & 1) before.copy(torn, sector << 9, sector << 9, (sector + 1) << 9);
      expect(await seqs(await opened(torn), 'a'), `sectors ${lost} of a record at ${begin}`).toHaveLength(count);
    }
    for (let at = begin; at < end; at += 97) {
      const flipped = Buffer.from(after);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      await expect(opened(flipped), `byte ${at} of a record at ${begin}`).rejects.toBeInstanceOf(JournalCorruptError);
    }
    expect(await seqs(await opened(after), 'a')).toHaveLength(++count);
  }
});

it('takes a tail of zeros for a write that never arrived', async () => {
  for (const zeros of [1, 43, 44, 511, 512, 5000]) {
    const { path } = await smallLog();
    await changeFile(join(path, '00000001.log'), (bytes) => Buffer.concat([bytes, Buffer.alloc(zeros)]));
    const journal = await open(path);
    expect(await seqs(journal, 'a')).toEqual([0, 1, 2, 3, 4]);
  }
});

it('knows that a flipped bit beside a sector of zeros in the very last write looks like a lost sector', async () => {
  const path = await directory();
  const journal = await open(path);
  await journal.append([{ stream: 'a', seq: 0, writer: 'w', head: Buffer.from('head'), body: [Buffer.alloc(4096)] }]);
  const bytes = await readFile(join(path, '00000001.log'));
  const damaged = await directory();
  bytes[bytes.indexOf('head')] = 0x21;
  await writeFile(join(damaged, '00000001.log'), bytes);
  expect(await seqs(await open(damaged), 'a')).toEqual([]);
});

it('takes no record for its own that only lies in a payload', async () => {
  const { first } = await smallLog();
  const path = await directory();
  const journal = await open(path);
  await journal.append([{ stream: 'files', seq: 0, writer: 'w', head: Buffer.of(), body: [first, first] }]);
  const file = join(path, '00000001.log');
  const { length } = await readFile(file);
  // The tail is torn within the payload, behind whole records of another journal.
  const damaged = await directory();
  await writeFile(join(damaged, '00000001.log'), (await readFile(file)).subarray(0, length - 10));
  expect(await seqs(await open(damaged), 'files')).toEqual([]);
});

it('refuses damage that came while it was open, when it is read', async () => {
  const path = await directory();
  const journal = await open(path);
  await journal.append([entry('a', 0, { head: 'needle', body: ['haystack'] })]);
  const file = join(path, '00000001.log');
  await changeFile(file, (bytes) => bytes.fill('H', bytes.indexOf('haystack'), bytes.indexOf('haystack') + 1));
  expect(await seqs(journal, 'a')).toEqual([0]);
  await expect(all(journal, 'a')).rejects.toThrow(JournalCorruptError);
  await changeFile(file, (bytes) => bytes.fill('N', bytes.indexOf('needle'), bytes.indexOf('needle') + 1));
  await expect(seqs(journal, 'a')).rejects.toThrow(/is damaged at offset \d+: entry 0 of stream a/);
});

it('V03: refuses a journal of a newer format, and says which version it needs', async () => {
  const { path } = await smallLog();
  await changeFile(join(path, '00000001.log'), (bytes) => {
    bytes.writeUInt32LE(2, 8);
    bytes.write('3.1.4\0\0\0', 12, 'latin1');
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
    return bytes;
  });
  const error: unknown = await open(path).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ShoalError);
  expect(error).toMatchObject({ code: 'SH4007', hint: 'use shoal 3.1.4 or newer with this journal' });
});

it('leaves files alone that only look like its own', async () => {
  const path = await directory();
  await writeFile(join(path, '20250101.log'), 'GET /index.html 200\n'.repeat(100));
  await expect(open(path)).rejects.toThrow(/20250101\.log is no file of a journal/);
  expect(await readdir(path)).toEqual(['20250101.log']);
});

it('refuses a segment under the name of another', async () => {
  const { path, first } = await smallLog();
  await writeFile(join(path, '00000007.log'), first);
  await expect(open(path)).rejects.toThrow(/00000007\.log is segment 1 under another name/);
});
