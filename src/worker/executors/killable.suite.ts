/** What only executors do that can end their slot by force: whatever a task does to its thread costs that attempt, never a neighbour. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Make, range, SlotDouble } from './slot-double.suite.ts';
import { untilGone } from './stopping.suite.ts';

export function killableSuite(kind: string, make: Make): void {
  describe(`${kind} executor`, () => {
    let slot: SlotDouble;
    beforeEach(() => {
      slot = new SlotDouble(make);
    });
    afterEach(() => slot.close());

    /** The slot is as good as new. */
    const works = async () => expect([...(await slot.whole('double', [4])).values.values()]).toEqual([8]);

    describe('what a task does to its thread', () => {
      test('a task that spins is ended at its time-out, its neighbours go back uncharged (W07)', async () => {
        const next = slot.run('spin', [1, 'spin', 3, 4], { timeoutMs: 100 });
        const after = slot.run('double', [1]);
        await slot.until(() => next.told.isFinished && after.told.isFinished);
        expect(next.told.failed.get(1)).toMatchObject({ verdict: 'retry', error: { code: 'SH2002', name: 'TimeoutError' } });
        expect([...next.told.failed.keys()]).toEqual([1]);
        expect(next.told.crashed.size).toBe(0);
        expect([...next.told.released.keys()]).toEqual(expect.arrayContaining([2, 3]));
        expect(slot.replaced).toEqual(['a task of spin holds its thread and does not answer']);
        await works();
      });

      test('one that spins among others that wait (W07, W09)', async () => {
        const told = await slot.whole('spin', [1, 'spin', 3], { timeoutMs: 100, concurrency: 3 });
        expect([...told.failed.keys()]).toEqual([1]);
        expect(told.crashed.size).toBe(0);
        await works();
      });

      test('one that spins beside another work (W07, W09)', async () => {
        const beside = slot.run('attentive', ['wait'], { concurrency: 2 });
        await slot.until(() => slot.notes.length === 1);
        const told = await slot.whole('spin', ['spin'], { timeoutMs: 100, concurrency: 2 });
        await slot.until(() => beside.told.isFinished);
        expect([...told.failed.keys()]).toEqual([0]);
        expect([...beside.told.released.keys()]).toEqual([0]);
        await works();
      });

      test('a task that spins is ended after the grace when it is aborted', async () => {
        await slot.close();
        slot = new SlotDouble(make, { graceMs: 100 });
        const { work, told } = slot.run('spin and tell', ['spin', 'ok']);
        await slot.until(() => slot.notes.length === 1);
        slot.executor.abort(work, range(0, 1), 'not needed');
        await slot.until(() => told.isFinished);
        expect(told.released.get(0)).toBe('aborted');
        expect(told.crashed.size + told.failed.size).toBe(0);
        await works();
      });

      test.each([
        ['exit', 'exit', 0],
        ['exit', 'exit by import', 7],
        ['exit in a while', 'exit', 3],
      ])('%s, %s: exit code %i is never a success (W14)', async (name, input, code) => {
        const told = await slot.whole(name, ['a', 'b', input, 'd']);
        expect(told.summary).toEqual({
          values: [
            [0, 'a'],
            [1, 'b'],
          ],
          failed: [],
          crashed: [[2, 'exit']],
          released: [[3, expect.stringContaining('exit')]],
        });
        expect(told.crashed.get(2)?.error.message).toBe(`the task called process.exit(${code})`);
        expect(slot.replaced).toHaveLength(1);
        await works();
      });

      test('who of several lanes called process.exit is known (W14)', async () => {
        const told = await slot.whole('exit in a while', ['exit', ...Array.from({ length: 5 }, () => 'ok')], { concurrency: 6 });
        expect([...told.crashed.keys()]).toEqual([0]);
      });

      test('who of several works side by side called process.exit is known (W14)', async () => {
        const beside = slot.run('attentive', ['wait'], { concurrency: 2 });
        await slot.until(() => slot.notes.length === 1);
        const told = await slot.whole('exit in a while', ['exit'], { concurrency: 2 });
        await slot.until(() => beside.told.isFinished);
        expect(told.summary).toMatchObject({ crashed: [[0, 'exit']], released: [] });
        expect(beside.told.summary).toMatchObject({ crashed: [], released: [[0, expect.stringContaining('exit')]] });
        await works();
      });

      test('a full heap costs the task that filled it (W06)', async () => {
        await slot.close();
        slot = new SlotDouble(make, { heapMiB: 48 });
        const told = await slot.whole('heap', ['fill', 'ok']);
        expect(told.crashed.get(0)).toMatchObject({ how: 'out-of-memory', error: { code: 'SH2003' } });
        expect(told.crashed.get(0)?.error.message).toContain('48 MiB');
        expect([...told.released.keys()]).toEqual([1]);
        await works();
      });

      test.each(['unhandled', 'uncaught'])('an error that is %s is charged to the task whose code it came from', async (name) => {
        const told = await slot.whole(name, ['ok', 'x', 'ok']);
        expect(told.crashed.get(1)).toMatchObject({ how: 'unhandled' });
        expect(told.crashed.get(1)?.error.message).toMatch(/nobody caught me|thrown from a timer/);
        expect([...told.crashed.keys()]).toEqual([1]);
        expect(told.failed.size).toBe(0);
        await works();
      });

      test.each(['unhandled', 'uncaught'])('an error that is %s among lanes is charged to one', async (name) => {
        const told = await slot.whole(name, ['x', 'ok', 'ok'], { concurrency: 3 });
        expect([...told.crashed.keys()]).toEqual([0]);
        await works();
      });

      test('a thread that dies of nobody’s doing, again and again, is charged to what it ran: it would be repeated for ever (W15)', async () => {
        const dies = () => slot.whole('dies of the background', ['x']);
        expect([...(await dies()).released.keys(), ...(await dies()).released.keys()]).toEqual([0, 0]);
        const third = await dies();
        expect([...third.crashed.keys()]).toEqual([0]);
        expect(third.crashed.get(0)?.error.message).toContain('of no task');
        await works();
        expect([...(await dies()).released.keys()]).toEqual([0]);
      });

      test('one that is there for one work is charged at once: the next has an executor of its own (rule 7)', async () => {
        await slot.close();
        slot = new SlotDouble(make, { isAlone: true });
        expect([...(await slot.whole('dies of the background', ['x'])).crashed.keys()]).toEqual([0]);
      });

      test('what a settled task left behind is charged to nobody, and the thread goes (W15)', async () => {
        const told = await slot.whole('stray', ['leave', 'neighbour', 'ok']);
        expect(told.summary).toMatchObject({ values: [[0, 'leave']], crashed: [], failed: [] });
        expect([...told.released.keys()]).toEqual([1, 2]);
        expect(slot.replaced).toHaveLength(1);
        expect(slot.replaced[0]).toContain('too late to matter');
        await works();
      });

      test('a rejection left by a synchronous task does not undo its result (W15)', async () => {
        const told = await slot.whole('leaves a rejection', [1]);
        expect([...told.values]).toEqual([[0, 1]]);
        await slot.until(() => slot.replaced.length === 1);
        await works();
      });

      test('nor is it charged to the first task of an async function, which no scope told apart (W15)', async () => {
        expect([...(await slot.whole('leaves a rejection for later', [1])).values]).toEqual([[0, 1]]);
        const told = await slot.whole('is the first to wait', ['x']);
        expect(told.crashed.size).toBe(0);
        expect([...told.released.keys()]).toEqual([0]);
        await works();
      });

      test('a module that ends its thread while it is loaded refuses the work', async () => {
        const module = new URL('./fixtures/exits-on-load.mjs', import.meta.url).href;
        const told = await slot.whole('x', [1, 2], { definition: { name: 'x', module } });
        expect(told.refused).toMatchObject({ code: 'SH5001' });
        expect(told.refused?.message).toContain('loading the module of the task "x" ended its thread');
        await works();
      });

      const hanging = { name: 'x', module: new URL('./fixtures/hangs-on-load.mjs', import.meta.url).href };

      test('a module that never ends loading has its own time, and refuses the work after it (W07)', async () => {
        await slot.close();
        slot = new SlotDouble(make, { loadMs: 3000 });
        const told = await slot.whole('x', [1, 2], { definition: hanging, timeoutMs: 50 });
        expect(told.refused).toMatchObject({ code: 'SH5001' });
        expect(told.refused?.message).toContain('loading the module of the task "x" took longer than 3 s (file:');
        expect(slot.replaced).toHaveLength(1);
        await works();
      });

      test('a thread that loads what was called off is free after the grace (W08)', async () => {
        await slot.close();
        slot = new SlotDouble(make, { graceMs: 100 });
        const { work, told } = slot.run('x', [1, 2], { definition: hanging });
        const after = slot.run('double', [1]);
        slot.executor.abort(work, range(0, 2), 'not needed');
        await slot.until(() => told.isFinished && after.told.isFinished);
        expect([...told.released.values()]).toEqual(['aborted', 'aborted']);
        expect(slot.replaced).toHaveLength(1);
        await works();
      });

      describe('while a module is loaded', () => {
        const definition = { name: 'loaded slowly', module: new URL('./fixtures/loads-slowly.mjs', import.meta.url).href };
        let folder: string;
        const isThere = (name: string): boolean => existsSync(join(folder, name));
        const loads = (): Promise<void> => expect.poll(() => isThere('loading'), { interval: 5 }).toBe(true);
        beforeEach(async () => {
          folder = mkdtempSync(join(tmpdir(), 'shoal-loads-slowly-'));
          process.env.SHOAL_TEST_LOADING = folder;
          await slot.close();
          slot = new SlotDouble(make);
        });
        afterEach(() => {
          delete process.env.SHOAL_TEST_LOADING;
          rmSync(folder, { recursive: true });
        });

        test('what is taken back does not start once that is there (W08)', async () => {
          const { work, told } = slot.run('loaded slowly', [1, 2, 3], { definition });
          await loads();
          slot.executor.revoke(work, range(2, 1), 'stolen');
          slot.executor.abort(work, range(0, 2), 'not needed');
          await slot.until(() => told.seen.size === 3);
          writeFileSync(join(folder, 'go'), '');
          await slot.until(() => told.isFinished);
          expect([...told.released].sort(([a], [b]) => a - b)).toEqual([
            [0, 'aborted'],
            [1, 'aborted'],
            [2, 'stolen'],
          ]);
          expect(isThere('ran')).toBe(false);
          expect(slot.replaced).toEqual([]);
          await works();
        });

        test('nothing starts in a slot that closes', async () => {
          slot.run('loaded slowly', [1], { definition });
          await loads();
          const closed = slot.close();
          writeFileSync(join(folder, 'go'), '');
          await closed;
          expect(isThere('ran')).toBe(false);
        });

        test('a neighbour that ends the thread is charged alone, and the module is loaded again (W14)', async () => {
          const guilty = slot.run('exit when the other one loads', [folder], { concurrency: 2 });
          const beside = slot.run('loaded slowly', [1], { definition, concurrency: 2 });
          await slot.until(() => guilty.told.isFinished && beside.told.isFinished);
          expect([...guilty.told.crashed.keys()]).toEqual([0]);
          expect(beside.told.refused).toBeUndefined();
          expect([...beside.told.released.keys()]).toEqual([0]);
          writeFileSync(join(folder, 'go'), '');
          expect([...(await slot.whole('loaded slowly', [1], { definition })).values]).toEqual([[0, 1]]);
        });
      });

      test('a module that could not be loaded once is loaded anew for the next work', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'shoal-fails-once-'));
        process.env.SHOAL_TEST_FAILED = join(folder, 'failed');
        try {
          await slot.close();
          slot = new SlotDouble(make);
          const definition = { name: 'fails once', module: new URL('./fixtures/fails-once.mjs', import.meta.url).href };
          expect((await slot.whole('fails once', [1], { definition })).refused).toMatchObject({ code: 'SH5001' });
          expect([...(await slot.whole('fails once', [1], { definition })).values.values()]).toEqual([1]);
          expect(slot.replaced).toEqual([]);
        } finally {
          delete process.env.SHOAL_TEST_FAILED;
          rmSync(folder, { recursive: true });
        }
      });

      test('commands and directories of a thread that had to be ended go with it', async () => {
        const command = [process.execPath, '-e', 'console.log(process.pid); setInterval(() => {}, 1000)'];
        await slot.whole('exec and spin', [command], { timeoutMs: 1500 });
        await slot.whole('scratch', ['spin'], { timeoutMs: 300 });
        await slot.until(() => slot.notes.length === 2);
        await slot.close();
        await untilGone(Number(slot.notes[0]?.note));
        expect(existsSync(slot.notes[1]!.note!)).toBe(false);
      });

      test('a closed executor has ended a task that spins', async () => {
        slot.run('spin and tell', ['spin']);
        await slot.until(() => slot.notes.length === 1);
        await slot.close();
      });
    });

    describe('console', () => {
      // No waiting for lines here: who printed and ended has been heard, or the end of a job would cut them off.
      test('lines go to the job log with their task and level, ahead of the result', async () => {
        await slot.whole('chatty', ['you'], { ranges: range(5, 1) });
        expect(slot.logs.map(({ index, level, message }) => [index, level, message])).toEqual([
          [5, 'info', 'hello you'],
          [5, 'error', 'oh { no: 1 }'],
          [5, 'warn', 'careful left=3 where=here 7 5'],
        ]);
      });

      test('lanes are told apart', async () => {
        await slot.whole('chatty later', [0, 1, 2, 3, 4, 5], { concurrency: 6 });
        expect(slot.logs).toHaveLength(6);
        for (const { index, message } of slot.logs) expect(message).toBe(`line of ${index}`);
      });

      test('empty lines are passed on in parts, too (W13)', async () => {
        const told = await slot.whole('empty lines', [50_000]);
        expect([...told.values.values()]).toEqual([50_000]);
        await slot.until(() => slot.logs.length === 50_000);
        expect(slot.logParts).toBeGreaterThan(40);
      });

      test('100 MB of lines are cut, and the result is not affected (W13)', async () => {
        const told = await slot.whole('floods', [100]);
        expect([...told.values.values()]).toEqual(['done']);
        await slot.until(() => slot.logs.at(-1)?.level === 'warn');
        expect(slot.logs.at(-1)?.message).toContain('truncated');
        const bytes = slot.logs.reduce((sum, { message }) => sum + message.length, 0);
        expect(bytes).toBeLessThan(1.1 * 1024 * 1024);
      });
    });
  });
}
