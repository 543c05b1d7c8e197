/**
 * What every journal must do. An adapter's test hands in how to start a store and gets all of this:
 *
 *   journalSuite('file', async () => ({ open: () => openFileJournal(dir), persistent: true, stop: () => rm(dir) }));
 *
 * The suite only speaks the port's words; what is special to a store (torn tails, full disks) is tested beside it.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ShoalError } from '../lib/errors.ts';
import { type BodySlice, ConflictError, type Entry, type Journal, JournalCorruptError } from './journal.ts';

/** One empty store. */
export interface JournalStore {
  /** Opens the store; called again only after the journal that it gave was closed. */
  open(): Promise<Journal>;
  /** Whether what was appended is there when the store is opened again. */
  readonly persistent: boolean;
  /** How many streams are written by one append; default 300. */
  readonly manyStreams?: number;
  /** Removes the store and all that it used. */
  stop(): Promise<void>;
}

export function journalSuite(name: string, start: () => Promise<JournalStore>): void {
  describe(`journal ${name}`, () => {
    let store: JournalStore;
    let journal: Journal;

    beforeEach(async () => {
      store = await start();
      journal = await store.open();
    });
    afterEach(async () => {
      await journal.close();
      await store.stop();
    });

    /** The same store by another opening, or the same journal where a store does not outlive its opening. */
    async function reopened(): Promise<Journal> {
      if (!store.persistent) return journal;
      await journal.close();
      journal = await store.open();
      return journal;
    }

    describe('append and read', () => {
      it('gives back what was appended, in order, now and after opening again', async () => {
        for (let seq = 0; seq < 5; seq += 1) await journal.append([entry('a', seq, { head: `h${seq}`, body: [`b${seq}`, '+', 'x'] })]);
        const expected = [0, 1, 2, 3, 4].map((seq) => `a/${seq} by w: h${seq} | b${seq}+x`);
        expect(await story(journal, 'a')).toEqual(expected);
        expect(await story(await reopened(), 'a')).toEqual(expected);
      });

      it('knows nothing of a stream that nobody wrote', async () => {
        expect(await story(journal, 'nobody')).toEqual([]);
      });

      it('reads a part of a stream', async () => {
        for (let seq = 0; seq < 10; seq += 1) await journal.append([entry('a', seq)]);
        expect(await seqs(journal, 'a', { from: 3, to: 6 })).toEqual([3, 4, 5]);
        expect(await seqs(journal, 'a', { from: 8 })).toEqual([8, 9]);
        expect(await seqs(journal, 'a', { from: 8, to: 100 })).toEqual([8, 9]);
        expect(await seqs(journal, 'a', { from: 10 })).toEqual([]);
        expect(await seqs(journal, 'a', { from: 4, to: 4 })).toEqual([]);
        expect(await seqs(journal, 'a', { from: 500 })).toEqual([]);
      });

      it('leaves bodies out when only heads are asked for', async () => {
        await journal.append([entry('a', 0, { head: 'head', body: ['payload'] })]);
        const [read] = await all(journal, 'a', { from: 0, part: 'head' });
        expect(text(read?.head)).toBe('head');
        expect(read?.body).toEqual([]);
      });

      it('keeps streams apart that are written by one append', async () => {
        const streams = Array.from({ length: store.manyStreams ?? 300 }, (_, index) => `stream-${index}`);
        for (let seq = 0; seq < 3; seq += 1) {
          await journal.append(streams.map((stream) => entry(stream, seq, { head: `${stream}#${seq}` })));
        }
        const again = await reopened();
        for (const stream of streams) {
          expect((await all(again, stream)).map(({ head }) => text(head))).toEqual([0, 1, 2].map((seq) => `${stream}#${seq}`));
        }
      });

      it('takes nothing for something', async () => {
        await journal.append([]);
        await journal.append([entry('a', 0, { head: '', body: [] })]);
        await journal.append([entry('a', 1, { head: '', body: ['', ''] })]);
        expect(await story(await reopened(), 'a')).toEqual(['a/0 by w:  | ', 'a/1 by w:  | ']);
      });

      it('takes names in any script', async () => {
        const stream = 'job/größe-鯨群-🐟/\u0000 \n';
        await journal.append([entry(stream, 0, { writer: 'schreiber-ø-🦀', head: 'h' })]);
        await journal.append([entry(`${stream}2`, 0, { writer: 'w', head: 'other' })]);
        const again = await reopened();
        expect(await all(again, stream)).toMatchObject([{ stream, writer: 'schreiber-ø-🦀', seq: 0 }]);
        expect(await seqs(again, 'job/größe')).toEqual([]);
      });

      it('keeps an entry of a megabyte in many chunks, byte for byte', async () => {
        const chunks = Array.from({ length: 64 }, (_, index) => pattern(16 * 1024 + index, index));
        await journal.append([{ stream: 'a', seq: 0, writer: 'w', head: pattern(100_000, 7), body: chunks }]);
        const [read] = await all(await reopened(), 'a');
        expect(Buffer.compare(read?.head ?? Buffer.of(), pattern(100_000, 7))).toBe(0);
        expect(Buffer.compare(Buffer.concat(read?.body ?? []), Buffer.concat(chunks))).toBe(0);
      });

      it('keeps streams apart that are appended to at the same time', async () => {
        const streams = Array.from({ length: 20 }, (_, index) => `s${index}`);
        await Promise.all(
          streams.map(async (stream) => {
            for (let seq = 0; seq < 20; seq += 1) await journal.append([entry(stream, seq, { body: [`${stream}:${seq}`] })]);
          }),
        );
        const again = await reopened();
        for (const stream of streams) {
          const bodies = (await all(again, stream)).map(({ body }) => text(Buffer.concat(body)));
          expect(bodies).toEqual(Array.from({ length: 20 }, (_, seq) => `${stream}:${seq}`));
        }
      });

      it('stores a row of appends that were all made at once', async () => {
        await Promise.all(Array.from({ length: 200 }, (_, seq) => journal.append([entry('a', seq)])));
        expect(await seqs(await reopened(), 'a')).toEqual(Array.from({ length: 200 }, (_, seq) => seq));
      });
    });

    describe('put-if-absent', () => {
      it('refuses what another writer has taken, and keeps the first', async () => {
        await journal.append([entry('a', 0, { writer: 'first', head: 'kept' })]);
        await expectConflict(journal.append([entry('a', 0, { writer: 'second', head: 'lost' })]), 'a', 0);
        expect(await story(await reopened(), 'a')).toEqual(['a/0 by first: kept | ']);
        await expectConflict(journal.append([entry('a', 0, { writer: 'second' })]), 'a', 0);
      });

      it('takes the same entry of the same writer for done', async () => {
        const same = entry('a', 0, { head: 'once', body: ['b'] });
        await journal.append([same]);
        await journal.append([same]);
        await journal.append([entry('a', 1)]);
        const again = await reopened();
        await again.append([same]);
        expect(await story(again, 'a')).toEqual(['a/0 by w: once | b', 'a/1 by w:  | ']);
      });

      it('takes the same entry of the same writer for done while the first try is under way', async () => {
        const same = entry('a', 0, { head: 'once' });
        await Promise.all([journal.append([same]), journal.append([same])]);
        expect(await story(await reopened(), 'a')).toEqual(['a/0 by w: once | ']);
      });

      it('lets one of two writers win who come at the same time', async () => {
        for (let seq = 0; seq < 10; seq += 1) {
          const outcomes = await Promise.allSettled(
            ['x', 'y'].map((writer) => journal.append([entry('a', seq, { writer, head: writer })])),
          );
          expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
          const winner = outcomes[0]?.status === 'fulfilled' ? 'x' : 'y';
          expect((await all(journal, 'a', { from: seq })).map(({ writer }) => writer)).toEqual([winner]);
        }
      });

      it('conflicts as a whole when one of several entries does, and alters none that are stored', async () => {
        await journal.append([entry('b', 0, { writer: 'other', head: 'kept' })]);
        await expectConflict(journal.append([entry('a', 0), entry('b', 0), entry('c', 0)]), 'b', 0);
        expect(await story(journal, 'b')).toEqual(['b/0 by other: kept | ']);
        // The others may be stored or not: in either case the same writer may say them again.
        await journal.append([entry('a', 0), entry('c', 0)]);
        expect(await seqs(journal, 'a')).toEqual([0]);
        expect(await seqs(journal, 'c')).toEqual([0]);
      });

      it('stores past a hole, and stops readers there until it is filled', async () => {
        await journal.append([entry('a', 0)]);
        await journal.append([entry('a', 2)]);
        await journal.append([entry('a', 3)]);
        expect(await seqs(journal, 'a')).toEqual([0]);
        await expectConflict(journal.append([entry('a', 2, { writer: 'other' })]), 'a', 2);
        const again = await reopened();
        expect(await seqs(again, 'a')).toEqual([0]);
        await again.append([entry('a', 1)]);
        expect(await seqs(again, 'a')).toEqual([0, 1, 2, 3]);
        expect(await seqs(await reopened(), 'a')).toEqual([0, 1, 2, 3]);
      });

      it('takes a very great seq', async () => {
        const seq = Number.MAX_SAFE_INTEGER;
        await journal.append([entry('a', seq)]);
        await expectConflict(journal.append([entry('a', seq, { writer: 'other' })]), 'a', seq);
        const again = await reopened();
        await expectConflict(again.append([entry('a', seq, { writer: 'other' })]), 'a', seq);
        await again.append([entry('a', seq)]);
        expect(await seqs(again, 'a')).toEqual([]);
      });

      it('refuses what breaks the contract, and stores none of it', async () => {
        const wrong: (readonly Entry[])[] = [
          [entry('a', -1)],
          [entry('a', 0.5)],
          [entry('a', Number.NaN)],
          [entry('', 0)],
          [entry('a', 0, { writer: '' })],
          [entry('a', 0), entry('a', 1)],
        ];
        for (const entries of wrong) await expect(journal.append(entries)).rejects.toMatchObject({ code: 'SH4008' });
        expect(await seqs(journal, 'a')).toEqual([]);
      });

      it('refuses an entry above its limit', async () => {
        const half = new Uint8Array(journal.maxEntryBytes / 2);
        const tooBig = { stream: 'a', seq: 0, writer: 'w', head: half, body: [half, new Uint8Array(1)] };
        await expect(journal.append([tooBig])).rejects.toMatchObject({ code: 'SH4008' });
      });
    });

    describe('bodies by slices', () => {
      beforeEach(async () => {
        await journal.append([entry('a', 0, { head: 'x', body: ['hello', ' ', 'world'] })]);
        await journal.append([entry('b', 0, { body: ['another stream'] })]);
        await journal.append([entry('a', 1, { head: 'yy', body: [] })]);
        await journal.append([entry('a', 2, { head: '', body: ['0123456789'] })]);
      });

      it('gives each slice in the order asked, within a chunk and across chunks', async () => {
        const asked: BodySlice[] = [
          { seq: 2, offset: 3, length: 2 },
          { seq: 0, offset: 0, length: 5 },
          { seq: 0, offset: 3, length: 5 },
          { seq: 0, offset: 0, length: 11 },
          { seq: 0, offset: 6, length: 5 },
          { seq: 0, offset: 1, length: 1 },
          { seq: 2, offset: 0, length: 10 },
          { seq: 0, offset: 11, length: 0 },
          { seq: 1, offset: 0, length: 0 },
          { seq: 0, offset: 5, length: 1 },
        ];
        const expected = ['34', 'hello', 'lo wo', 'hello world', 'world', 'e', '0123456789', '', '', ' '];
        expect((await journal.readBodies('a', asked)).map(text)).toEqual(expected);
        expect((await (await reopened()).readBodies('a', asked)).map(text)).toEqual(expected);
      });

      it('gives many neighbours', async () => {
        const count = 20_000;
        const lengths = Array.from({ length: count }, (_, index) => index % 7);
        const bytes = pattern(
          lengths.reduce((sum, length) => sum + length, 0),
          3,
        );
        const cuts = [0, 1, 5000, 5001, 30_000, bytes.length];
        await journal.append([
          {
            stream: 'many',
            seq: 0,
            writer: 'w',
            head: bytes.subarray(0, 9),
            body: cuts.slice(1).map((end, at) => bytes.subarray(cuts[at], end)),
          },
        ]);
        let offset = 0;
        const slices = lengths.map((length) => {
          offset += length;
          return { seq: 0, offset: offset - length, length };
        });
        const read = await (await reopened()).readBodies('many', slices);
        expect(read).toHaveLength(count);
        expect(Buffer.compare(Buffer.concat(read), bytes)).toBe(0);
        expect(read.map(({ length }) => length)).toEqual(lengths);
      });

      it('refuses to make up what is not there', async () => {
        const wrong: [string, BodySlice][] = [
          ['a', { seq: 0, offset: 8, length: 4 }],
          ['a', { seq: 0, offset: 12, length: 0 }],
          ['a', { seq: 0, offset: -1, length: 2 }],
          ['a', { seq: 1, offset: 0, length: 1 }],
          ['a', { seq: 9, offset: 0, length: 0 }],
          ['nobody', { seq: 0, offset: 0, length: 1 }],
        ];
        for (const [stream, slice] of wrong) await expect(journal.readBodies(stream, [slice])).rejects.toThrow(JournalCorruptError);
        expect(await journal.readBodies('nobody', [])).toEqual([]);
      });
    });

    describe('drop', () => {
      it('closes a stream for ever, and no other', async () => {
        await journal.append([entry('a', 0), entry('b', 0)]);
        await journal.append([entry('a', 1)]);
        await journal.drop('a');
        for (let round = 0; round < 2; round += 1) {
          expect(await seqs(journal, 'a')).toEqual([]);
          expect(await seqs(journal, 'b')).toEqual([0]);
          await expectConflict(journal.append([entry('a', 2)]), 'a', 2);
          await expectConflict(journal.append([entry('a', 0)]), 'a', 0);
          await expect(journal.readBodies('a', [{ seq: 0, offset: 0, length: 0 }])).rejects.toThrow(JournalCorruptError);
          await reopened();
        }
      });

      it('may be said twice, and of a stream that never was', async () => {
        await journal.append([entry('a', 0)]);
        await Promise.all([journal.drop('a'), journal.drop('a'), journal.drop('never')]);
        const again = await reopened();
        await again.drop('a');
        await expectConflict(again.append([entry('never', 0)]), 'never', 0);
      });

      it('takes what was appended before it', async () => {
        const appended = journal.append([entry('a', 0)]);
        const dropped = journal.drop('a');
        await Promise.allSettled([appended, dropped]);
        expect(await seqs(await reopened(), 'a')).toEqual([]);
      });
    });

    describe('after close', () => {
      it('refuses every call with SH4005, and closing twice is closing once', async () => {
        await journal.append([entry('a', 0)]);
        await journal.close();
        await journal.close();
        const calls: (() => Promise<unknown>)[] = [
          () => journal.append([entry('a', 1)]),
          () => seqs(journal, 'a'),
          () => journal.readBodies('a', [{ seq: 0, offset: 0, length: 0 }]),
          () => journal.drop('a'),
        ];
        for (const call of calls) {
          const error = await call().then(
            () => undefined,
            (reason: unknown) => reason,
          );
          expect(error).toBeInstanceOf(ShoalError);
          expect(error).toMatchObject({ code: 'SH4005' });
        }
      });

      it('has done what was begun before', async () => {
        const appended = Array.from({ length: 10 }, (_, seq) => journal.append([entry('a', seq)]));
        const closed = journal.close();
        await Promise.all(appended);
        await closed;
        if (!store.persistent) return;
        journal = await store.open();
        expect(await seqs(journal, 'a')).toHaveLength(10);
      });
    });
  });
}

