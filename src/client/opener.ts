/** How the client reaches a coordinator without knowing any kind of it: `open.ts` installs the opener. */
import type { Session } from '../core/messages.ts';

export interface OpenOptions {
  threads?: number;
  token?: string;
  /** `memory:` or `file:DIR`; local and inline only. */
  journal?: string;
  isolation?: 'thread' | 'process';
  /** Between a task's signal and its termination, ms; default 5000. */
  cancelGraceMs?: number;
  /** Called with each captured log line (local and inline). */
  onLog?: (line: import('../core/messages.ts').LogLine) => void;
}

export interface Opened {
  /** As the user would write it: `local:8`, `inline:`, `http://…`. */
  readonly address: string;
  /** Does what was submitted outlive this process? */
  readonly durable: boolean;
  session(): Session;
  /** Resolves when this many workers are there. */
  waitForWorkers(count: number, timeoutMs?: number): Promise<void>;
  /** Ends threads and files. Idempotent. */
  close(): Promise<void>;
}

/** Address: `inline:` | `local:` | `local:8` | `local:8?isolation=process`. Unknown ones: SH1301. */
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
