import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countOf, indicesOf } from '../core/ranges.ts';
import { type Columns, Cutter, type Piece, shapeOf } from './cut.ts';
import { splitRanges } from './split-ranges.ts';

const noLimit = Number.POSITIVE_INFINITY;

/** A body in which frame f is filled with f. */
function body(lengths: readonly number[], chunkBytes = noLimit): Uint8Array[] {
  const all = Buffer.concat(lengths.map((length, frame) => Buffer.alloc(length, frame)));
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += Math.min(chunkBytes, all.length)) chunks.push(all.subarray(at, at + chunkBytes));
  return chunks.length > 0 ? chunks : [new Uint8Array(0)];
}

const show = (piece: Piece): unknown => ({ ranges: [...piece.ranges], lengths: [...piece.lengths], bytes: [...piece.body] });

describe('one frame a task', () => {
  const columns: Columns = { ranges: Uint32Array.of(10, 3, 20, 2), lengths: Uint32Array.of(1, 2, 0, 3, 1), body: body([1, 2, 0, 3, 1]) };
  const shape = shapeOf({ kind: 'value' }, false);

  test('pieces follow each other, across ranges', () => {
    const cutter = new Cutter(columns, shape);
    expect(show(cutter.take(2, noLimit))).toEqual({ ranges: [10, 2], lengths: [1, 2], bytes: [0, 1, 1] });
    expect(show(cutter.take(2, noLimit))).toEqual({ ranges: [12, 1, 20, 1], lengths: [0, 3], bytes: [3, 3, 3] });
    expect(cutter.pending).toBe(1);
    expect(show(cutter.take(99, noLimit))).toEqual({ ranges: [21, 1], lengths: [1], bytes: [4] });
    expect(cutter.pending).toBe(0);
  });

  test('a piece ends before the bytes run over; one task goes in any case', () => {
    const cutter = new Cutter(columns, shape);
    expect(show(cutter.take(99, 2))).toMatchObject({ ranges: [10, 1] });
    expect(show(cutter.take(99, 1))).toMatchObject({ ranges: [11, 1] });
    expect(show(cutter.take(99, 2))).toMatchObject({ ranges: [12, 1] });
    expect(show(cutter.take(99, 4))).toMatchObject({ ranges: [20, 2] });
  });

  test('a piece owns its buffers, exactly as long as it is', () => {
    const piece = new Cutter(columns, shape).take(2, noLimit);
    expect(piece.body.buffer.byteLength).toBe(3);
    expect(piece.lengths.buffer.byteLength).toBe(8);
  });

  test('dropped tasks are passed over with their bytes', () => {
    const cutter = new Cutter(columns, shape);
    expect([...cutter.drop([11, 1, 20, 1, 500, 7])]).toEqual([11, 1, 20, 1]);
    expect([...cutter.drop([11, 1])]).toEqual([]);
    expect(cutter.pending).toBe(3);
    expect(show(cutter.take(99, noLimit))).toEqual({ ranges: [10, 1], lengths: [1], bytes: [0] });
    expect(show(cutter.take(99, noLimit))).toEqual({ ranges: [12, 1], lengths: [0], bytes: [] });
    expect(show(cutter.take(99, noLimit))).toEqual({ ranges: [21, 1], lengths: [1], bytes: [4] });
  });

  test('what was cut cannot be dropped any more', () => {
    const cutter = new Cutter(columns, shape);
    cutter.take(2, noLimit);
    expect([...cutter.drop([10, 3])]).toEqual([12, 1]);
    expect([...cutter.dropAll()]).toEqual([20, 2]);
    expect(cutter.pending).toBe(0);
  });
});

test('lists: counts are sliced along', () => {
  const lengths = [1, 1, 2, 1];
  const cutter = new Cutter(
    { ranges: Uint32Array.of(0, 3), lengths: Uint32Array.from(lengths), counts: Uint32Array.of(2, 0, 2), body: body(lengths) },
    shapeOf({ kind: 'list' }, true),
  );
  const first = cutter.take(2, noLimit);
  expect([[...first.counts!], show(first)]).toEqual([[2, 0], { ranges: [0, 2], lengths: [1, 1], bytes: [0, 1] }]);
  const second = cutter.take(2, noLimit);
  expect([[...second.counts!], show(second)]).toEqual([[2], { ranges: [2, 1], lengths: [2, 1], bytes: [2, 2, 3] }]);
});

