/** What becomes of a task that threw: decided here, where the user's code is, because the coordinator runs none. */
import { type ErrorRecord, toErrorRecord } from '../../lib/error-record.ts';
import { ShoalError } from '../../lib/errors.ts';
import type { Definition, StandardSchema } from '../../tasks/definition.ts';
import { isNonRetryable, retryAfterMs } from '../../tasks/errors.ts';

export interface Judgement {
  error: ErrorRecord;
  verdict: 'retry' | 'dead';
  afterMs?: number;
}

/** The input does not fit, or the result can't travel: another attempt would end the same way. */
export class FinalError extends ShoalError {}

export function judge(definition: Definition, thrown: unknown, attempt: number): Judgement {
  const error = toErrorRecord(thrown);
  if (thrown instanceof FinalError || isNonRetryable(thrown)) return { error, verdict: 'dead' };
  const afterMs = retryAfterMs(thrown);
  if (afterMs !== undefined) return { error, verdict: 'retry', afterMs };
  if (!definition.retryIf) return { error, verdict: 'retry' };
  try {
    return { error, verdict: definition.retryIf(thrown, attempt) ? 'retry' : 'dead' };
  } catch (broken) {
    const { message } = toErrorRecord(broken);
    return { error: { ...error, message: `${error.message} (and its retryIf threw: ${message})` }, verdict: 'dead' };
  }
}

/** A failure of ours around the user's code, told with the task's name in front. */
export function finalError(name: string, what: string, thrown: unknown): FinalError {
  const { code, message } = toErrorRecord(thrown);
  const hint = thrown instanceof ShoalError ? thrown.hint : undefined;
  return new FinalError(code ?? 'SH1202', `${name}: ${what}: ${message}`, { hint, cause: thrown });
}

interface Issue {
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[];
}

const issuesShown = 5;

/** The input as the schema gives it back; a promise where the schema is asynchronous. */
export function validate(name: string, schema: StandardSchema, input: unknown): unknown {
  const result: unknown = schema['~standard'].validate(input);
  return isThenable(result) ? Promise.resolve(result).then((settled) => accept(name, settled)) : accept(name, result);
}

function accept(name: string, result: unknown): unknown {
  const { issues, value } = result as { issues?: readonly Issue[]; value?: unknown };
  if (!issues) return value;
  const shown = issues.slice(0, issuesShown).map(({ message, path }) => `${pathText(path)}: ${message}`);
  const more = issues.length > issuesShown ? `; and ${issues.length - issuesShown} more` : '';
  throw new FinalError('SH1203', `${name}: the input does not fit its schema: ${shown.join('; ')}${more}`);
}

function pathText(path: Issue['path']): string {
  let text = '$';
  for (const step of path ?? []) {
    const key = typeof step === 'object' ? step.key : step;
    text += typeof key === 'number' ? `[${key}]` : `.${String(key)}`;
  }
  return text;
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null && (typeof value === 'object' || typeof value === 'function') && typeof (value as { then?: unknown }).then === 'function'
  );
}
