/**
 * What every journal on a server must do beyond `journal.suite.ts`: its server is killed, stopped, cut off, lost, raced for.
 *
 *   engineSuite('postgres', { open: openPostgresEngine, start: () => start(…), lineTo, refusesPassword: true });
 */
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { OpenEngine } from './engine.ts';
import { all, entry, expectConflict, pattern, seqs, story, text } from './journal.suite.ts';
import { ConflictError, type Entry, type Journal, OutcomeUnknownError } from './journal.ts';
import { type EngineJournalOptions, openEngineJournal } from './on-engine.ts';

interface Server {
  url: string;
  port: number;
  kill(): Promise<void>;
  restart(options?: { keepData?: boolean }): Promise<void>;
  pause(): Promise<void>;
  resume(): void;
}

/** A way to the server that can be hurt (test/cluster/proxy.ts). */
interface Line {
  port: number;
  cut(): void;
  silence(isSilent?: boolean, pieces?: number): void;
  refuse(isRefusing?: boolean): void;
  delay(ms: number): void;
  close(): Promise<void>;
}

export interface EngineUnderTest {
  open: OpenEngine;
  /** A server of its own, all durability that it has switched on. */
  start(): Promise<Server>;
  lineTo(port: number): Promise<Line>;
  /** Takes whoever dials with `password` for nobody it knows, if it asks for one at all. */
  refusesPassword: boolean;
  /** Of journals whose test says nothing of it, where a server needs long to come back. */
  deadlineMs?: number;
  /** Of the large body and head; 64 and 9 by default, which a slow server need not bear. */
  largeMebibytes?: { body: number; head: number };
  /** Of one long stream; 2 500 by default. */
  manyEntries?: number;
}

