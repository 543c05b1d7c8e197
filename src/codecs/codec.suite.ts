/** What every codec keeps and refuses, whatever it can carry besides plain data. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteSink } from '../lib/bytes.ts';
import { type Codec, CorruptValueError, UnserialisableError } from './codec.ts';

export interface CodecTraits {
  /** Carries what structuredClone does, not only JSON's data. */
  rich: boolean;
}

export function encodeOne(codec: Codec, value: unknown): Uint8Array {
  const sink = new ByteSink(64);
  codec.encode(value, sink);
  return sink.take();
}

export function describeCodec(codec: Codec, traits: CodecTraits): void {
  const plain = fc.jsonValue({ maxDepth: 4 });
  const rich = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: false,
    withUnicodeString: true,
  } as object);
  const values = traits.rich ? rich : plain.filter((value) => !hasMinusZero(value));

  describe(`${codec.name} keeps the promises of a codec`, () => {
    it('what goes in comes out', () => {
      fc.assert(
        fc.property(values, (value) => {
          expect(codec.decode(encodeOne(codec, value))).toEqual(value);
        }),
        { numRuns: 500 },
      );
    });

    it('values follow each other in one sink', () => {
      fc.assert(
        fc.property(fc.array(values, { maxLength: 8 }), (many) => {
          const sink = new ByteSink(8);
          const ends = many.map((value) => {
            codec.encode(value, sink);
            return sink.length;
          });
          const bytes = sink.take();
          many.forEach((value, index) => {
            const [from, to] = [ends[index - 1] ?? 0, ends[index]!];
            expect(codec.decode(bytes.subarray(from, to))).toEqual(value);
            if (codec.decodeRange) expect(codec.decodeRange(bytes, from, to)).toEqual(value);
          });
        }),
      );
    });

    it('what cannot travel is refused by path, with nothing left in the sink (T01)', () => {
      const sink = new ByteSink(8);
      codec.encode('before', sink);
      const { length } = sink;
      const circular: unknown[] = [];
      circular.push({ again: circular });
      const refused: [unknown, string][] = [
        [() => 1, '$'],
        [{ a: [0, { b: Symbol('s') }] }, '$.a[1].b'],
        [circular, '$[0].again'],
        [
          {
            get x() {
              throw new Error('no');
            },
          },
          '$.x',
        ],
        [{ a: new WeakMap() }, '$.a'],
      ];
      for (const [value, path] of refused) {
        expect(() => codec.encode(value, sink)).toThrow(UnserialisableError);
        expect(sink.length).toBe(length);
        try {
          codec.encode(value, sink);
        } catch (error) {
          expect((error as UnserialisableError).path).toBe(path);
          expect((error as UnserialisableError).code).toBe('SH1201');
        }
      }
    });

    it('100 000 levels are refused, not a crash (T05)', () => {
      let deep: unknown = 1;
      for (let i = 0; i < 100_000; i++) deep = [deep];
      expect(() => encodeOne(codec, deep)).toThrow(UnserialisableError);
    });

    it('what was encoded up to its depth can be decoded', () => {
      let deep: unknown = 1;
      for (let i = 0; i < 512; i++) deep = i % 2 ? [deep] : { a: deep };
      expect(codec.decode(encodeOne(codec, deep))).toEqual(deep);
      expect(() => encodeOne(codec, [deep])).toThrow(UnserialisableError);
    });

    it('random, cut and changed bytes are a value or a CorruptValueError, and no prototype changes (X05, X09)', () => {
      const tryDecode = (bytes: Uint8Array): void => {
        try {
          codec.decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptValueError);
        }
      };
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), tryDecode), { numRuns: 3000 });
      fc.assert(
        fc.property(values, fc.nat(), fc.nat(), fc.nat(255), (value, cut, at, byte) => {
          const bytes = encodeOne(codec, value);
          tryDecode(bytes.subarray(0, cut % (bytes.length + 1)));
          const changed = bytes.slice();
          changed[at % bytes.length] = byte;
          tryDecode(changed);
        }),
        { numRuns: 1000 },
      );
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    });

    it('bytes over the limit are refused before they are looked at', () => {
      expect(() => codec.decode(encodeOne(codec, 'x'.repeat(1000)), { depthMax: 10, bytesMax: 999 })).toThrow(CorruptValueError);
    });
  });
}

function hasMinusZero(value: unknown): boolean {
  if (Object.is(value, -0)) return true;
  return typeof value === 'object' && value !== null && Object.values(value).some(hasMinusZero);
}
