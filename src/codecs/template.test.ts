import { describe, expect, it } from 'vitest';
import { CorruptValueError, UnserialisableError } from './codec.ts';
import { msgpackCodec } from './msgpack.ts';
import { encodeTemplate, fillTemplate, Hole, pick } from './template.ts';

describe('a template', () => {
  it('is a value whose holes are filled when it is decoded', () => {
    const bytes = encodeTemplate({ user: new Hole(1), list: [new Hole(0), 2, new Map([['k', new Hole(0)]])], at: new Date(5) });
    const shared = { fresh: true };
    const filled = fillTemplate(bytes, [shared, undefined]) as { user: unknown; list: [object, number, Map<string, object>] };
    expect(filled).toStrictEqual({ user: undefined, list: [shared, 2, new Map([['k', shared]])], at: new Date(5) });
    expect(filled.list[0]).toBe(filled.list[2].get('k'));
  });

  it('may be a hole alone, or have none', () => {
    expect(fillTemplate(encodeTemplate(new Hole(0)), ['x'])).toBe('x');
    expect(fillTemplate(encodeTemplate([1]), [])).toEqual([1]);
    expect(
      fillTemplate(
        encodeTemplate(new Hole(70_000)),
        Array.from({ length: 70_001 }, (_, i) => i),
      ),
    ).toBe(70_000);
  });

  it('takes values of any kind, functions too: they never travelled', () => {
    const run = (): number => 1;
    expect(fillTemplate(encodeTemplate([new Hole(0)]), [run])).toEqual([run]);
  });

  it('refuses by path, like every value', () => {
    expect(() => encodeTemplate({ a: [new Hole(0), () => 1] })).toThrow(/^\$\.a\[1\] is a function/);
    expect(() => encodeTemplate({ a: () => 1 })).toThrow(UnserialisableError);
  });

  it('with a hole that nothing fills is damaged, and so is one where a value was expected', () => {
    expect(() => fillTemplate(encodeTemplate([new Hole(1)]), ['only one'])).toThrow(CorruptValueError);
    expect(() => msgpackCodec.decode(encodeTemplate([new Hole(0)]))).toThrow(CorruptValueError);
    expect(() => msgpackCodec.encode({ a: new Hole(0) }, { reserve() {}, length: 0, buffer: Buffer.alloc(64) } as never)).toThrow(
      /^\$\.a is a hole/,
    );
  });
});

describe('pick', () => {
  it('goes down own properties', () => {
    expect(pick({ a: [{ b: 5 }] }, ['a', '0', 'b'])).toBe(5);
    expect(pick('whole', [])).toBe('whole');
    expect(pick({ a: undefined }, ['a'])).toBeUndefined();
    expect(pick([1, 2], ['length'])).toBe(2);
  });

  it.each<[string, unknown, string[], RegExp, string]>([
    ['a missing field', { a: { c: 1, d: 2 } }, ['a', 'b'], /^the result has no field \.a\.b$/, '.a is an object with c, d'],
    ['a field of nothing', { a: null }, ['a', 'b', 'c'], /no field \.a\.b$/, '.a is null'],
    ['a field of undefined', undefined, ['x y'], /no field \["x y"\]$/, 'the result is undefined'],
    ['an index past the end', [1], ['3'], /no field \["3"\]$/, 'the result is an array of 1'],
    ['a field of a text', 'abc', ['length'], /no field \.length$/, 'the result is a string'],
    ['what is inherited (X05)', {}, ['constructor'], /no field \.constructor$/, 'the result is an object without fields'],
    ['the prototype (X05)', { a: 1 }, ['__proto__'], /no field \.__proto__$/, 'the result is an object with a'],
    ['a method', [], ['map'], /no field \.map$/, 'the result is an array of 0'],
  ])('names %s', (_, value, path, message, why) => {
    expect(() => pick(value, path)).toThrow(message);
    expect(() => pick(value, path)).toThrow(expect.objectContaining({ code: 'SH1203', why }) as Error);
  });
});
