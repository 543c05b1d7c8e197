import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Heap } from './heap.ts';

it('gives back what it holds in order, whatever was put in and taken out between', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(50), fc.constantFrom('pop', 'drop odd'))), (acts) => {
      const heap = new Heap<number>((a, b) => a < b);
      let held: number[] = [];
      for (const act of acts) {
        if (act === 'pop') expect(heap.pop()).toBe(held.shift());
        else if (typeof act === 'string') {
          heap.retain((item) => item % 2 === 0);
          held = held.filter((item) => item % 2 === 0);
        } else {
          heap.push(act);
          held.push(act);
          held.sort((a, b) => a - b);
        }
        expect([...heap].sort((a, b) => a - b)).toEqual(held);
        expect([heap.size, heap.first]).toEqual([held.length, held[0]]);
      }
    }),
  );
});
