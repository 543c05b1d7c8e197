/** Which module called: workers load it to find the task that it defines. */
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * URL of the module that called `below`; undefined where code has no file (a REPL, `--eval`). Asked by structured
 * frames, because the text of a stack is rewritten by source maps and the worker needs what Node really loads.
 */
export function callerUrl(below: (...args: never[]) => unknown): string | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_error, frames) => frames;
    const holder: { stack?: unknown } = {};
    Error.captureStackTrace(holder, below);
    const frames = holder.stack as NodeJS.CallSite[];
    return fileUrl(frames[0]?.getFileName() ?? undefined);
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function fileUrl(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (name.startsWith('file:')) return name;
  return isAbsolute(name) ? pathToFileURL(name).href : undefined;
}
