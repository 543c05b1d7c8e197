/** What every executor does; see executor.ts. What only those that can end a slot by force do is in killable.suite.ts. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeTemplate, Hole } from '../../codecs/template.ts';
import { encodeAll, type Make, range, SlotDouble } from './slot-double.suite.ts';

export function executorSuite(kind: string, make: Make): void {
  let slot: SlotDouble;
  beforeEach(() => {
    slot = new SlotDouble(make);
  });
  afterEach(() => slot.close());

  describe(`${kind} executor: results`, () => {
    test('each index is told once, with its value, in the numbers of the stage', async () => {
      const told = await slot.whole('double', [1, 2, 3], { ranges: Uint32Array.of(10, 1, 20, 2) });
      expect([...told.values]).toEqual([
        [10, 2],
        [20, 4],
        [21, 6],
      ]);
      expect(slot.replaced).toEqual([]);
    });

    test.each([5000, 9000])('%i tiny tasks at once', async (count) => {
      const inputs = Array.from({ length: count }, (_, i) => i);
      const told = await slot.whole('double', inputs);
      expect([...told.values.values()]).toEqual(inputs.map((x) => x * 2));
      expect(told.reports).toBeLessThan(count / 10);
    });

    test('works run one after another, however many are given', async () => {
      const works = Array.from({ length: 7 }, (_, i) => slot.run('later', [i, i + 1]).told);
      await slot.until(() => works.every(({ isFinished }) => isFinished));
      expect(works.map(({ values }) => [...values.values()])).toEqual(works.map((_, i) => [i, i + 1]));
    });

    test('a work of no tasks is finished', async () => {
      expect((await slot.whole('double', [])).summary).toMatchObject({ values: [] });
    });

    test('large values travel', async () => {
      const large = 'x'.repeat(3_000_000);
      const told = await slot.whole('echo', [large, 1, new Uint8Array(100_000)]);
      expect(told.values.get(0)).toBe(large);
      expect(told.values.get(2)).toEqual(new Uint8Array(100_000));
      expect(told.reports).toBeGreaterThan(1);
    });

    test('the context knows job, task and attempt', async () => {
      const told = await slot.whole('identify', [0], { ranges: range(41, 1), attempt: 2 });
      expect(told.values.get(41)).toEqual({
        job: { id: 'job1', name: 'a job' },
        task: { id: 'job1/2/41', name: 'identify', index: 41 },
        attempt: 2,
        maxAttempts: 3,
        inside: kind !== 'inline',
        aborted: false,
      });
    });

    test('lanes run side by side', async () => {
      const told = await slot.whole(
        'later',
        Array.from({ length: 100 }, (_, i) => i),
        { concurrency: 10 },
      );
      expect([...told.values].every(([index, value]) => index === value)).toBe(true);
      expect(told.values.size).toBe(100);
    });

    test('a lane that waits does not hold up the others', async () => {
      const { work, told } = slot.run('deaf', ['deaf', ...Array.from({ length: 50 }, (_, i) => i)], { concurrency: 2 });
      await slot.until(() => told.values.size === 50);
      expect(told.seen.has(0)).toBe(false);
      slot.executor.abort(work, range(0, 51), 'enough');
    });

    test('done work is told while the next task takes its time', async () => {
      const { work, told } = slot.run('attentive', [1, 2, 'wait']);
      await slot.until(() => told.values.size === 2);
      slot.executor.abort(work, range(2, 1), 'enough');
      await slot.until(() => told.isFinished);
    });
  });

  describe(`${kind} executor: inputs`, () => {
    test('lists of frames', async () => {
      const { lengths, body } = encodeAll([1, 2, 3, 4, 5]);
      const told = await slot.whole('sum', [], {
        ranges: range(0, 3),
        input: { kind: 'list' },
        lengths,
        body,
        counts: Uint32Array.of(2, 0, 3),
      });
      expect([...told.values.values()]).toEqual([3, 0, 12]);
    });

    test('a template with values of the same index, of one task, and of all', async () => {
      const template = encodeTemplate({ same: new Hole(0), one: new Hole(1), all: [new Hole(2)], twice: new Hole(0) });
      const { lengths, body } = encodeAll([{ a: 'x' }, { a: 'y' }, 'shared', 7, 8]);
      const told = await slot.whole('echo', [], {
        ranges: range(0, 2),
        input: {
          kind: 'template',
          template: Buffer.from(template).toString('base64'),
          args: [
            { take: 'same', path: ['a'], frames: 0 },
            { take: 'one', path: [], frames: 1 },
            { take: 'all', path: [], frames: 2 },
          ],
        },
        lengths: lengths.slice(0, 2),
        sharedLengths: lengths.slice(2),
        body,
      });
      expect([...told.values.values()]).toEqual(['x', 'y'].map((same) => ({ same, one: 'shared', all: [[7, 8]], twice: same })));
    });

    test('each task its own template, and values that were cut into elements', async () => {
      const first = encodeTemplate(['first', new Hole(0)]);
      const second = encodeTemplate(new Hole(0));
      const { lengths, body } = encodeAll([1, 2, 3]);
      const told = await slot.whole('echo', [], {
        ranges: range(0, 2),
        input: { kind: 'template', args: [{ take: 'same', path: [], frames: 0, list: true }] },
        lengths: Uint32Array.of(first.length, lengths[0]!, lengths[1]!, second.length, lengths[2]!),
        counts: Uint32Array.of(2, 1),
        body: new Uint8Array([
          ...first,
          ...body.subarray(0, lengths[0]! + lengths[1]!),
          ...second,
          ...body.subarray(lengths[0]! + lengths[1]!),
        ]),
      });
      expect([...told.values.values()]).toEqual([['first', [1, 2]], [3]]);
    });

    test('a missing field, or a damaged frame, costs its own task only (C22)', async () => {
      const template = Buffer.from(encodeTemplate(new Hole(0))).toString('base64');
      const { lengths, body } = encodeAll([{ a: 1 }, { b: 2 }, { a: 3 }]);
      const told = await slot.whole('echo', [], {
        ranges: range(0, 3),
        input: { kind: 'template', template, args: [{ take: 'same', path: ['a'], frames: 0 }] },
        lengths,
        body,
      });
      expect(told.summary).toMatchObject({
        values: [
          [0, 1],
          [2, 3],
        ],
        failed: [[1, 'SH1203', 'dead']],
      });
      const damaged = await slot.whole('echo', [], { ranges: range(0, 2), lengths: Uint32Array.of(1, 1), body: Uint8Array.of(0xc1, 5) });
      expect(damaged.summary).toMatchObject({ values: [[1, 5]], failed: [[0, 'SH1202', 'dead']] });
    });

    test('a schema gives the input, or says what is wrong with it', async () => {
      const told = await slot.whole('strict', [1, 'two', 3]);
      expect([...told.values]).toEqual([
        [0, 2],
        [2, 4],
      ]);
      expect(told.failed.get(1)).toMatchObject({ verdict: 'dead', error: { code: 'SH1203' } });
      expect(told.failed.get(1)?.error.message).toContain(
        'strict: the input does not fit its schema: $.a[0]: expected a number; $: and no other',
      );
      expect([...(await slot.whole('strict later', [1])).values]).toEqual([[0, 2]]);
    });
  });

  describe(`${kind} executor: failures`, () => {
    test('what is thrown arrives as an error record, whatever it is (T06, T07)', async () => {
      const told = await slot.whole('throw', ['null', 'text', 'reason']);
      expect(told.failed.get(0)?.error.message).toContain('null');
      expect(told.failed.get(1)?.error.message).toContain('just a text');
      expect(told.failed.get(2)).toMatchObject({ verdict: 'retry', error: { name: 'TypeError', message: 'no reason' } });
      expect(told.failed.get(2)?.error.stack).toContain('tasks.mjs');
    });

    test('a task says by its error whether another attempt makes sense', async () => {
      const told = await slot.whole('throw', ['never again', 'in a while']);
      expect(told.failed.get(0)).toMatchObject({ verdict: 'dead', error: { message: 'it would fail again' } });
      expect(told.failed.get(1)).toMatchObject({ verdict: 'retry' });
      expect(told.failed.get(1)?.afterMs).toBeGreaterThan(80_000);
      expect(told.failed.get(1)?.afterMs).toBeLessThanOrEqual(90_000);
    });

    test('retryIf decides by error and attempt, and a broken one ends it', async () => {
      expect((await slot.whole('choosy', [0], { attempt: 1 })).failed.get(0)?.verdict).toBe('retry');
      expect((await slot.whole('choosy', [0], { attempt: 2 })).failed.get(0)?.verdict).toBe('dead');
      const { verdict, error } = (await slot.whole('broken retryIf', [0])).failed.get(0)!;
      expect({ verdict, message: error.message }).toEqual({
        verdict: 'dead',
        message: 'out of range (and its retryIf threw: not my day)',
      });
    });

    test('a result that can not travel is named by its path (T01)', async () => {
      const told = await slot.whole('function', [0]);
      expect(told.failed.get(0)).toMatchObject({ verdict: 'dead', error: { code: 'SH1201' } });
      expect(told.failed.get(0)?.error.message).toContain('function: its result: $.deep[1] is a function');
      expect([...(await slot.whole('double', [4])).values.values()]).toEqual([8]);
    });

    test('a module that is missing, broken, or without the task refuses the work', async () => {
      const module = new URL('./fixtures/fails-to-load.mjs', import.meta.url).href;
      const broken = await slot.whole('double', [1, 2], { definition: { name: 'x', module } });
      expect(broken.refused).toMatchObject({ code: 'SH5001' });
      expect(broken.refused?.message).toContain('this module is broken');
      const missing = await slot.whole('double', [1], { definition: { name: 'x', module: 'file:///nowhere/at-all.mjs' } });
      expect(missing.refused).toMatchObject({ code: 'SH5001' });
      const unknown = await slot.whole('doubel', [1]);
      expect(unknown.refused).toMatchObject({ code: 'SH5002' });
      expect(unknown.refused?.message).toContain('"double"');
      expect([...(await slot.whole('double', [4])).values.values()]).toEqual([8]);
      expect(slot.replaced).toEqual([]);
    });
  });

  describe(`${kind} executor: spread and combine`, () => {
    test('arrays are cut into elements', async () => {
      const told = await slot.whole('elements', [2, 0, 3], { spread: true });
      expect([...told.values.values()]).toEqual([[20, 21], [], [30, 31, 32]]);
    });

    test('what is no array is refused by the name of the task', async () => {
      const told = await slot.whole('echo', [[1], { a: 1 }, [2]], { spread: true });
      expect(told.summary).toMatchObject({
        values: [
          [0, [1]],
          [2, [2]],
        ],
        failed: [[1, 'SH1205', 'dead']],
      });
      expect(told.failed.get(1)?.error.message).toContain('echo: its result');
    });

    const combine = (name: string, ordered: boolean) => ({
      combine: { definition: { name, module: new URL('./fixtures/tasks.mjs', import.meta.url).href }, ordered },
    });

    test('results become one partial, failures stay what they are', async () => {
      const told = await slot.whole('even', [2, 3, 4, 6], combine('sum', false));
      expect(told.partials).toEqual([{ indices: [0, 2, 3], value: 12 }]);
      expect([...told.failed.keys()]).toEqual([1]);
    });

    test('where the order matters, neighbours only', async () => {
      const told = await slot.whole('echo', ['a', 'b', 'c', 'd'], { ranges: Uint32Array.of(0, 2, 7, 2), ...combine('join', true) });
      expect(told.partials).toEqual([
        { indices: [0, 1], value: 'ab' },
        { indices: [7, 8], value: 'cd' },
      ]);
    });

    test('a single result is its own partial', async () => {
      expect((await slot.whole('echo', ['alone'], combine('cannot combine', false))).partials).toEqual([{ indices: [0], value: 'alone' }]);
    });

    test('what can not be combined goes as it is', async () => {
      const told = await slot.whole('echo', [1, 2], combine('cannot combine', false));
      expect([...told.values.values()]).toEqual([1, 2]);
      expect(told.partials).toEqual([]);
    });
  });

  describe(`${kind} executor: stopping`, () => {
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
      const told = await slot.whole('attentive', ['wait', 1, 'wait', 2], { concurrency: 2, timeoutMs: 50 });
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

  describe(`${kind} executor: context`, () => {
    test('ctx.log writes lines that know their task', async () => {
      await slot.whole('chatty', ['you'], { ranges: range(3, 1) });
      await slot.until(() => slot.logs.some(({ level }) => level === 'warn'));
      const line = slot.logs.find(({ level }) => level === 'warn');
      expect(line).toMatchObject({ job: 'job1', stage: 2, index: 3, attempt: 1, task: 'chatty', message: 'careful left=3 where=here' });
    });

    test('progress is passed on a few times a second, and the last word always', async () => {
      await slot.whole('progress', [1000]);
      await slot.until(() => slot.notes.at(-1)?.done === 1000);
      expect(slot.notes.at(-1)).toEqual({ index: 0, done: 1000, total: 1000, note: 'step 1000' });
      expect(slot.notes.length).toBeLessThan(100);
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
      const { work, told } = slot.run('exec and tell', [[process.execPath, '-e', 'console.log(process.pid); setInterval(() => {}, 1000)']]);
      await slot.until(() => slot.notes.length === 1);
      slot.executor.abort(work, range(0, 1), 'not needed');
      await slot.until(() => told.isFinished);
      expect(isAlive(Number(slot.notes[0]?.note))).toBe(false);
      const left = await slot.whole('exec and leave', [[process.execPath, '-e', 'console.log(process.pid); setInterval(() => {}, 1000)']]);
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
