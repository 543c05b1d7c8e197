import fc from 'fast-check';
import { unpack } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { ByteSink } from '../lib/bytes.ts';
import { describeCodec, encodeOne } from './codec.suite.ts';
import { CorruptValueError, UnserialisableError } from './codec.ts';
import { msgpackCodec } from './msgpack.ts';

const throughTheWire = (value: unknown): unknown => msgpackCodec.decode(encodeOne(msgpackCodec, value));

function refusal(value: unknown): string {
  try {
    encodeOne(msgpackCodec, value);
  } catch (error) {
    if (error instanceof UnserialisableError) return error.message;
    throw error;
  }
  throw new Error('it was not refused');
}

describeCodec(msgpackCodec, { rich: true });

describe('msgpack keeps (T02, T03)', () => {
  it.each([
    ['-0', -0],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['integers at every border', [0, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 53 + 2]],
    ['negative ones', [-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53)]],
    [
      'BigInt of any size',
      [0n, 1n, -1n, 2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), 2n ** 64n - 1n, 2n ** 64n, -(2n ** 64n), 3n ** 999n, -(3n ** 999n)],
    ],
    ['undefined', [undefined, { a: undefined }]],
    ['dates', [new Date(0), new Date(-1), new Date(1e14 + 0.5), new Date(Number.NaN)]],
    [
      'maps',
      new Map<unknown, unknown>([
        ['a', 1],
        [{ deep: true }, new Map([[1, 2]])],
        [Number.NaN, undefined],
      ]),
    ],
    ['sets', new Set([1, 'a', new Set([-0])])],
    ['regular expressions', [/a\/b[\]]/giu, /x/y]],
    ['URLs', new URL('https://user@example.org:81/ä?q=1#f')],
    ['lone surrogates', ['\ud800', 'a\udc00b', { '\ud83d': '\ude00' }]],
    [
      'texts of every length of header',
      ['', 'a'.repeat(31), 'a'.repeat(32), 'ä'.repeat(40), 'a'.repeat(255), 'a'.repeat(256), '€'.repeat(70_000)],
    ],
    ['replacement characters', 'a\ufffdb'],
    [
      'wide arrays and records',
      [Array.from({ length: 70_000 }, (_, i) => i), Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]))],
    ],
    [
      'typed arrays',
      [
        new Uint8Array([1, 2]),
        new Int8Array([-1]),
        new Uint8ClampedArray([300]),
        new Int16Array([-300]),
        new Uint16Array([65535]),
        new Int32Array([-70000]),
        new Uint32Array([2 ** 32 - 1]),
        new Float32Array([1.5, Number.NaN]),
        new Float64Array([-0, 1e300]),
        new BigInt64Array([-(2n ** 63n)]),
        new BigUint64Array([2n ** 64n - 1n]),
        new Uint8Array(300),
        new Uint8Array(70_000),
      ],
    ],
    ['buffers', [new Uint8Array([1, 2, 3]).buffer, new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2)]],
  ])('%s', (_, value) => {
    expect(throughTheWire(value)).toStrictEqual(value);
  });

  it('errors with all that belongs to them', () => {
    const cause = new RangeError('inner');
    const error = Object.assign(new TypeError('outer', { cause }), { code: 'E_X' });
    const back = throughTheWire(error) as typeof error;
    expect(back).toBeInstanceOf(TypeError);
    expect([back.name, back.message, back.stack, back.code]).toEqual([error.name, error.message, error.stack, 'E_X']);
    expect(back.cause).toBeInstanceOf(RangeError);
    expect(Object.keys(back)).toEqual(['code']);
    const many = throughTheWire(new AggregateError([error, 'x'], 'many')) as AggregateError;
    expect(many.errors[0]).toBeInstanceOf(TypeError);
    expect(many.errors[1]).toBe('x');
    class OwnError extends Error {
      override name = 'OwnError';
    }
    const own = throughTheWire(new OwnError('mine')) as Error;
    expect([own.name, own.message, String(own)]).toEqual(['OwnError', 'mine', 'OwnError: mine']);
  });

  it('what a class instance has, and drops its class', () => {
    class Point {
      x = 1;
      #hidden = 2;
      get double(): number {
        return this.#hidden;
      }
    }
    const back = throughTheWire([
      new Point(),
      Object.create(null),
      Buffer.from('ab'),
      new Number(5),
      new (class extends Map<number, number> {})([[1, 2]]),
    ]) as unknown[];
    expect(back).toStrictEqual([{ x: 1 }, {}, new Uint8Array([97, 98]), 5, new Map([[1, 2]])]);
    expect(Object.getPrototypeOf(back[2])).toBe(Uint8Array.prototype);
  });

  it('only the part of its memory that a view shows', () => {
    const pool = new Uint8Array(1000).fill(7);
    const back = throughTheWire(pool.subarray(10, 12)) as Uint8Array;
    expect(back.buffer.byteLength).toBe(2);
  });

  it('empty places as undefined', () => {
    // biome-ignore lint/suspicious/noSparseArray: that is the point
    expect(throughTheWire([1, , 3])).toStrictEqual([1, undefined, 3]);
    const huge: number[] = [];
    huge[4_000_000_000] = 1;
    expect(refusal({ huge })).toMatch(/^\$\.huge is an array of 4000000001 places that are nearly all empty/);
  });

  it('__proto__ as a property, never as the prototype (X05)', () => {
    const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    const back = throughTheWire([hostile, hostile]) as Record<string, unknown>[];
    expect(JSON.stringify(back)).toBe(JSON.stringify([hostile, hostile]));
    expect(Object.getPrototypeOf(back[0])).toBe(Object.prototype);
    expect(back[0]!.polluted).toBeUndefined();
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('shares no memory with the bytes', () => {
    const bytes = encodeOne(msgpackCodec, [new Uint8Array(100), 'x'.repeat(100)]);
    const back = msgpackCodec.decode(bytes) as [Uint8Array, string];
    bytes.fill(255);
    expect(back).toStrictEqual([new Uint8Array(100), 'x'.repeat(100)]);
  });
});

