import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Heap } from './heap.ts';

it('gives back what it holds in order, whatever was put in and taken out between', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(50), fc.constant('pop' as const))), (acts) => {
      const heap = new Heap<number>((a, b) => a < b);
      const held: number[] = [];
      for (const act of acts) {
        if (act === 'pop') expect(heap.pop()).toBe(held.shift());
        else {
          heap.push(act);
          held.push(act);
          held.sort((a, b) => a - b);
        }
        expect([heap.size, heap.first]).toEqual([held.length, held[0]]);
      }
    }),
  );
});
