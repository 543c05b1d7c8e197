import { describe, expect, it } from 'vitest';
import { describeCodec, encodeOne } from './codec.suite.ts';
import { CorruptValueError, UnserialisableError } from './codec.ts';
import { jsonCodec } from './json.ts';

const throughTheWire = (value: unknown): unknown => jsonCodec.decode(encodeOne(jsonCodec, value));
const textOf = (value: unknown): string => Buffer.from(encodeOne(jsonCodec, value)).toString();

describeCodec(jsonCodec, { rich: false });

describe('json', () => {
  it('writes what JSON.stringify writes of plain data', () => {
    for (const value of [{ a: [1, -1.5e300, 'x"\\\n', { b: null, c: true }] }, [], {}, 'ünï', '\ud800', 2 ** 53 + 2, { 'a b': '' }, 1e21]) {
      expect(textOf(value)).toBe(JSON.stringify(value));
      expect(throughTheWire(value)).toStrictEqual(value);
    }
  });

  it('keeps -0, and undefined as the value itself', () => {
    expect(throughTheWire([-0, { a: -0 }])).toStrictEqual([-0, { a: -0 }]);
    expect(throughTheWire(undefined)).toBeUndefined();
  });

  it('leaves out properties that are undefined', () => {
    expect(textOf({ a: undefined, b: 1, c: undefined, d: 2 })).toBe('{"b":1,"d":2}');
  });

  it.each<[string, unknown, RegExp]>([
    ['NaN', { a: [Number.NaN] }, /^\$\.a\[0\] is NaN, /],
    ['Infinity', Number.NEGATIVE_INFINITY, /^\$ is -Infinity/],
    ['BigInt', { id: 1n }, /^\$\.id is a BigInt/],
    ['undefined in an array', [undefined], /^\$\[0\] is undefined/],
    // biome-ignore lint/suspicious/noSparseArray: that is the point
    ['an empty place', [, 1], /^\$\[0\] is undefined/],
    ['Map', { m: new Map() }, /^\$\.m is a Map/],
    ['Set', new Set(), /^\$ is a Set/],
    ['Date', { at: new Date() }, /^\$\.at is a Date/],
    ['a typed array', new Uint8Array(1), /^\$ is a Uint8Array/],
    ['Error', new Error('x'), /^\$ is an Error/],
    [
      'an instance',
      new (class Point {
        toJSON(): number {
          return 1;
        }
      })(),
      /^\$ is a Point/,
    ],
    ['a boxed number', new Number(1), /^\$ is a Number/],
  ])('refuses what JSON would change: %s (T02, T03)', (_, value, message) => {
    expect(() => encodeOne(jsonCodec, value)).toThrow(message);
    expect(() => encodeOne(jsonCodec, value)).toThrow(UnserialisableError);
    try {
      encodeOne(jsonCodec, value);
    } catch (error) {
      expect((error as UnserialisableError).hint).toBe('use the msgpack codec');
    }
  });

  it('does not call toJSON of plain objects either: it is a function in them', () => {
    expect(() => encodeOne(jsonCodec, { toJSON: () => 1 })).toThrow(/^\$\.toJSON is a function/);
  });

  it('keeps __proto__ as a property, never as the prototype (X05)', () => {
    const back = jsonCodec.decode(Buffer.from('{"__proto__":{"polluted":1}}')) as Record<string, unknown>;
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(back.polluted).toBeUndefined();
  });

  it.each([['{'], ['{"a":1}x'], ['undefined'], ['\u0000'], ['"\ud800'.slice(0, 1)]])('refuses %j', (text) => {
    expect(() => jsonCodec.decode(Buffer.from(text))).toThrow(CorruptValueError);
  });

  it('refuses bytes that are no UTF-8, and nesting over the limit (T05)', () => {
    expect(() => jsonCodec.decode(Uint8Array.of(0x22, 0xc3, 0x28, 0x22))).toThrow(CorruptValueError);
    expect(() => jsonCodec.decode(Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)))).toThrow(/nested too deep/);
    const brackets = JSON.stringify({ text: '["\\'.repeat(2000) });
    expect(jsonCodec.decode(Buffer.from(brackets))).toEqual(JSON.parse(brackets));
  });
});
