/** What can happen to the core: a word of a client, of a worker, or of its own shell. */
import type { FromClient, FromWorker } from './messages.ts';

export type Input =
  | { from: 'client'; session: string; message: FromClient /** A fresh id, used if a job is opened. */; newId: string }
  | { from: 'client'; session: string; message: 'closed' }
  | { from: 'worker'; message: FromWorker }
  /** What it sees of the broker: whether it is lost, and how many messages came that no process of the cluster has signed. */
  | { from: 'self'; event: 'tick'; isBrokerDown?: boolean; refusedCount?: number }
  /** Nothing was appended for long: an entry shows whether it still leads. */
  | { from: 'self'; event: 'lease' }
  /** An append was confirmed after this long. */
  | { from: 'self'; event: 'committed'; tookMs: number }
  /** The journal has no room (true) or has taken something again (false). */
  | { from: 'self'; event: 'full'; full: boolean }
  /** The line of whoever listened there is closed. */
  | { from: 'self'; event: 'connectionClosed'; address: string }
  /** That generation of what the job's tasks print is as long as it may be. */
  | { from: 'self'; event: 'logFull'; job: string; generation: number }
  /** Their space is free again. */
  | { from: 'self'; event: 'streamsGone'; streams: readonly string[] }
  /** All live streams are folded and carry this term's barrier. */
  | { from: 'self'; event: 'tookOver'; term: number };
