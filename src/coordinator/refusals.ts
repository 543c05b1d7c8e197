/** Why a coordinator does not do what it is asked, in words. */
import type { Refusal } from '../core/messages.ts';
import { ShoalError } from '../lib/errors.ts';

export function lostError({ reason }: AbortSignal): ShoalError {
  const { why } = reason as { why?: string };
  return new ShoalError('SH3003', 'the leadership was lost', { why, cause: reason });
}

export const closed: Refusal = { code: 'SH1302', message: 'the cluster is closed' };

export function fullRefusal(name: string): Refusal {
  return {
    code: 'SH4003',
    message: `${name} was not submitted: the journal has no room left`,
    hint: 'free some space; running jobs are kept and go on by themselves',
  };
}

/** It has stopped by itself. */
export function stoppedRefusal(error: unknown): Refusal {
  const known = error instanceof ShoalError ? error : undefined;
  return {
    code: known?.code ?? 'SH3004',
    message: `the coordinator stopped: ${error instanceof Error ? error.message : String(error)}`,
    ...(known?.why === undefined ? {} : { why: known.why }),
    hint: known?.hint ?? 'nothing that was confirmed is lost; start it again to go on',
  };
}
