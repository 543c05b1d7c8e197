import { expect, test } from 'vitest';
import { isNonRetryable, NonRetryableError, RetryAfterError, retryAfterMs } from './errors.ts';

test('errors are known by their mark, so that those of another copy of the package count', () => {
  expect(isNonRetryable(new NonRetryableError('no'))).toBe(true);
  expect(isNonRetryable({ [Symbol.for('shoal.nonRetryable')]: true })).toBe(true);
  expect([null, undefined, 'text', new Error('no')].map(isNonRetryable)).toEqual([false, false, false, false]);
  expect(retryAfterMs({ [Symbol.for('shoal.retryAtWallMs')]: 0 })).toBe(0);
  expect(retryAfterMs(new Error('no'))).toBeUndefined();
});

test('a pause is a duration or a date, and never negative', () => {
  expect(retryAfterMs(new RetryAfterError('busy', '1m'))).toBeGreaterThan(50_000);
  expect(retryAfterMs(new RetryAfterError('busy', new Date(0)))).toBe(0);
});

test.each([Number.NaN, -1, new Date(Number.NaN), 'soon' as '1s'])('%s is no pause (K02)', (after) => {
  expect(() => new RetryAfterError('busy', after)).toThrow('neither a duration nor a date');
});
