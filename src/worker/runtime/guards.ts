/**
 * What a thread or child that runs tasks changes in its own process: console lines go to the job's log, and whatever
 * would end the process silently first tells what is done and who did it. Not for `inline:`, where the process is the
 * user's own.
 */
import { syncBuiltinESMExports } from 'node:module';
import { format, inspect } from 'node:util';
import { type ErrorRecord, toErrorRecord } from '../../lib/error-record.ts';
import { type Context, hasLoggedAll, writeLog } from './context.ts';
import { currentContext, scope, unscopedContext } from './current.ts';
import type { Runtime } from './runtime.ts';

const levels = { log: 'info', info: 'info', debug: 'debug', warn: 'warn', error: 'error', trace: 'error' } as const;

/** Other methods of console (table, count, assert, …) go through these by themselves. */
export function captureConsole(): void {
  for (const [method, level] of Object.entries(levels) as [keyof typeof levels, string][]) {
    const original = console[method];
    console[method] = (...args: unknown[]) => {
      const context = currentContext();
      if (!context) original(...args);
      // Once an attempt has used up its share, its lines are not even put together (W13).
      else if (!hasLoggedAll(context)) writeLog(context, level, format(...args));
    };
  }
  console.dir = (value: unknown, options) => console.log(inspect(value, { customInspect: false, ...options }));
}

/** `exit` ends the process for good, whatever process.exit is by now. */
export function guardProcess(runtime: Runtime): { exit: (code: number) => never } {
  const exit = process.exit.bind(process);

  process.exit = (code?: number | string | null) => {
    const shown = code ?? process.exitCode ?? 0;
    runtime.lastWords('exit', record(`the task called process.exit(${shown})`), guiltyOf(runtime));
    return exit(code ?? undefined);
  };
  // `import { exit } from 'node:process'` gets this one, too.
  syncBuiltinESMExports();

  const end = (what: string) => (error: unknown) => {
    const { message, ...rest } = toErrorRecord(error);
    runtime.lastWords('unhandled', { ...rest, message: `${what}: ${message}` }, guiltyOf(runtime));
    exit(1);
  };
  process.on('unhandledRejection', end('a promise was rejected and nobody handled it'));
  process.on('uncaughtException', end('an exception was not caught'));
  return { exit };
}

/** Whose code runs, if its attempt is still open: a task that has settled is not charged, nor is its successor (W15). */
function guiltyOf(runtime: Runtime): Context | undefined {
  const scoped = scope.getStore();
  if (scoped) return runtime.isRunning(scoped) || scoped === unscopedContext() ? scoped : undefined;
  return unscopedContext() ?? runtime.unscoped;
}

function record(message: string): ErrorRecord {
  return { name: 'Error', message, code: 'SH2003' };
}
