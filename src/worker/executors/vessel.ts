/**
 * What a slot runs in: one thread, one child process, or a runtime in this very thread. A vessel lives once; the host
 * (host.ts) launches another when it is gone.
 */
import type { Mark } from '../runtime/board.ts';
import type { FromRuntime, ToRuntime } from '../runtime/channel.ts';
import type { ErrorRecord } from './executor.ts';

export interface VesselEvents {
  message(message: FromRuntime): void;
  /** It ended by itself; not called after `kill()`. */
  died(how: string, error: ErrorRecord): void;
}

export interface Vessel {
  post(message: ToRuntime, transfer: ArrayBuffer[]): void;
  /** Memory that host and runtime share, if they do: then the host takes back what has not started by itself. */
  readonly shared: { claims: Uint8Array } | undefined;
  /** What the lanes run right now, or ran at its death. */
  marksOf(work: number, lanes: number): Mark[];
  /** Must this process stay alive for it? */
  hold(busy: boolean): void;
  /** Ends it at once, and its groups and directories with it. */
  kill(): Promise<void>;
}

export type Launch = (events: VesselEvents) => Vessel;

export function crashRecord(message: string): ErrorRecord {
  return { name: 'Error', message, code: 'SH2003' };
}

/** One that could not be launched: it dies as soon as its works are posted. */
export function stillborn(events: VesselEvents, error: ErrorRecord, afterMs: number): Vessel {
  const timer = setTimeout(() => events.died('exit', error), afterMs);
  return {
    shared: undefined,
    post: () => undefined,
    marksOf: () => [],
    hold: () => undefined,
    kill: async () => clearTimeout(timer),
  };
}
