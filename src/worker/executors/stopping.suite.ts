/** How what runs is stopped, and what a task has around it; the same on every executor. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Make, range, SlotDouble } from './slot-double.suite.ts';

export function stoppingSuite(kind: string, make: Make): void {
  describe(`${kind} executor`, () => {
    let slot: SlotDouble;
    beforeEach(() => {
      slot = new SlotDouble(make);
    });
    afterEach(() => slot.close());

    describe('stopping', () => {
      test('what has not started is given back at once, what runs goes on', async () => {
        const first = slot.run('attentive', ['wait', 1, 2, 3]);
        const second = slot.run('double', [1, 2]);
        const third = slot.run('double', [1, 2]);
        await slot.until(() => slot.notes.length === 1);
        slot.executor.revoke(first.work, range(1, 2), 'stolen');
        slot.executor.revoke(second.work, range(0, 1), 'stolen');
        slot.executor.revoke(third.work, range(0, 2), 'stolen');
        await slot.until(() => first.told.released.size === 2 && second.told.released.size === 1 && third.told.isFinished);
        slot.executor.abort(first.work, range(0, 1), 'enough');
        await slot.until(() => first.told.isFinished && second.told.isFinished);
        expect(first.told.summary).toMatchObject({
          values: [[3, 3]],
          released: [
            [1, 'stolen'],
            [2, 'stolen'],
            [0, 'aborted'],
          ],
        });
        expect(second.told.summary).toMatchObject({ values: [[1, 4]], released: [[0, 'stolen']] });
        expect(slot.replaced).toEqual([]);
      });

      test('an aborted task gets its signal, and is given back when it has ended', async () => {
        const { work, told } = slot.run('attentive', ['wait', 'wait', 5]);
        await slot.until(() => slot.notes.length === 1);
        slot.executor.abort(work, range(0, 2), 'not needed');
        await slot.until(() => told.isFinished);
        expect(told.summary).toMatchObject({
          values: [[2, 5]],
          failed: [],
          released: expect.arrayContaining([
            [0, 'aborted'],
            [1, 'aborted'],
          ]),
        });
        expect(slot.replaced).toEqual([]);
      });

      test('aborting one of several that run side by side is felt by that one alone (W09)', async () => {
        const { work, told } = slot.run('attentive', ['wait', 'wait', 'wait'], { concurrency: 3 });
        await slot.until(() => slot.notes.length === 3);
        slot.executor.abort(work, range(1, 1), 'not needed');
        await slot.until(() => told.seen.size === 1);
        expect([...told.released.keys()]).toEqual([1]);
        slot.executor.abort(work, range(0, 3), 'not needed');
        await slot.until(() => told.isFinished);
        expect(slot.replaced).toEqual([]);
      });

      test('a task over its time-out gets its signal, and what it says afterwards is not heard (W08)', async () => {
        const told = await slot.whole('late', ['late', 2], { timeoutMs: 50 });
        expect(told.summary).toMatchObject({ values: [[1, 2]], failed: [[0, 'SH2002', 'retry']] });
        expect(told.failed.get(0)?.error.message).toBe('late took longer than its timeout of 50 ms');
        expect(slot.replaced).toEqual([]);
      });

      test('async functions that only compute let the event loop turn, so that they can be called off', async () => {
        const { work, told } = slot.run(
          'computes',
          Array.from({ length: 1000 }, () => 15),
        );
        await slot.until(() => told.values.size > 0);
        slot.executor.revoke(work, range(0, 1000), 'stolen');
        await slot.until(() => told.isFinished);
        expect(told.released.size).toBeGreaterThan(900);
        expect(slot.replaced).toEqual([]);
      });

      test('every lane has its own time', async () => {
        const told = await slot.whole('attentive', ['wait', 1, 'wait', 2], { concurrency: 2, timeoutMs: 500 });
        expect(told.summary).toMatchObject({
          values: [
            [1, 1],
            [3, 2],
          ],
          failed: [
            [0, 'SH2002', 'retry'],
            [2, 'SH2002', 'retry'],
          ],
        });
      });

      test('time-outs beyond what a timer can hold do not fire at once (K02)', async () => {
        const told = await slot.whole('later', [1, 2, 3], { timeoutMs: 2 ** 31 + 5 });
        expect([...told.values.values()]).toEqual([1, 2, 3]);
      });

      test('a task that ignores its signal costs the slot, not the neighbours (W08)', async () => {
        await slot.close();
        slot = new SlotDouble(make, { graceMs: 100 });
        const next = slot.run('deaf', ['deaf', 2], { timeoutMs: 30 });
        const after = slot.run('double', [1]);
        await slot.until(() => next.told.isFinished && after.told.isFinished);
        expect(next.told.summary).toMatchObject({ failed: [[0, 'SH2002', 'retry']] });
        expect([...next.told.released.keys()]).toEqual([1]);
        expect(slot.replaced).toHaveLength(1);
        expect(slot.replaced[0]).toContain('a task of deaf');
        expect([...(await slot.whole('double', [4])).values.values()]).toEqual([8]);
      });

      test('a closed executor has ended what ran, and tells nothing more', async () => {
        slot.run('attentive', ['wait', 1]);
        slot.run('double', [1]);
        await slot.until(() => slot.notes.length === 1);
        await slot.close();
        await slot.close();
        expect(() => slot.executor.run(slot.run('double', [1]).work)).toThrow('closed');
      });
    });

    describe('context', () => {
      test('ctx.log writes lines that know their task', async () => {
        await slot.whole('chatty', ['you'], { ranges: range(3, 1) });
        await slot.until(() => slot.logs.some(({ level }) => level === 'warn'));
        const line = slot.logs.find(({ level }) => level === 'warn');
        expect(line).toMatchObject({
          job: 'job1',
          stage: 2,
          index: 3,
          attempt: 1,
          task: 'chatty',
          message: 'careful left=3 where=here 7 5',
        });
      });

      test('progress is passed on a few times a second, and the last word always', async () => {
        await slot.whole('progress', [1000]);
        await slot.until(() => slot.notes.at(-1)?.done === 1000);
        expect(slot.notes.at(-1)).toEqual({ index: 0, done: 1000, total: 1000, note: 'step 1000' });
        expect(slot.notes.length).toBeLessThan(100);
      });

      test('progress is passed on as numbers and text, whatever a task gives (W13)', async () => {
        const told = await slot.whole('odd progress', ['done', 'total', 'note', 'all']);
        expect([...told.values.values()]).toEqual(['done', 'total', 'note', 'all']);
        await slot.until(() => slot.notes.length === 4);
        expect(slot.notes).toEqual([
          { index: 0, done: 12, total: 3, note: 'as text' },
          { index: 1, done: 1, total: undefined, note: undefined },
          { index: 2, done: 0, total: 12, note: expect.stringContaining('=>') },
          { index: 3, done: 0, total: undefined, note: expect.stringContaining('null prototype') },
        ]);
      });

      test('a scratch directory goes when the attempt ends, also when it fails', async () => {
        const told = await slot.whole('scratch', ['ok', 'throw']);
        const [path, again] = told.values.get(0) as string[];
        expect(path).toBe(again);
        expect(path).toContain('shoal-test-');
        expect(existsSync(path!)).toBe(false);
        expect(existsSync(told.failed.get(1)!.error.message)).toBe(false);
      });

      test('exec gives output, lines, and errors that say what happened', async () => {
        const told = await slot.whole('exec', [
          [process.execPath, '-e', 'console.log("out"); console.error("err")'],
          [process.execPath, '-e', 'console.error("it broke"); process.exit(3)'],
          ['no-such-command-anywhere'],
        ]);
        expect(told.values.get(0)).toEqual({ stdout: 'out\n', stderr: 'err\n' });
        expect(told.failed.get(1)?.error).toMatchObject({ code: 'SH2101' });
        expect(told.failed.get(1)?.error.message).toMatch(/exit code 3: it broke/);
        expect(told.failed.get(2)?.error.message).toContain('the command no-such-command-anywhere was not found');
        const lines = await slot.whole('exec lines', [[process.execPath, '-e', 'process.stdout.write("one\\ntwo\\r\\nthree")']]);
        expect(lines.values.get(0)).toEqual(['one', 'two', 'three']);
      });

      test('a command ends with the signal, and with the attempt that started it', async () => {
        const { work, told } = slot.run('exec and tell', [
          [process.execPath, '-e', 'console.log(process.pid); setInterval(() => {}, 1000)'],
        ]);
        await slot.until(() => slot.notes.length === 1);
        slot.executor.abort(work, range(0, 1), 'not needed');
        await slot.until(() => told.isFinished);
        expect(isAlive(Number(slot.notes[0]?.note))).toBe(false);
        const left = await slot.whole('exec and leave', [
          [process.execPath, '-e', 'console.log(process.pid); setInterval(() => {}, 1000)'],
        ]);
        expect(isAlive(left.values.get(0) as number)).toBe(false);
      });

      test('perThread opens once, and closes when the slot ends', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'shoal-per-thread-'));
        process.env.SHOAL_TEST_CLOSED = join(folder, 'closed');
        try {
          await slot.close();
          slot = new SlotDouble(make);
          expect([...(await slot.whole('once a thread', [1, 2], { concurrency: 2 })).values.values()]).toEqual([1, 2]);
          await slot.close();
          expect(readFileSync(join(folder, 'closed'), 'utf8')).toBe('closed');
        } finally {
          delete process.env.SHOAL_TEST_CLOSED;
          rmSync(folder, { recursive: true });
        }
      });
    });
  });
}

/** A zombie does not run any more; it waits for a parent that may be gone. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync(`/proc/${pid}/stat`) || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Ends are asked for before they happen, and the process table is all there is to wait on. */
export async function untilGone(pid: number): Promise<void> {
  while (isAlive(pid)) await sleep(20);
}