export interface EntryText {
  writer?: string;
  head?: string;
  body?: readonly string[];
}

export function entry(stream: string, seq: number, { writer = 'w', head = '', body = [] }: EntryText = {}): Entry {
  return { stream, seq, writer, head: Buffer.from(head), body: body.map((chunk) => Buffer.from(chunk)) };
}

/** Bytes that no shift or swap leaves alike. */
export function pattern(bytes: number, seed: number): Buffer {
  const out = Buffer.allocUnsafe(bytes);
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let at = 0; at < bytes; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}

export function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('utf8');
}

export async function all(
  journal: Journal,
  stream: string,
  range: { from: number; to?: number; part?: 'head' | 'all' } = { from: 0 },
): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const some of journal.read(stream, { part: 'all', ...range })) entries.push(...some);
  return entries;
}

/** The seqs that a reader sees, heads only. */
export async function seqs(journal: Journal, stream: string, range: { from: number; to?: number } = { from: 0 }): Promise<number[]> {
  return (await all(journal, stream, { ...range, part: 'head' })).map(({ seq }) => seq);
}

/** A stream in one line an entry. */
export async function story(journal: Journal, stream: string): Promise<string[]> {
  return (await all(journal, stream)).map(
    (read) => `${read.stream}/${read.seq} by ${read.writer}: ${text(read.head)} | ${text(Buffer.concat(read.body))}`,
  );
}

export async function expectConflict(append: Promise<void>, stream: string, seq: number): Promise<void> {
  const error = await append.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConflictError);
  expect(error).toMatchObject({ code: 'SH4001', stream, seq });
}
