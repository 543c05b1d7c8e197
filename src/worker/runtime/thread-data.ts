import type { MessagePort } from 'node:worker_threads';
import type { RuntimeOptions } from './channel.ts';

/** What a thread is told at its start. */
export interface ThreadData {
  options: RuntimeOptions;
  board: SharedArrayBuffer;
  /** To its host. */
  line: MessagePort;
  sourceMaps: boolean;
}
