/**
 * Errors by which a task says what is to become of it. They are recognised by a mark instead of by class, because a
 * program may carry a second copy of this package.
 */
import { type Duration, durationToMs } from '../lib/duration.ts';
import { ShoalError } from '../lib/errors.ts';

const nonRetryable = Symbol.for('shoal.nonRetryable');
const retryAt = Symbol.for('shoal.retryAtWallMs');

/** Thrown by a task that would fail again: no further attempt is made. */
export class NonRetryableError extends Error {
  override name = 'NonRetryableError';
  readonly [nonRetryable] = true;
}

/** Thrown by a task that knows when to try again: after a duration, or at a date. The pause of its retry policy does not apply. */
export class RetryAfterError extends Error {
  override name = 'RetryAfterError';
  readonly [retryAt]: number;

  constructor(message: string, after: Duration | Date) {
    super(message);
    if (after instanceof Date && !Number.isNaN(after.getTime())) {
      this[retryAt] = after.getTime();
      return;
    }
    const ms = durationToMs(after);
    if (ms === undefined) {
      throw new ShoalError('SH1102', `RetryAfterError: ${String(after)} is neither a duration nor a date`, {
        hint: "write '30s', or milliseconds",
      });
    }
    this[retryAt] = Date.now() + ms;
  }
}

export function isNonRetryable(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && (thrown as { [nonRetryable]?: unknown })[nonRetryable] === true;
}

/** Milliseconds from now at which a RetryAfterError wants to be tried again; undefined for all else. */
export function retryAfterMs(thrown: unknown): number | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  const at = (thrown as { [retryAt]?: unknown })[retryAt];
  return typeof at === 'number' ? Math.max(0, at - Date.now()) : undefined;
}
