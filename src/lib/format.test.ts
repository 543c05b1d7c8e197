import { describe, expect, it } from 'vitest';
import { formatBytes, formatClock, formatCount, formatElapsed, formatRate } from './format.ts';
import { printable, printableLine } from './printable.ts';

describe('numbers', () => {
  it('groups counts', () => {
    expect([0, 999, 6412, 1_000_000].map(formatCount)).toEqual(['0', '999', '6 412', '1 000 000']);
  });
  it('shows clocks', () => {
    const shown = [0, 499, 20_000, 3_599_400, 3_600_000, 47.9 * 3_600_000, 51 * 3_600_000, -5].map(formatClock);
    expect(shown).toEqual(['0:00', '0:00', '0:20', '59:59', '1:00:00', '47:54:00', '2d 03:00', '0:00']);
  });
  it('shows how long something took, and how fast it goes', () => {
    expect([35, 999.4, 12_345, 99_949, 100_000].map(formatElapsed)).toEqual(['35 ms', '999 ms', '12.3 s', '99.9 s', '1:40']);
    expect([0.04, 3.21, 317.8, 12_400, 1_234_567].map(formatRate)).toEqual(['0.04/s', '3.2/s', '318/s', '12 400/s', '1 235 000/s']);
    expect([0, 1023, 1536, 2 ** 20, 5.5 * 2 ** 30].map(formatBytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '1 MiB', '5.5 GiB']);
  });
});

describe('text from users’ data (X13)', () => {
  it('can’t act on the terminal', () => {
    expect(printable('\u001b[2J\u0007red\u009b31m')).toBe('\\x1b[2J\\x07red\\x9b31m');
    expect(printable('abc\u202egpj.exe')).toBe('abc\\u202egpj.exe');
    expect(printable('over\rwritten\r\nnext\tcolumn')).toBe('over\\x0dwritten\nnext\tcolumn');
  });
  it('can’t forge a line where there is to be one', () => {
    expect(printableLine('a\nerror[SH1001] b')).toBe('a\\nerror[SH1001] b');
  });
  it('is left alone otherwise', () => {
    expect(printable('naïve 日本 🐟')).toBe('naïve 日本 🐟');
  });
});