describe('msgpack refuses by path (T01)', () => {
  const circular: Record<string, unknown> = { name: 'a', list: [] };
  (circular.list as unknown[]).push({ up: circular });
  const map = new Map<unknown, unknown>();
  map.set('self', map);
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = { deeper: deep };

  it.each<[string, unknown, RegExp]>([
    ['a function itself', () => 1, /^\$ is a function, /],
    ['one deep inside', { items: [1, { 'on click': () => 1 }] }, /^\$\.items\[1\]\["on click"\] is a function/],
    ['a symbol', [Symbol('x')], /^\$\[0\] is a symbol/],
    ['a value of a Map', { m: new Map([['k', () => 1]]) }, /^\$\.m\.get\("k"\) is a function/],
    ['a key of a Map', { m: new Map([[() => 1, 'v']]) }, /^\$\.m\.keys\(\) is a function/],
    ['an element of a Set', new Set([1, () => 1]), /^\$\.values\(\)\[1\] is a function/],
    ["an error's cause", new Error('x', { cause: () => 1 }), /^\$\.cause is a function/],
    ['a promise', { a: Promise.resolve(1) }, /^\$\.a is a Promise/],
    ['an iterator', { a: [1].values() }, /^\$\.a is an Array Iterator/],
    ['a WeakMap', new WeakMap(), /^\$ is a WeakMap/],
    ['a signal', { signal: new AbortController().signal }, /^\$\.signal is an AbortSignal/],
    ['shared memory', new SharedArrayBuffer(1), /^\$ is a SharedArrayBuffer/],
    ['a cycle', { job: circular }, /^\$\.job\.list\[0\]\.up is circular \(it is \$\.job again\)/],
    ['a Map in itself', map, /^\$\.get\("self"\) is circular \(it is \$ again\)/],
    ['100 000 levels (T05)', deep, /^\$\.deeper.*….* is nested more than 512 levels deep/],
    [
      'a getter that throws',
      {
        a: [
          {
            get b() {
              throw new Error('no "b"');
            },
          },
        ],
      },
      /^\$\.a\[0\]\.b is not readable \(it threw "no \\"b\\""\)/,
    ],
    [
      'a getter that throws nothing much',
      {
        get b() {
          throw null;
        },
      },
      /^\$\.b is not readable/,
    ],
    [
      'a proxy that throws',
      {
        p: new Proxy(
          {},
          {
            ownKeys() {
              throw new Error('keep out');
            },
          },
        ),
      },
      /^\$\.p is not readable/,
    ],
  ])('%s', (_, value, message) => {
    expect(refusal(value)).toMatch(message);
  });

  it('a stream, by what it holds', async () => {
    const { Readable } = await import('node:stream');
    expect(refusal({ input: Readable.from([]) })).toMatch(/^\$\.input\.\w+.* is a function/);
  });

  it('and leaves nothing in the sink, and no trace for the next value', () => {
    const sink = new ByteSink(16);
    msgpackCodec.encode(1, sink);
    expect(() => msgpackCodec.encode({ long: 'x'.repeat(5000), bad: () => 1 }, sink)).toThrow(UnserialisableError);
    expect(sink.length).toBe(1);
    expect(refusal({ next: () => 1 })).toMatch(/^\$\.next is/);
  });

  it('a getter may encode something itself while it is read', () => {
    const value = {
      a: {
        get b() {
          return encodeOne(msgpackCodec, { x: [1, 2] }).length;
        },
      },
      c: () => 1,
    };
    expect(refusal(value)).toMatch(/^\$\.c is a function/);
    const nested = {
      a: {
        get b() {
          return refusal({ y: () => 1 });
        },
      },
    };
    expect((throughTheWire(nested) as typeof nested).a.b).toMatch(/^\$\.y is a function/);
  });

  it('the same object twice is no cycle', () => {
    const shared = { x: 1 };
    expect(throughTheWire([shared, shared])).toStrictEqual([shared, shared]);
  });
});

