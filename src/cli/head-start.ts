/**
 * Threads start while the program is still being compiled: its default cluster is opened before anybody asked, and
 * handed over to the first who does.
 */
import { installOpener, type Opened, type OpenOptions } from '../client/opener.ts';
import type { LogLine } from '../core/messages.ts';
import { open } from '../open.ts';

/** Gives what closes the cluster if nobody took it. */
export function headStart(address: string, options: OpenOptions): () => Promise<void> {
  // What is logged before anybody took it would have no job that it belongs to.
  let onLog: ((line: LogLine) => void) | undefined;
  let early: Promise<Opened> | undefined = open(address, { ...options, onLog: (line) => onLog?.(line) });
  // An error is told to whoever takes it; a program that starts no job does not care.
  early.catch(() => undefined);
  installOpener((wanted, wantedOptions) => {
    if (early === undefined || wanted !== address) return open(wanted, wantedOptions);
    const taken = early;
    early = undefined;
    onLog = wantedOptions.onLog;
    return taken;
  });
  return async () => {
    const left = early;
    early = undefined;
    await left?.then(
      (opened) => opened.close(),
      () => undefined,
    );
  };
}
