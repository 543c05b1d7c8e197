/** How the client reaches a coordinator without knowing any kind of it: `open.ts` installs the opener. */
import type { Session } from '../core/messages.ts';
import type { Secret } from '../lib/secret.ts';

export interface OpenOptions {
  threads?: number;
  token?: string | Secret;
  /** `memory:` or `file:DIR`; local and inline only. */
  journal?: string;
  isolation?: 'thread' | 'process';
  /** Between a task's signal and its termination, ms; default 5000. */
  cancelGraceMs?: number;
  /** Where the address came from, for errors. */
  from?: string | undefined;
  /** Tries to reach a coordinator before giving up; default 5, within 10 s. */
  attempts?: number;
  /** A line to a coordinator has been away for a while, or is back. */
  onState?: (state: 'away' | 'back', why: string) => void;
  /** One line for people (local and inline); default: a warning of the process. */
  onWarning?: (line: string) => void;
  /** Called with each captured log line (local and inline). */
  onLog?: (line: import('../core/messages.ts').LogLine) => void;
}

export interface Opened {
  /** As the user would write it: `local:8`, `inline:`, `http://…`. */
  readonly address: string;
  /** Does what was submitted outlive this process? */
  readonly durable: boolean;
  /** Somewhere else: jobs go on without this process, and its files mean nothing there. */
  readonly isRemote?: boolean;
  session(): Session;
  /** Ends threads and files. Idempotent. */
  close(): Promise<void>;
}

/** Address: `inline:` | `local:` | `local:8` | `local:8?isolation=process` | `http://…` | `https://…`. Unknown ones: SH1301. */
export type Opener = (address: string, options: OpenOptions) => Promise<Opened>;

let opener: Opener | undefined;

/** Called once, by the package's entry. */
export function installOpener(open: Opener | undefined): void {
  opener = open;
}

export const open: Opener = (address, options) => {
  if (opener) return opener(address, options);
  throw new Error('the package was loaded without its entry: import from "shoal"');
};