export function engineSuite(
  name: string,
  { open, start, lineTo, refusesPassword, deadlineMs, largeMebibytes: large = { body: 64, head: 9 }, manyEntries = 2_500 }: EngineUnderTest,
): void {
  describe(`journal ${name}, whose server`, () => {
    let server: Server;
    let proxy: Line;
    const journals: Journal[] = [];
    let clusters = 0;
    let cluster: string;
    beforeAll(async () => {
      server = await start();
      proxy = await lineTo(server.port);
    });
    afterEach(async () => {
      proxy.silence(false);
      proxy.refuse(false);
      proxy.delay(0);
      server.resume();
      await Promise.all(journals.splice(0).map((journal) => journal.close()));
      cluster = '';
    });
    afterAll(() => proxy?.close());

    /** Of the same store within a test. */
    async function opened(options: Partial<EngineJournalOptions> & { port?: number } = {}): Promise<Journal> {
      const { port = server.port, ...rest } = options;
      cluster ||= `c${++clusters}`;
      const url = new URL(server.url);
      url.port = String(port);
      const journal = await openEngineJournal(open, { url, cluster, ...(deadlineMs !== undefined && { deadlineMs }), ...rest });
      journals.push(journal);
      return journal;
    }

    /** Until it is known, as a coordinator does it. */
    async function appendUntilKnown(journal: Journal, entries: readonly Entry[]): Promise<void> {
      for (;;) {
        const error = await journal.append(entries).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) return;
        if (!(error instanceof OutcomeUnknownError)) throw error;
      }
    }

    it('is killed between appends: whatever was confirmed is there when it comes back (S06)', async () => {
      const journal = await opened();
      let confirmed = 0;
      const appending = (async () => {
        for (let seq = 0; seq < 100_000; seq++) {
          await journal.append([entry('a', seq, { head: `h${seq}`, body: [`b${seq}`] })]);
          confirmed++;
        }
      })().catch((reason: unknown) => reason);
      while (confirmed < 40) await new Promise(setImmediate);
      await server.kill();
      await server.restart();
      await appendUntilKnown(journal, [entry('marker', 0)]);
      await journal.close();
      await appending;
      const found = await story(await opened(), 'a');
      expect(found.length).toBeGreaterThanOrEqual(confirmed);
      expect(found).toEqual(found.map((_, seq) => `a/${seq} by w: h${seq} | b${seq}`));
    });

    it('stands still (SIGSTOP): calls end by their deadline as unknown, the same bytes again are one entry (S03, S10)', async () => {
      const journal = await opened({ deadlineMs: 300 });
      await appendUntilKnown(journal, [entry('a', 0)]);
      await server.pause();
      await expect(journal.append([entry('a', 1, { head: 'once' })])).rejects.toThrow(OutcomeUnknownError);
      await expect(seqs(journal, 'a')).rejects.toMatchObject({ code: 'SH4010' });
      await expect(journal.drop('other')).rejects.toMatchObject({ code: 'SH4010' });
      server.resume();
      await appendUntilKnown(journal, [entry('a', 1, { head: 'once' })]);
      expect(await story(await opened(), 'a')).toEqual(['a/0 by w:  | ', 'a/1 by w: once | ']);
    });

    it('is down for a while: appends are unknown, reads wait for it (S09)', async () => {
      const journal = await opened({ deadlineMs: 300 });
      const reader = await opened();
      await appendUntilKnown(journal, [entry('a', 0)]);
      await server.kill();
      await expect(journal.append([entry('a', 1)])).rejects.toThrow(OutcomeUnknownError);
      const reading = seqs(reader, 'a');
      await server.restart();
      expect(await reading).toContain(0);
      await appendUntilKnown(journal, [entry('a', 1)]);
    });

    it('is cut off in the midst of appends: none is lost, none is twice, in order (S03)', async () => {
      const journal = await opened({ port: proxy.port });
      let appended = 0;
      let isOver = false;
      let cuts = 0;
      const cutting = (async () => {
        // The next cut comes when an append has gone through, however long that takes here.
        for (let cutAt = -1; !isOver; ) {
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
          if (appended <= cutAt) continue;
          cutAt = appended;
          cuts++;
          proxy.cut();
        }
      })();
      for (; appended < 60 && cuts < 20; appended++) {
        await appendUntilKnown(journal, [
          entry('a', appended, { head: `${appended}` }),
          entry(`b${appended}`, 0, { body: [`${appended}`] }),
        ]);
      }
      isOver = true;
      await cutting;
      expect(cuts).toBeGreaterThan(0);
      const other = await opened();
      const found = (await all(other, 'a')).map(({ head }) => text(head));
      expect(found).toEqual(Array.from({ length: appended }, (_, seq) => `${seq}`));
      for (const seq of [0, 7, appended - 1]) expect(await story(other, `b${seq}`)).toEqual([`b${seq}/0 by w:  | ${seq}`]);
    });

    it('swallows an append and its answer: unknown, and success once the line is new (S03)', async () => {
      const journal = await opened({ port: proxy.port, deadlineMs: 500 });
      await appendUntilKnown(journal, [entry('a', 0)]);
      proxy.silence();
      await expect(journal.append([entry('a', 1)])).rejects.toThrow(OutcomeUnknownError);
      proxy.silence(false);
      await appendUntilKnown(journal, [entry('a', 1)]);
      expect(await seqs(journal, 'a')).toEqual([0, 1]);
    });

    it('answers late: slower, and nothing else', async () => {
      const journal = await opened({ port: proxy.port });
      proxy.delay(50);
      await Promise.all(Array.from({ length: 5 }, (_, index) => journal.append([entry(`s${index}`, 0, { body: ['x'] })])));
      expect(await story(journal, 's3')).toEqual(['s3/0 by w:  | x']);
      expect((await journal.readBodies('s4', [{ seq: 0, offset: 0, length: 1 }])).map(text)).toEqual(['x']);
    });

    it('has two writers, each with its own connection: exactly one wins every seq (C01, C12, S12)', async () => {
      const [x, y] = [await opened(), await opened()];
      for (let seq = 0; seq < 25; seq++) {
        const outcomes = await Promise.allSettled([
          x.append([entry('a', seq, { writer: 'x', head: 'x' }), entry(`x${seq}`, 0)]),
          y.append([entry('a', seq, { writer: 'y', head: 'y' }), entry(`y${seq}`, 0)]),
        ]);
        const winners = ['x', 'y'].filter((_, index) => outcomes[index]!.status === 'fulfilled');
        expect(winners).toHaveLength(1);
        expect((await all(x, 'a', { from: seq })).map(({ writer, head }) => [writer, text(head)])).toEqual([[winners[0], winners[0]]]);
        const lost = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
        expect(lost.reason).toBeInstanceOf(ConflictError);
      }
    });

    it('is told to drop a stream while another appends to it: it stays closed, and nothing of it is left (C06)', async () => {
      const [writer, cleaner] = [await opened(), await opened()];
      for (let round = 0; round < 3; round++) {
        const stream = `s${round}`;
        let appended = 0;
        const writing = (async () => {
          for (let seq = 0; ; seq++) {
            await writer.append([entry(stream, seq, { body: ['x'.repeat(1000)] })]);
            appended++;
          }
        })().catch((reason: unknown) => reason);
        while (appended < 5 * round) await new Promise(setImmediate);
        await cleaner.drop(stream);
        expect(await writing).toBeInstanceOf(ConflictError);
        expect(await seqs(cleaner, stream)).toEqual([]);
        await expectConflict(cleaner.append([entry(stream, appended, { writer: 'another' })]), stream, appended);
        await expectConflict(writer.append([entry(stream, 0)]), stream, 0);
      }
    });

    it('has lost what it confirmed: the next append finds that out, and stores nothing on top (S07)', async () => {
      const journal = await opened();
      await journal.append([entry('a', 0), entry('b', 0)]);
      await journal.append([entry('a', 1)]);
      await server.restart({ keepData: false });
      const error = await journal.append([entry('a', 2), entry('c', 0)]).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'SH4011' });
      expect((error as Error).message).toContain('entry 1 of stream a');
      await expect(journal.append([entry('a', 2)])).rejects.toMatchObject({ code: 'SH4011' });
      const next = await opened();
      expect(await seqs(next, 'a')).toEqual([]);
      await expect(next.append([entry('a', 0, { writer: 'next' })])).resolves.toBeUndefined();
    });

    it('keeps thousands of entries, and gives them in pages', async () => {
      const journal = await opened();
      const count = manyEntries;
      for (let from = 0; from < count; from += 250) {
        await Promise.all(
          Array.from({ length: 250 }, (_, index) => appendUntilKnown(journal, [entry('a', from + index, { body: [`${from + index}`] })])),
        );
      }
      for (const part of ['head', 'all'] as const) {
        const sizes: number[] = [];
        let next = 0;
        for await (const some of journal.read('a', { from: 0, part })) {
          sizes.push(some.length);
          for (const { seq, body } of some) {
            expect(seq).toBe(next++);
            if (part === 'all') expect(text(Buffer.concat(body))).toBe(`${seq}`);
          }
        }
        expect(next).toBe(count);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
      }
      await journal.drop('a');
      expect(await seqs(journal, 'a')).toEqual([]);
    });

    it(`keeps a body of ${large.body} MiB and a head of ${large.head} MiB, and gives slices of them`, async () => {
      const journal = await opened();
      const [body, head] = [pattern(large.body * 2 ** 20, 5), pattern(large.head * 2 ** 20, 6)];
      const cut = Math.floor(body.length / 3);
      await appendUntilKnown(journal, [
        { stream: 'a', seq: 0, writer: 'w', head, body: [body.subarray(0, 1_000), body.subarray(1_000, cut), body.subarray(cut)] },
      ]);
      await appendUntilKnown(journal, [entry('a', 1, { body: ['small'] })]);
      const other = await opened();
      const [whole, small] = await all(other, 'a');
      expect(Buffer.compare(whole!.head, head)).toBe(0);
      expect(Buffer.compare(Buffer.concat(whole!.body), body)).toBe(0);
      expect(text(Buffer.concat(small!.body))).toBe('small');
      // Across what may be the edges of pieces, too.
      const edges = [0, 2 ** 19, 2 ** 20, 2 ** 22, 2 ** 23, cut].map((edge) => ({ seq: 0, offset: Math.max(0, edge - 8), length: 16 }));
      const asked = [...edges, { seq: 0, offset: body.length - 10, length: 10 }, { seq: 0, offset: cut, length: cut }];
      const slices = asked.filter(({ offset, length }) => offset + length <= body.length);
      const read = await other.readBodies('a', slices);
      for (const [index, { offset, length }] of slices.entries()) {
        expect(Buffer.compare(read[index]!, body.subarray(offset, offset + length))).toBe(0);
      }
      await other.drop('a');
      expect(await seqs(other, 'a')).toEqual([]);
    });

    it('is given names that want to be something else, and takes them for names', async () => {
      const journal = await opened();
      const names = [
        `'; DROP TABLE journal_entries; --`,
        '"quoted"."name"',
        '{tag}:{other}',
        '*',
        '..%00/\\x00',
        '\u0000',
        '$1',
        'a',
        'a:0',
        'a\n',
        'é',
        'e\u0301',
        '💥'.repeat(16_000),
        '__proto__',
      ];
      await appendUntilKnown(
        journal,
        names.map((stream, index) => entry(stream, 0, { writer: `w${stream.slice(0, 100)}`, head: `${index}`, body: [`${index}`] })),
      );
      const other = await opened();
      for (const [index, stream] of names.entries()) {
        const [read, ...more] = await all(other, stream);
        expect(read).toMatchObject({ stream, writer: `w${stream.slice(0, 100)}` });
        expect(more).toEqual([]);
        expect(text(read!.head)).toBe(`${index}`);
      }
      await other.drop('*');
      expect(await seqs(other, 'a')).toEqual([0]);
    });

    it('stands still while it is opened: it is given up by its deadline, wherever that was (S10)', async () => {
      let stopped = 0;
      for (const pieces of [1, 2, 3, 4, 5, 6, 7, 8]) {
        proxy.silence(true, pieces);
        const journal = await opened({ port: proxy.port, openMs: 300, deadlineMs: 300 }).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'SH4010' });
          stopped++;
        });
        if (journal) break;
        proxy.silence(false);
      }
      expect(stopped).toBeGreaterThan(0);
    });

    it('is not there, or refuses us: an error that names no password', async () => {
      const nobody = new URL(server.url);
      nobody.username = 'nobody';
      nobody.password = 'of-nobody';
      nobody.port = String(proxy.port);
      proxy.refuse();
      const errors = [await openEngineJournal(open, { url: nobody, cluster: 'x' }).catch((reason: unknown) => reason)];
      expect(errors[0]).toMatchObject({ code: 'SH4010' });
      proxy.refuse(false);
      if (refusesPassword) {
        errors.push(await openEngineJournal(open, { url: nobody, cluster: 'x' }).catch((reason: unknown) => reason));
        expect(errors[1]).toMatchObject({ code: 'SH4013' });
      }
      for (const error of errors) expect(inspect(error, { depth: 9 })).not.toContain('of-nobody');
    });
  });
}
