import type { RuntimeOptions } from './channel.ts';

/** What a thread is told at its start. */
export interface ThreadData {
  options: RuntimeOptions;
  board: SharedArrayBuffer;
  sourceMaps: boolean;
}
