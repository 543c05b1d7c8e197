/** Works whose tasks have lanes run side by side in every kind of slot; see runtime/lanes.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Make, range, SlotDouble } from './slot-double.suite.ts';

const module = new URL('./fixtures/tasks.mjs', import.meta.url).href;

export function lanesSuite(kind: string, make: Make): void {
  describe(`lanes of a slot: ${kind}`, () => {
    let slot: SlotDouble;
    beforeEach(() => {
      slot = new SlotDouble(make);
    });
    afterEach(() => slot.close());

    test('works of one task fill all lanes, and no more than these', async () => {
      const works = Array.from({ length: 6 }, () => slot.run('attentive', ['wait'], { concurrency: 4 }));
      await slot.until(() => slot.notes.length === 4);
      slot.executor.abort(works[2]!.work, range(0, 1), 'enough');
      await slot.until(() => works[2]!.told.isFinished && slot.notes.length > 4);
      expect(slot.notes.length).toBe(5);
      for (const { work } of works) slot.executor.abort(work, range(0, 1), 'enough');
      await slot.until(() => works.every(({ told }) => told.isFinished));
      expect(works.map(({ told }) => [...told.released])).toEqual(works.map(() => [[0, 'aborted']]));
      expect(slot.replaced).toEqual([]);
    });

    test('lanes that a work leaves free are the next one’s', async () => {
      const long = slot.run('attentive', ['wait', 1, 2], { concurrency: 3 });
      const told = await slot.whole(
        'later',
        Array.from({ length: 40 }, (_, i) => i),
        { concurrency: 3 },
      );
      expect([...told.values.values()].sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 40 }, (_, i) => i));
      await slot.until(() => long.told.seen.size === 2);
      expect([...long.told.values]).toEqual([
        [1, 1],
        [2, 2],
      ]);
      expect(long.told.isFinished).toBe(false);
      slot.executor.abort(long.work, range(0, 3), 'enough');
      await slot.until(() => long.told.isFinished);
    });

    test('many small works: each index once, with its value', async () => {
      const inputsOf = (i: number): number[] => (i % 3 === 0 ? [i, i + 1] : [i]);
      const works = Array.from({ length: 60 }, (_, i) => slot.run('later', inputsOf(i), { concurrency: 5 }).told);
      await slot.until(() => works.every(({ isFinished }) => isFinished));
      expect(works.map(({ values }) => inputsOf(0).map((at) => values.get(at)))).toEqual(works.map((_, i) => [i, inputsOf(i)[1]]));
    });

    test('a work without lanes waits for them to be through, and lets none past', async () => {
      const first = slot.run('attentive', ['wait'], { concurrency: 2 });
      const plain = slot.run('double', [1]);
      const last = slot.run('later', [7], { concurrency: 2 });
      await slot.until(() => slot.notes.length === 1);
      slot.executor.abort(first.work, range(0, 1), 'enough');
      await slot.until(() => last.told.seen.size > 0);
      expect([first.told.isFinished, plain.told.isFinished]).toEqual([true, true]);
      expect(plain.told.values.get(0)).toBe(2);
      await slot.until(() => last.told.isFinished);
    });

    test('what waits for a lane is taken back from each work', async () => {
      const works = Array.from({ length: 4 }, () => slot.run('attentive', ['wait', 'wait', 'wait'], { concurrency: 2 }));
      await slot.until(() => slot.notes.length === 2);
      for (const { work } of works) slot.executor.revoke(work, range(0, 3), 'stolen');
      await slot.until(() => works.every(({ told }, i) => told.released.size === (i === 0 ? 1 : 3)));
      expect(works.map(({ told }) => [...told.released.values()])).toEqual(
        works.map((_, i) => Array.from({ length: i === 0 ? 1 : 3 }, () => 'stolen')),
      );
      slot.executor.abort(works[0]!.work, range(0, 3), 'enough');
      await slot.until(() => works.every(({ told }) => told.isFinished));
      expect(slot.notes.length).toBe(2);
    });

    test('each work’s time is its own (W08)', async () => {
      const untimed = slot.run('attentive', ['wait'], { concurrency: 3 });
      const timed = slot.run('attentive', ['wait', 1], { concurrency: 3, timeoutMs: 50 });
      const later = slot.run('attentive', ['wait'], { concurrency: 3, timeoutMs: 60 });
      await slot.until(() => timed.told.isFinished && later.told.isFinished);
      expect(timed.told.summary).toMatchObject({ values: [[1, 1]], failed: [[0, 'SH2002', 'retry']] });
      expect(later.told.summary).toMatchObject({ failed: [[0, 'SH2002', 'retry']] });
      expect(untimed.told.seen.size).toBe(0);
      slot.executor.abort(untimed.work, range(0, 1), 'enough');
      await slot.until(() => untimed.told.isFinished);
      expect(slot.replaced).toEqual([]);
    });

    test('a work is combined beside others', async () => {
      const beside = slot.run('attentive', ['wait'], { concurrency: 2 });
      const told = await slot.whole('later', [1, 2, 3], {
        concurrency: 2,
        combine: { definition: { name: 'sum', module }, ordered: false },
      });
      expect(told.partials.map(({ indices, value }) => [indices.sort((a, b) => a - b), value])).toEqual([[[0, 1, 2], 6]]);
      expect(beside.told.isFinished).toBe(false);
      slot.executor.abort(beside.work, range(0, 1), 'enough');
      await slot.until(() => beside.told.isFinished);
    });

    test('one whose task is not known is refused beside others', async () => {
      const beside = slot.run('attentive', ['wait'], { concurrency: 2 });
      expect((await slot.whole('unheard of', [1], { concurrency: 2 })).refused).toMatchObject({ code: 'SH5002' });
      expect((await slot.whole('double', [4], { concurrency: 2 })).values.get(0)).toBe(8);
      slot.executor.abort(beside.work, range(0, 1), 'enough');
      await slot.until(() => beside.told.isFinished);
    });
  });
}
