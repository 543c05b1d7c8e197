/** What a task is given beside its input. Only types; worker/runtime/context.ts is the thing itself. */

/** Lines go to the job's log, with the fields behind the message. */
export interface Logger {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
}

export interface ExecOptions {
  /** Working directory; default: this process's. */
  cwd?: string;
  /** Called with each line of stdout and stderr as it comes. */
  onLine?: (line: string) => void;
}

export interface TaskContext {
  /** Aborts when the task is cancelled or over its `timeout`; the thread is ended if the task does not return within the grace. */
  readonly signal: AbortSignal;
  /** From 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly job: { id: string; name: string };
  /** `id` is the same in every attempt: the idempotency key for the outside world. */
  readonly task: { id: string; name: string; index: number };
  readonly log: Logger;
  /** Shows how far the task is. Cheap: passed on at most ten times a second, the last word always. */
  progress(done: number, total?: number, note?: string): void;
  /** A private directory, the same one at each call, removed when the attempt ends. */
  scratch(): Promise<string>;
  /**
   * Runs a command without a shell, in a process group that is ended as a whole when the signal aborts or the attempt
   * ends. Rejects on an exit code other than 0 with an error that has `exitCode`, `signal`, `stdout` and `stderr`, and
   * where it writes more than 64 MiB.
   */
  exec(command: string, args: readonly string[], options?: ExecOptions): Promise<{ stdout: string; stderr: string }>;
}
