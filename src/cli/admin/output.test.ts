/** Tables and values as they look: widths, edges, colours, and what a terminal must not be told. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { painter } from '../../lib/painter.ts';
import { jsonText } from '../json-text.ts';
import { type Column, Output, size, span } from './output.ts';
import { plainValue } from './values.ts';

let out = '';
let err = '';
beforeEach(() => {
  out = err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  for (const name of ['isTTY', 'columns'] as const) delete (process.stdout as Partial<NodeJS.WriteStream>)[name];
});

function onTerminal(columns: number): void {
  Object.defineProperty(process.stdout, 'isTTY', { value: true, configurable: true });
  Object.defineProperty(process.stdout, 'columns', { value: columns, configurable: true });
}

interface Row {
  name: string;
  count: number;
}
const columns: readonly Column<Row>[] = [
  { title: 'name', of: ({ name }) => name, paint: (text, _row, paint) => paint.red(text) },
  { title: 'count', of: ({ count }) => String(count), isNumber: true },
];
const rows: readonly Row[] = [
  { name: 'a', count: 7 },
  { name: 'longer', count: 123_456 },
];

describe('a table', () => {
  it('is aligned, numbers at the right, nothing behind the last column', () => {
    new Output({ color: 'never' }).table(rows, columns, 'none');
    expect(out).toBe('name     count\na            7\nlonger  123456\n');
  });

  it('is cut at the edge of a terminal before it is painted', () => {
    onTerminal(5);
    new Output({ color: 'always' }).table(rows, columns, 'none');
    const { red, bold } = painter(true);
    expect(out).toBe(`${bold('name')}\n${red('a')}\n${red('long…')}\n`);
  });

  it('is never cut where there is no terminal', () => {
    const name = 'x'.repeat(500);
    new Output({ color: 'auto' }).table([{ name, count: 1 }], columns, 'none');
    expect(out).toContain(name);
    expect(out).not.toContain('\u001b');
  });

  it('shows what would act on a terminal as text, on one line (X13)', () => {
    new Output({ color: 'never' }).table([{ name: 'a\u001b[2J\u009b\u202e\nb', count: 1 }], columns, 'none');
    expect(out.split('\n')[1]).toMatch(/^a\\x1b\[2J\\x9b\\u202e\\nb +1$/);
  });

  it('of nothing is a word on stderr, and with --quiet not even that', () => {
    new Output({ color: 'never' }).table([], columns, 'there are none');
    expect({ out, err }).toEqual({ out: '', err: 'there are none\n' });
    new Output({ color: 'never', quiet: true }).table([], columns, 'there are none');
    expect(err).toBe('there are none\n');
  });

  it('with --quiet is its first column', () => {
    new Output({ color: 'always', quiet: true }).table(rows, columns, 'none');
    expect(out).toBe('a\nlonger\n');
  });
});

it('JSON has nothing in it that a terminal would act on, and means the same (X13)', () => {
  const value = { text: 'a\u001b\u007f\u009b\u200f\u2028\u202e\u2066\ufeff日' };
  const text = jsonText(value);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
  expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/);
  expect(JSON.parse(text)).toEqual(value);
});

it.each<[string, unknown, unknown]>([
  ['undefined', undefined, null],
  ['bigint', 12n, '12'],
  ['NaN', Number.NaN, 'NaN'],
  ['-Infinity', Number.NEGATIVE_INFINITY, '-Infinity'],
  ['Date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['Date that is none', new Date(Number.NaN), null],
  ['RegExp', /a/g, '/a/g'],
  ['URL', new URL('http://a.example/b'), 'http://a.example/b'],
  ['Map', new Map<unknown, unknown>([[1, 2n]]), [[1, '2']]],
  ['Set', new Set([new Date(0)]), ['1970-01-01T00:00:00.000Z']],
  ['Uint8Array', Uint8Array.of(1, 2), 'AQI='],
  ['part of a buffer', Uint8Array.of(9, 1, 2).subarray(1), 'AQI='],
  ['ArrayBuffer', Uint8Array.of(1, 2).buffer, 'AQI='],
  ['DataView', new DataView(Uint8Array.of(1, 2).buffer), 'AQI='],
  ['Float32Array', Float32Array.of(0.5, Number.NaN), [0.5, 'NaN']],
  ['BigInt64Array', BigInt64Array.of(3n), ['3']],
  ['Error', Object.assign(new Error('no', { cause: 1n }), { code: 7 }), { code: 7, name: 'Error', message: 'no', cause: '1' }],
  ['deep', { a: [{ b: 1n }] }, { a: [{ b: '1' }] }],
  ['text', 'x', 'x'],
])('%s in JSON', (_name, value, plain) => {
  expect(JSON.parse(JSON.stringify(plainValue(value)))).toEqual(plain);
});

it('an own property called __proto__ stays one', () => {
  const plain = plainValue(JSON.parse('{"__proto__":{"a":1}}')) as object;
  expect(JSON.stringify(plain)).toBe('{"__proto__":{"a":1}}');
});

it('times and sizes are in units that people read', () => {
  expect([0, 999, 1_000, 89_000, 100_000, 5_400_000, 86_400_000 * 3].map(span)).toEqual([
    '0 ms',
    '999 ms',
    '1 s',
    '89 s',
    '2 min',
    '2 h',
    '3 days',
  ]);
  expect([1024, 2 ** 20, 2 ** 34].map(size)).toEqual(['1 KiB', '1 MiB', '16.0 GiB']);
});
