/**
 * The error every user meets: a stable code, the user's own name for the thing first, and what to try.
 * Codes and their texts are listed in docs/reference/errors.md; a test keeps the two in step.
 */

export interface ShoalErrorOptions {
  /** What to try next, one line. */
  hint?: string | undefined;
  /** Why it happened, in the words of whatever refused. */
  why?: string | undefined;
  /** Where what was wrong came from: `SHOAL_ADDRESS (environment)`, a file and line. */
  from?: string | undefined;
  cause?: unknown;
}

export class ShoalError extends Error {
  override readonly name: string = 'ShoalError';
  /** Stable, `SH1001`…: first digit 1 = input and usage, 2 = task outcome, 3 = connection, 4 = storage, 5 = worker. */
  readonly code: string;
  readonly hint: string | undefined;
  readonly why: string | undefined;
  readonly from: string | undefined;

  constructor(code: string, message: string, options: ShoalErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.why = options.why;
    this.from = options.from;
  }

  /** Where the error is explained. */
  get docs(): string {
    return `docs/reference/errors.md#${this.code.toLowerCase()}`;
  }
}