test('templates: own template, same frames, and the shared frames in each piece', () => {
  const lengths = [1, 2, 1, 1, 2, 1];
  const shared = [2, 1];
  const args = [
    { take: 'same' as const, path: [], frames: 0 },
    { take: 'all' as const, path: [], frames: 2 },
    { take: 'same' as const, path: [], frames: 0 },
  ];
  const cutter = new Cutter(
    {
      ranges: Uint32Array.of(5, 2),
      lengths: Uint32Array.from(lengths),
      sharedLengths: Uint32Array.from(shared),
      body: body([...lengths, ...shared], 4),
    },
    shapeOf({ kind: 'template', args }, false),
  );
  expect(show(cutter.take(1, noLimit))).toEqual({ ranges: [5, 1], lengths: [1, 2, 1], bytes: [0, 1, 1, 2, 6, 6, 7] });
  expect(show(cutter.take(1, noLimit))).toEqual({ ranges: [6, 1], lengths: [1, 2, 1], bytes: [3, 4, 4, 5, 6, 6, 7] });
});

test('templates with lists: counts say the frames of each same arg', () => {
  const lengths = [1, 1, 1, 2, 2];
  const args = [
    { take: 'same' as const, path: [], frames: 0, list: true },
    { take: 'same' as const, path: [], frames: 0 },
  ];
  const cutter = new Cutter(
    { ranges: Uint32Array.of(0, 2), lengths: Uint32Array.from(lengths), counts: Uint32Array.of(2, 1, 0, 1), body: body(lengths) },
    shapeOf({ kind: 'template', template: 'AA==', args }, true),
  );
  const first = cutter.take(1, noLimit);
  expect([[...first.counts!], [...first.lengths]]).toEqual([
    [2, 1],
    [1, 1, 1],
  ]);
  const second = cutter.take(1, noLimit);
  expect([[...second.counts!], [...second.lengths], [...second.body]]).toEqual([[0, 1], [2], [3, 3]]);
});

const someRanges = fc.array(fc.tuple(fc.nat(6), fc.integer({ min: 1, max: 6 })), { maxLength: 6 }).map((gaps) => {
  const pairs: number[] = [];
  let at = 0;
  for (const [gap, count] of gaps) {
    pairs.push(at + gap, count);
    at += gap + count;
  }
  return pairs;
});

test('whatever is cut and dropped in whatever order: each task once, with its own bytes', () => {
  fc.assert(
    fc.property(
      someRanges,
      fc.array(fc.oneof(fc.record({ take: fc.integer({ min: 1, max: 5 }), bytes: fc.nat(6) }), someRanges), { maxLength: 12 }),
      fc.integer({ min: 1, max: 7 }),
      (pairs, steps, chunkBytes) => {
        const ranges = Uint32Array.from(pairs);
        const indices = [...indicesOf(ranges)];
        const lengths = indices.map((index) => index % 4);
        const all = indices.flatMap((index, at) => new Array<number>(lengths[at]!).fill(index));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < all.length; at += chunkBytes) chunks.push(Uint8Array.from(all.slice(at, at + chunkBytes)));
        const cutter = new Cutter({ ranges, lengths: Uint32Array.from(lengths), body: chunks }, { frames: 1, countsPerTask: 1 });
        const told: number[] = [];
        const cut = (countMax: number, bytesMax: number): void => {
          const piece = cutter.take(countMax, bytesMax);
          const taken = [...indicesOf(piece.ranges)];
          expect(taken.length).toBe(piece.count);
          expect(piece.count).toBeGreaterThan(0);
          expect(indices.indexOf(taken[0]!)).toBe(piece.first);
          expect([...piece.body]).toEqual(taken.flatMap((index) => new Array<number>(index % 4).fill(index)));
          told.push(...taken);
        };
        for (const step of steps) {
          if (Array.isArray(step)) told.push(...indicesOf(cutter.drop(step)));
          else if (cutter.pending > 0) cut(step.take, step.bytes);
          expect(cutter.pending).toBe(countOf(cutter.pendingRanges()));
        }
        while (cutter.pending > 0) cut(3, 5);
        expect(told.toSorted((a, b) => a - b)).toEqual(indices);
      },
    ),
  );
});

test('ranges split by ranges are what sets say', () => {
  fc.assert(
    fc.property(someRanges, someRanges, (ranges, by) => {
      const inBy = new Set(indicesOf(Uint32Array.from(by)));
      const all = [...indicesOf(Uint32Array.from(ranges))];
      const { inside, outside } = splitRanges(ranges, by);
      expect([...indicesOf(inside)]).toEqual(all.filter((index) => inBy.has(index)));
      expect([...indicesOf(outside)]).toEqual(all.filter((index) => !inBy.has(index)));
    }),
  );
});
