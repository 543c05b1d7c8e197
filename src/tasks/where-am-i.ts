/**
 * Does this code run in a thread or process that Shoal started for tasks? There, loading a program must define its
 * tasks and start nothing. Kept on globalThis, so that a second copy of the package knows it too. `inline:` runs tasks
 * in the client's own thread and says no.
 */
const insideKey = Symbol.for('shoal.insideTask');

interface Holder {
  [insideKey]?: boolean;
}

export function insideTask(): boolean {
  return (globalThis as Holder)[insideKey] === true;
}

/** Said once, by the entry of a thread or child, before any module of the user is loaded. */
export function enterTaskThread(): void {
  (globalThis as Holder)[insideKey] = true;
}
