import { describe, expect, it } from 'vitest';
import { bytesToCount, durationToMs } from './duration.ts';

describe('durationToMs', () => {
  it.each([
    [0, 0],
    [1500, 1500],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['4h', 14_400_000],
    ['30d', 2_592_000_000],
  ])('%s', (value, ms) => expect(durationToMs(value)).toBe(ms));

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 45, '5 minutes', '-3s', '', 's', '10y', '1constructor', undefined, null, {}])(
    'K02: %s is no duration',
    (value) => expect(durationToMs(value)).toBeUndefined(),
  );
});

describe('bytesToCount', () => {
  it.each([
    [512, 512],
    ['1KiB', 1024],
    ['1.5MiB', 1_572_864],
    ['4GiB', 4_294_967_296],
  ])('%s', (value, count) => expect(bytesToCount(value)).toBe(count));

  it.each([Number.NaN, -1, '1GB', '1 GiB', ''])('%s is no size', (value) => expect(bytesToCount(value)).toBeUndefined());
});
