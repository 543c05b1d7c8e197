/**
 * The Broker plug: carries messages between coordinator and workers. It may lose, repeat, reorder and
 * delay them: the protocol above survives all of it. Tested by `broker.suite.ts` on every adapter.
 */
import { ShoalError } from '../lib/errors.ts';

/** `hello`, `coordinator.<term>`, `worker.<id>.<incarnation>`. */
export type Address = string;

/** Where a broker is. Plain data, which crosses to the processes that need it. */
export type BrokerPlace =
  /** The port of a coordinator. Without `token`: that of the environment, or one that the coordinator has left on this machine. */
  | { kind: 'ws'; address: string; token: string | undefined }
  /** A message system, by a URL that may hold credentials. */
  | { kind: 'server'; url: string; cluster: string; secret: string | undefined };

export interface Listener {
  /** Stops hearing; resolves when no handle is under way. Idempotent. */
  close(): Promise<void>;
}

export interface Broker {
  readonly maxMessageBytes: number;
  /** One handle at a time a listener; pending = back-pressure; settled = acknowledged; a throw = may redeliver. */
  listen(address: Address, handle: (messages: readonly Uint8Array[]) => void | Promise<void>): Promise<Listener>;
  /**
   * Resolves when the broker took it. Chunks, so that nothing is copied together; the caller leaves them unchanged.
   * MessageTooLargeError | BrokerUnavailableError (retryable, may still arrive). Rejects by a deadline; buffers are bounded.
   */
  send(address: Address, chunks: readonly Uint8Array[]): Promise<void>;
  /** 'up' only after a probe message went round (N01). */
  readonly state: 'up' | 'down';
  onState(tell: (state: 'up' | 'down') => void): void;
  /** Where all parties live in this process: messages go as they are, see post.ts. */
  readonly byHand?: ByHand;
  /** Messages that were not heard until now, because nobody of the cluster can have sent them so; where they are signed. */
  readonly refusedCount?: number;
  close(): Promise<void>;
}

/** The same promises for plain objects, which nobody changes once they were sent. */
export interface ByHand {
  listen(address: Address, handle: (messages: readonly object[]) => void | Promise<void>): Promise<Listener>;
  /** `bytes`: what it weighs. */
  send(address: Address, message: object, bytes: number): Promise<void>;
}

/** SH3101 */
export class MessageTooLargeError extends ShoalError {
  override readonly name = 'MessageTooLargeError';
  constructor(bytes: number, bytesMax: number) {
    super('SH3101', `a message of ${bytes} bytes exceeds the broker's limit of ${bytesMax}`);
  }
}

/** SH3102 */
export class BrokerUnavailableError extends ShoalError {
  override readonly name = 'BrokerUnavailableError';
  constructor(why: string, cause?: unknown) {
    super('SH3102', 'the broker cannot be reached', { why, cause });
  }
}
