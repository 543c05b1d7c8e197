/** FAULTS S01, S06 (as far as kill -9 goes), S13: real processes, killed and superseded. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { ShoalError } from '../../lib/errors.ts';
import { all, entry, expectConflict, seqs, text } from '../journal.suite.ts';
import { ConflictError, type Journal } from '../journal.ts';
import { nodeDisk } from './disk.ts';
import { encodeHeader, segmentFileName, segmentNumberOf } from './format.ts';
import { trial } from './trial.suite.ts';

const { directory, open } = trial();
const fixture = fileURLToPath(new URL('./crash.fixture.mjs', import.meta.url));
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

interface Writer {
  child: ChildProcess;
  lines: string[];
  /** Resolves when it has said so many lines; rejects if it ends before. */
  said(count: number): Promise<void>;
  /** Resolves when it is gone and all that it said has arrived. */
  ended: Promise<void>;
}

function startWriter(path: string, name: string, mode: 'wait' | 'take-over' = 'wait'): Writer {
  const child = spawn(process.execPath, [fixture, path, name, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines: string[] = [];
  const waiting: { count: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    lines.push(line);
    for (const one of waiting) if (lines.length >= one.count) one.resolve();
  });
  const ended = Promise.all([once(reader, 'close'), once(child, 'exit')]).then(() => {
    for (const one of waiting) one.reject(new Error(`${name} ended after ${lines.length} lines`));
  });
  const said = (count: number): Promise<void> =>
    lines.length >= count ? Promise.resolve() : new Promise((resolve, reject) => waiting.push({ count, resolve, reject }));
  return { child, lines, said, ended };
}

/** What the writers were told is stored, is; in order, by whom they said, unaltered. */
async function expectAllConfirmed(journal: Journal, writers: readonly { name: string; lines: readonly string[] }[]): Promise<void> {
  const confirmed = new Map<string, string>();
  const dropped: string[] = [];
  for (const { name, lines } of writers) {
    for (const line of lines) {
      const [stream = '', what = ''] = line.split(' ');
      if (what === 'dropped') dropped.push(stream);
      else if (/^\d+$/.test(what)) confirmed.set(`${stream} ${what}`, name);
    }
  }
  for (const stream of ['a', 'b']) {
    const entries = await all(journal, stream);
    for (const [index, read] of entries.entries()) {
      expect(read.seq).toBe(index);
      expect(text(read.head)).toBe(`${stream}#${index}`);
      expect(Buffer.concat(read.body).equals(Buffer.alloc((index * 37) % 3000, `${stream}/${index};`))).toBe(true);
      const name = confirmed.get(`${stream} ${index}`);
      if (name !== undefined) expect(read.writer).toBe(name);
    }
    const confirmedCount = [...confirmed.keys()].filter((key) => key.startsWith(`${stream} `)).length;
    expect(entries.length).toBeGreaterThanOrEqual(confirmedCount);
    for (const key of confirmed.keys()) if (key.startsWith(`${stream} `)) expect(Number(key.slice(2))).toBeLessThan(entries.length);
  }
  for (const stream of dropped) {
    expect(await seqs(journal, stream)).toEqual([]);
    await expectConflict(journal.append([entry(stream, 3)]), stream, 3);
  }
}

it('loses nothing that was confirmed, whenever it is killed', async () => {
  const path = await directory();
  const writers: { name: string; lines: string[] }[] = [];
  // So many lines, then kill -9; the numbers are fixed, where in an append the kill hits is not.
  for (const [round, count] of [1, 2, 7, 40, 23, 100, 5, 61, 180, 12].entries()) {
    const writer = startWriter(path, `writer-${round}`);
    writers.push({ name: `writer-${round}`, lines: writer.lines });
    await writer.said(count);
    writer.child.kill('SIGKILL');
    await writer.ended;
  }
  // The lock of the dead was taken over in silence each time, and is now.
  await expectAllConfirmed(await open(path), writers);
});

it('S13: of writers that take the journal from each other only the last goes on, and nothing confirmed is lost', async () => {
  const path = await directory();
  const writers: { name: string; lines: string[] }[] = [];
  let last: Writer | undefined;
  for (const [round, count] of [30, 4, 70, 1, 25, 50].entries()) {
    const writer = startWriter(path, `writer-${round}`, 'take-over');
    writers.push({ name: `writer-${round}`, lines: writer.lines });
    await writer.said(1);
    // It is open: the one before learns at its next append that it is over.
    await last?.ended;
    if (last !== undefined) expect(last.lines.at(-1)).toBe('ended SH4001');
    await writer.said(count);
    last = writer;
  }
  const journal = await open(path, { takeOver: true });
  await last?.ended;
  await expectAllConfirmed(journal, writers);
});

describe('one directory, two openers', () => {
  it('S13: refuses the second, and says who is there', async () => {
    const path = await directory();
    const journal = await open(path);
    const error: unknown = await open(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ShoalError);
    expect(error).toMatchObject({
      code: 'SH4006',
      message: `the journal in ${path} is in use by process ${process.pid}`,
      hint: `stop process ${process.pid} first, or give this one a journal directory of its own`,
    });
    await journal.append([entry('a', 0)]);
    await journal.close();
    expect(await readdir(path)).not.toContain('lock');
    expect(await seqs(await open(path), 'a')).toEqual([0]);
  });

  it('S13: refuses while another process lives, and not when it was killed', async () => {
    const path = await directory();
    const writer = startWriter(path, 'w');
    await writer.said(3);
    await expect(open(path)).rejects.toThrow(`is in use by process ${writer.child.pid}`);
    writer.child.kill('SIGKILL');
    await writer.ended;
    await expectAllConfirmed(await open(path), [{ name: 'w', lines: writer.lines }]);
  });

  it('refuses a lock of another machine, and says which file to remove', async () => {
    const path = await directory();
    await writeFile(join(path, 'lock'), JSON.stringify({ pid: 1, host: 'elsewhere', boot: 'b', started: '1', opening: '1' }));
    await expect(open(path)).rejects.toMatchObject({
      code: 'SH4006',
      message: expect.stringContaining('process 1 on elsewhere') as string,
      hint: expect.stringContaining(join(path, 'lock')) as string,
    });
  });

  it('S13: refuses a lock of another container of this host, says that it can’t see who has it, and which file to remove', async () => {
    const path = await directory();
    const journal = await open(path);
    const lock = join(path, 'lock');
    const mine = await readFile(lock, 'utf8');
    await journal.close();
    await writeFile(lock, JSON.stringify({ ...(JSON.parse(mine) as object), pids: 'pid:[1]' }));
    await expect(open(path)).rejects.toMatchObject({
      code: 'SH4006',
      message: expect.stringContaining(`process ${process.pid} of another container`) as string,
      why: expect.stringContaining('can’t be seen from here') as string,
      hint: expect.stringContaining(`remove ${lock}`) as string,
    });
  });

  it('takes over the lock of a pid that is used again, of an earlier boot, and one that is torn', async () => {
    const path = await directory();
    await (await open(path)).close();
    const lock = { pid: process.pid, host: hostname(), boot: 'an earlier one', started: '1', opening: '1' };
    for (const left of [JSON.stringify(lock), '', '{"pid":', 'null']) {
      await writeFile(join(path, 'lock'), left);
      const journal = await open(path);
      expect(JSON.parse(await readFile(join(path, 'lock'), 'utf8'))).toMatchObject({ pid: process.pid });
      await journal.close();
    }
    expect(await readdir(path)).not.toContain('lock');
  });

  it('H19: a writer that was superseded confirms nothing more, and what it wrote late is not seen', async () => {
    const path = await directory();
    const old = await open(path);
    await old.append([entry('a', 0, { writer: 'old', head: 'confirmed' })]);
    const next = await open(path, { takeOver: true });
    await expectConflict(old.append([entry('a', 1, { writer: 'old', head: 'late' })]), 'a', 1);
    await expectConflict(old.append([entry('b', 0, { writer: 'old' })]), 'b', 0);
    await expectConflict(old.drop('a'), 'a', 0);
    await next.append([entry('a', 1, { writer: 'next', head: 'barrier' })]);
    await old.close();
    // The old one's lock is not its own any more, and stays.
    await expect(open(path)).rejects.toMatchObject({ code: 'SH4006' });
    await next.close();
    const third = await open(path);
    expect((await all(third, 'a')).map(({ writer, head }) => `${writer}: ${text(head)}`)).toEqual(['old: confirmed', 'next: barrier']);
    expect(await seqs(third, 'b')).toEqual([]);
  });

  it('H19: an append that is under way when the journal is taken over is seen by the next, or not confirmed', async () => {
    for (let round = 0; round < 20; round += 1) {
      const path = await directory();
      const old = await open(path);
      const appends = Array.from({ length: round }, (_, seq) => old.append([entry('a', seq, { writer: 'old' })]).then(() => seq));
      const [next, ...outcomes] = await Promise.all([
        open(path, { takeOver: true }),
        ...appends.map((append) => append.catch((error: unknown) => error)),
      ]);
      const seen = await seqs(next, 'a');
      for (const outcome of outcomes) {
        if (typeof outcome === 'number') expect(seen).toContain(outcome);
        else expect(outcome).toBeInstanceOf(ConflictError);
      }
    }
  });

  it('S02, S13: half a write that finds no room while another opens the journal counts for nobody', async () => {
    const path = await directory();
    let next: Promise<Journal> | undefined;
    const old = await open(
      path,
      {},
      {
        ...nodeDisk,
        write: async (file, chunks, position) => {
          if (next !== undefined) return nodeDisk.write(file, chunks, position);
          const bytes = Buffer.concat(chunks);
          // Of two records of one length the first is there.
          await nodeDisk.write(file, [bytes.subarray(0, position === 0 ? bytes.length : bytes.length / 2)], position);
          if (position === 0) return undefined;
          await (next = open(path, { takeOver: true }));
          throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
        },
      },
    );
    const outcomes = await Promise.allSettled([
      old.append([entry('a', 0, { writer: 'old' })]),
      old.append([entry('b', 0, { writer: 'old' })]),
    ]);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'SH4001' } });
    const journal = await next!;
    expect([await seqs(journal, 'a'), await seqs(journal, 'b')]).toEqual([[], []]);
    await journal.append([entry('a', 0, { writer: 'next' })]);
    await journal.close();
    expect((await all(await open(path, { takeOver: true }), 'a')).map(({ writer }) => writer)).toEqual(['next']);
  });

  it('S13: what a writer finishes while an opener looks at it is no damage', async () => {
    const path = await directory();
    const journal = await open(path);
    await journal.append([entry('a', 0)]);
    await journal.append([entry('a', 1, { body: ['x'.repeat(2_000)] })]);
    const file = join(path, '00000001.log');
    const whole = await readFile(file);
    await journal.close();
    await writeFile(file, whole.fill(0, 1_024, 1_536));
    const finished = await readFile(file);
    finished.set(Buffer.from('x'.repeat(512)), 1_024);
    let looks = 0;
    const watching: typeof nodeDisk = {
      ...nodeDisk,
      open: async (name, mode) => {
        const handle = await nodeDisk.open(name, mode);
        const { stat } = handle;
        // Once for its header, and then for the damage.
        handle.stat = async () => {
          if (name === file && ++looks === 2) await writeFile(file, finished);
          return stat.call(handle);
        };
        return handle;
      },
    };
    expect(await seqs(await open(path, {}, watching), 'a')).toEqual([0, 1]);
    expect(looks).toBe(2);
  });

  it('S13: a header of which a few bytes are there, and the rest comes meanwhile, is nobody else’s file', async () => {
    const path = await directory();
    const file = join(path, '00000001.log');
    await (await open(path)).close();
    const header = await readFile(file);
    await writeFile(file, header.subarray(0, 3));
    let reads = 0;
    const watching: typeof nodeDisk = {
      ...nodeDisk,
      open: async (name, mode) => {
        const handle = await nodeDisk.open(name, mode);
        const read = handle.read.bind(handle);
        // Its beginning is read, whether there are records, and its beginning again.
        handle.read = async (...asked) => {
          const answer = await read(...asked);
          if (name === file && asked[3] === 0 && ++reads === 3) await writeFile(file, header);
          return answer;
        };
        return handle;
      },
    };
    const journal = await open(path, {}, watching);
    expect(reads).toBe(3);
    await journal.append([entry('a', 0)]);
    expect(await seqs(journal, 'a')).toEqual([0]);
  });

  it('S11, S13: a file that a writer of long ago has made under a number that was written off is not looked at', async () => {
    const path = await directory();
    const journal = await open(path, { segmentBytes: 2_000 });
    for (let seq = 0; seq < 4; seq += 1) await journal.append([entry('gone', seq, { body: ['x'.repeat(900)] })]);
    await journal.append([entry('kept', 0)]);
    await journal.drop('gone');
    await journal.reclaimed();
    const left = (await readdir(path)).flatMap((name) => segmentNumberOf(name) ?? []);
    const free = Array.from({ length: Math.max(...left) }, (_, at) => at + 1).filter((number) => !left.includes(number));
    expect(free.length).toBeGreaterThan(0);
    for (const number of free) await writeFile(join(path, segmentFileName(number)), encodeHeader({ number, salt: 1, seals: [] }));
    const next = await open(path, { takeOver: true });
    expect([await seqs(next, 'kept'), await seqs(next, 'gone')]).toEqual([[0], []]);
    expect((await readdir(path)).flatMap((name) => segmentNumberOf(name) ?? [])).not.toContain(free[0]);
  });

  it('of many openers at once at most one may append', async () => {
    for (let round = 0; round < 10; round += 1) {
      const path = await directory();
      const before = await open(path);
      await before.append([entry('a', 0, { writer: 'before' })]);
      const outcomes = await Promise.allSettled(
        Array.from({ length: 6 }, async (_, index) => {
          const journal = await open(path, { takeOver: true });
          await journal.append([entry('a', 1, { writer: `w${index}` })]);
          return `w${index}`;
        }),
      );
      const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      expect(winners.length).toBeLessThanOrEqual(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(['SH4001', 'SH4006']).toContain((outcome.reason as ShoalError).code);
      }
      const last = await open(path, { takeOver: true });
      const writers = (await all(last, 'a')).map(({ writer }) => writer);
      expect(writers[0]).toBe('before');
      for (const winner of winners) expect(writers[1]).toBe(winner);
      await last.append([entry('a', writers.length, { writer: 'last' })]);
    }
  });

  it('gives way when another opener has the next segment already', async () => {
    const path = await directory();
    const journal = await open(path, { segmentBytes: 500 });
    await (await nodeDisk.create(join(path, '00000002.log'))).close();
    await expectConflict(journal.append([entry('a', 0, { body: ['x'.repeat(600)] })]), 'a', 0);
    await expectConflict(journal.append([entry('b', 0)]), 'b', 0);
  });
});
