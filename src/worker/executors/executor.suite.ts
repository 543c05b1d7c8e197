/** What every executor does; see executor.ts. What only those that can end a slot by force do is in killable.suite.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeTemplate, Hole } from '../../codecs/template.ts';
import { lanesSuite } from './lanes.suite.ts';
import { encodeAll, type Make, range, SlotDouble } from './slot-double.suite.ts';
import { stoppingSuite } from './stopping.suite.ts';

export function executorSuite(kind: string, make: Make): void {
  describe(`${kind} executor`, () => {
    let slot: SlotDouble;
    beforeEach(() => {
      slot = new SlotDouble(make);
    });
    afterEach(() => slot.close());

    describe('results', () => {
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

    describe('inputs', () => {
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

    describe('failures', () => {
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

    describe('spread and combine', () => {
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
        expect((await slot.whole('echo', ['alone'], combine('cannot combine', false))).partials).toEqual([
          { indices: [0], value: 'alone' },
        ]);
      });

      test('the tasks’ time-out is not the combining’s (W08)', async () => {
        const told = await slot.whole('echo', [1, 2], { timeoutMs: 100, ...combine('sum slowly', false) });
        expect(told.partials).toEqual([{ indices: [0, 1], value: 3 }]);
        expect(told.failed.size).toBe(0);
      });

      test('what can not be combined goes as it is', async () => {
        const told = await slot.whole('echo', [1, 2], combine('cannot combine', false));
        expect([...told.values.values()]).toEqual([1, 2]);
        expect(told.partials).toEqual([]);
      });
    });
  });

  stoppingSuite(kind, make);
  lanesSuite(kind, make);
}
