/**
 * Calls to an election's server: each has a deadline (S10), and a failure becomes one warning when trouble begins and
 * one when it ends, however often it is tried again. So does an answer that is right, and too late to lead by.
 */
import { ShoalError } from '../lib/errors.ts';
import type { Outside } from '../lib/outside.ts';

/** SH3011, thrown by adapters: no retry mends it. */
export function refusedError(name: string, why: string, hint?: string): ShoalError {
  return new ShoalError('SH3011', `the election at ${name} refuses us`, { why, hint });
}

export function isRefused(error: unknown): error is ShoalError {
  return error instanceof ShoalError && error.code === 'SH3011';
}

export interface CallsOptions {
  /** Where the server is, without secrets. */
  name: string;
  outside: Outside;
  onWarning: (line: string) => void;
}

export class Calls {
  private readonly options: CallsOptions;
  private isTroubled = false;
  private isSlow = false;

  constructor(options: CallsOptions) {
    this.options = options;
  }

  /**
   * The signal aborts at the deadline: then the connection goes, since it may be dead without saying so.
   * Rejects with SH3010 or SH3011.
   */
  async make<T>(withinMs: number, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { name, outside } = this.options;
    const late = new AbortController();
    let fail: (error: unknown) => void = () => undefined;
    const deadline = new Promise<never>((_, reject) => (fail = reject));
    const timer = outside.after(withinMs, () => {
      const error = new Error(`no answer within ${Math.round(withinMs)} ms`);
      fail(error);
      late.abort(error);
    });
    try {
      const answer = await Promise.race([act(late.signal), deadline]);
      if (this.isTroubled) this.options.onWarning(`the election at ${name} answers again`);
      this.isTroubled = false;
      return answer;
    } catch (cause) {
      if (isRefused(cause)) throw cause;
      const why = reason(cause);
      // Of a slow one it is no news that it misses a deadline.
      if (!this.isTroubled && !(this.isSlow && late.signal.aborted)) {
        this.options.onWarning(`the election at ${name} can't be reached, and is tried again: ${why}`);
        this.isTroubled = true;
      }
      throw new ShoalError('SH3010', `the election at ${name} can't be reached`, { why, cause });
    } finally {
      timer.cancel();
    }
  }

  /** It answers, and nobody could keep a lease by that. */
  tooSlow(tookMs: number, mostMs: number): void {
    const took = `a renewal took ${Math.round(tookMs)} ms, of ${Math.floor(mostMs)} that it may take`;
    if (!this.isSlow)
      this.options.onWarning(`the election at ${this.options.name} answers too slowly to lead, and is tried again: ${took}`);
    this.isSlow = true;
  }

  soonEnough(): void {
    if (this.isSlow) this.options.onWarning(`the election at ${this.options.name} answers soon enough again`);
    this.isSlow = false;
  }
}

/** Errors of the network often have their words in a cause, or in several errors of one each address. */
function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  return error.message || ((error as NodeJS.ErrnoException).code ?? error.name);
}