describe('msgpack decodes nothing else', () => {
  it('is standard MessagePack, which others read', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__'));
        expect(unpack(Buffer.from(encodeOne(msgpackCodec, value)))).toEqual(value);
      }),
    );
  });

  it.each<[string, number[]]>([
    ['an empty value', []],
    ['an array that claims 4 GiB', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['a map that claims 4 GiB', [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61, 1]],
    ['bytes that claim 4 GiB', [0xc6, 0xff, 0xff, 0xff, 0xff]],
    ['a text that is no UTF-8', [0xa2, 0xc3, 0x28]],
    ['the token that is none', [0xc1]],
    ['bytes too many', [1, 1]],
    ['an unknown extension', [0xd4, 99, 0]],
    ['a hole outside of a template', [0xd6, 10, 0, 0, 0, 0]],
    ['a property that is no text', [0x81, 1, 1]],
    ['a regular expression that does not compile', [0xc7, 4, 7, 0x92, 0xa1, 0x28, 0xa0]],
    ['a URL that is none', [0xc7, 1, 8, 0x61]],
    ['elements cut in half', [0xc7, 4, 5, 9, 1, 2, 3]],
    ['an unknown kind of elements', [0xc7, 1, 5, 200]],
    ['an error that is a number', [0xc7, 1, 6, 1]],
    ['an error that is null', [0xc7, 1, 6, 0xc0]],
    ['a Map of a key alone', [0xc7, 2, 3, 0x91, 1]],
    ['an extension that is longer than its value', [0xc7, 2, 4, 0x90, 0x90]],
    ['an extension that reaches past the end', [0xc7, 9, 4, 0x90]],
  ])('%s', (_, bytes) => {
    expect(() => msgpackCodec.decode(Uint8Array.from(bytes))).toThrow(CorruptValueError);
  });

  it('more than its limits say', () => {
    expect(() => msgpackCodec.decode(Uint8Array.of(0x91, 0x91, 0x90), { depthMax: 2, bytesMax: 100 })).toThrow(/nested too deep/);
    expect(() => msgpackCodec.decode(new Uint8Array(101), { depthMax: 2, bytesMax: 100 })).toThrow(/limit of 100/);
    expect(() => msgpackCodec.decode(new Uint8Array(1_000_000).fill(0x91))).toThrow(/nested too deep/);
  });

  it('a value inside other bytes by its range', () => {
    expect(msgpackCodec.decodeRange(Uint8Array.of(0xff, 0xa1, 0x61, 0xff), 1, 3)).toBe('a');
    expect(() => msgpackCodec.decodeRange(Uint8Array.of(0xa1, 0x61), 0, 1)).toThrow(CorruptValueError);
  });
});
