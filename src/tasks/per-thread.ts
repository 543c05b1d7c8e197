/**
 * Values that are opened once in each thread: connections, models, compiled grammars. The thread's closers run when
 * its slot ends in good order (they can't where a thread is terminated), newest first, since later ones may lean on
 * earlier ones.
 *
 * The list hangs on globalThis: every copy of this package in a thread adds to the one list that the runtime closes.
 */

interface ThreadValues {
  closers: (() => Promise<void>)[];
  /** Runtimes that live in this thread: several only with `inline:`. */
  users: number;
}

const valuesKey = Symbol.for('shoal.perThread');

function values(): ThreadValues {
  const holder = globalThis as { [valuesKey]?: ThreadValues };
  holder[valuesKey] ??= { closers: [], users: 0 };
  return holder[valuesKey];
}

/**
 * A value that each thread opens on first use and keeps. Calls that come while it opens share that opening; an opening
 * that fails is tried again by the next call.
 * @param open makes the value
 * @param close gives it back when the thread's slot ends in good order
 */
export function perThread<T>(open: () => T | Promise<T>, close?: (value: T) => void | Promise<void>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () => {
    if (opened) return opened;
    const opening = openAndKeep();
    opened = opening;
    opening.catch(() => {
      if (opened === opening) opened = undefined;
    });
    return opening;
  };

  async function openAndKeep(): Promise<T> {
    const value = await open();
    values().closers.push(async () => {
      opened = undefined;
      await close?.(value);
    });
    return value;
  }
}

/** A runtime starts to use this thread. */
export function joinThread(): void {
  values().users += 1;
}

/** A runtime is through with this thread: the last one closes what was opened. Answers with what closers threw. */
export async function leaveThread(): Promise<unknown[]> {
  const mine = values();
  mine.users -= 1;
  if (mine.users > 0) return [];
  const failures: unknown[] = [];
  while (mine.closers.length > 0) {
    try {
      await mine.closers.pop()?.();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}
