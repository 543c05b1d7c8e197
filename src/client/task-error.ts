/** The errors that jobs end with, built from what the coordinator says about a failure. */

import type { JobView, TaskFailure } from '../core/answers.ts';
import type { Refusal } from '../core/messages.ts';
import { adviceFor } from '../lib/advice.ts';
import { errorFromRecord } from '../lib/error-record.ts';
import { ShoalError } from '../lib/errors.ts';

/** A task that finally failed: what it is called, how often it was tried, and the error it threw as `cause`. */
export class TaskError extends ShoalError {
  override readonly name = 'TaskError';
  /** `job/stage/index`, the same in every attempt. */
  readonly taskId: string;
  /** Attempts that were made. */
  readonly attempts: number;
  /** The worker of the last attempt. */
  readonly worker: string;
  /** The stack where it was thrown, as text. */
  readonly remoteStack: string;

  constructor(job: string, failure: TaskFailure, label?: string) {
    const { error } = failure;
    super(failure.code, `${failure.task}[${failure.index}] ${label ? `(${label}) ` : ''}${outcome(failure)}`, {
      cause: errorFromRecord(error),
      hint: hints[failure.code] ?? adviceFor(error),
    });
    this.taskId = `${job}/${failure.stage}/${failure.index}`;
    this.attempts = failure.attempts;
    this.worker = failure.worker;
    this.remoteStack = error.stack ?? `${error.name}: ${error.message}`;
  }
}

const hints: Readonly<Record<string, string>> = {
  SH2002: 'give it a longer timeout, or make it stop when ctx.signal is aborted',
  SH2003: 'a thread or child process died while it ran: look for process.exit(), memory, or native code',
};

function outcome({ code, attempts, error }: TaskFailure): string {
  const tries = attempts === 1 ? '' : ` after ${attempts} attempts`;
  const thrown = `${error.name}: ${error.message}`;
  switch (code) {
    case 'SH2002':
      return `timed out${tries}: ${error.message}`;
    case 'SH2003':
      return `crashed${tries}: ${error.message}`;
    case 'SH2004':
      return `was skipped: ${error.message}`;
    case 'SH2005':
      return `was cancelled: ${error.message}`;
    case 'SH2006':
      return `expired: ${error.message}`;
    default:
      return `failed${tries}: ${thrown}`;
  }
}

/** Of a task that was stopped because of something else than itself. */
export function isStopped(failure: TaskFailure): boolean {
  return failure.code === 'SH2004' || failure.code === 'SH2005' || failure.code === 'SH2006';
}

/** Why a job has no result; undefined while it may still get one. */
export function jobError(view: JobView, label?: (failure: TaskFailure) => string | undefined): ShoalError | undefined {
  switch (view.state) {
    case 'failed':
      if (view.error) return new TaskError(view.job, view.error, label?.(view.error));
      return new ShoalError('SH2001', `job ${view.name} (${view.job}) failed`, { why: view.reason });
    case 'cancelled':
      return new ShoalError('SH2005', `job ${view.name} (${view.job}) was cancelled`, { why: view.reason });
    case 'expired':
      return new ShoalError('SH2006', `job ${view.name} (${view.job}) expired`, {
        why: view.reason,
        hint: 'give it a later deadline or a longer ttl, or more workers',
      });
    default:
      return undefined;
  }
}

export function refusalError(refusal: Refusal): ShoalError {
  return new ShoalError(refusal.code, refusal.message, { why: refusal.why, hint: refusal.hint });
}
