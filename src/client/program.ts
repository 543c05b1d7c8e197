/**
 * How a tool that runs a user's program (`shoal run`) reaches the client inside it. The hook hangs on globalThis,
 * because the program may carry a copy of this package of its own.
 */
import type { JobView } from '../core/answers.ts';
import type { OpenOptions } from './opener.ts';

export interface ProgramEnd {
  /** What the body threw. */
  error?: unknown;
  exitCode: number;
  /** How the jobs that the program started stand, in the order of their start. */
  jobs: JobView[];
  /** The signal that ended the program. */
  signal?: NodeJS.Signals;
}

export interface ProgramBundle {
  /** sha256 of its bytes, hex. */
  hash: string;
  /** For people: the program's file name. */
  name: string;
  /** Where this process imported it from: definitions of this module are the bundle's. */
  url: string;
  /** The tasks that loading it defines: those that were there when `main` began. Absent before that, and without a `main`. */
  tasks?: ReadonlySet<string>;
  read(): Promise<Uint8Array>;
}

export interface ProgramHook {
  args: readonly string[];
  /** Where the default cluster is; absent: `SHOAL_ADDRESS`, then `local:`. */
  address?: string;
  options?: OpenOptions;
  /** The program as workers of a cluster are to get it. */
  bundle?: ProgramBundle;
  /** A key for the program's nth job (from 0) that brought none; with a journal, running again goes on where it was. */
  autoKey?(ordinal: number, name: string): string | undefined;
  /** Draws a job's progress instead of the bar, for every job or for those that ask for it (`asked`). */
  progress?(title: string, views: AsyncIterable<JobView>, asked: boolean): void | Promise<void>;
  /** A word of ours in between, on stderr: that it was interrupted, or detached, what it waits for, or what may surprise. Absent: as text. */
  tell?(
    type: 'interrupted' | 'detached' | 'waiting' | 'warning' | 'unread',
    text: string,
    data: { jobs: readonly string[]; address: string },
  ): void;
  /** Called once when the body is through, before the cluster closes. Who takes it reports errors and sets the exit code. */
  onEnd?(end: ProgramEnd): void | Promise<void>;
}

const hookKey = Symbol.for('shoal.program');

export function programHook(): ProgramHook | undefined {
  return (globalThis as { [hookKey]?: ProgramHook })[hookKey];
}

/** `undefined` takes it away again. */
export function installProgram(hook: ProgramHook | undefined): void {
  const holder = globalThis as { [hookKey]?: ProgramHook };
  if (hook === undefined) delete holder[hookKey];
  else holder[hookKey] = hook;
}
