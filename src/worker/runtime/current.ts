/**
 * Which task does the code that runs now belong to? A synchronous task is simply the current one. Asynchronous tasks
 * run in a scope of their own, so that lanes side by side, and what a task leaves behind after it settled, are told
 * apart. The scope costs nothing until the first of them runs.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from './context.ts';

export const scope = new AsyncLocalStorage<Context>();

let current: Context | undefined;

export function setCurrent(context: Context | undefined): void {
  current = context;
}

export function currentContext(): Context | undefined {
  return scope.getStore() ?? current;
}

/** The task whose synchronous code runs, or the only one that is waited for without a scope. */
export function unscopedContext(): Context | undefined {
  return current;
}
