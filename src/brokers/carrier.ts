/**
 * What a message system has to do so that `carried/` can make a Broker of it: carry small payloads to named inboxes
 * over one connection, from its opening to its end.
 *
 * An adapter knows its client library and its server, and nothing else. What all brokers need alike is `carried/`'s:
 * batching, splitting large messages, signing, the probe, deadlines, bounded buffers, dialling anew after a loss.
 *
 * Inboxes are named by their listeners' addresses:
 * - `hello` and `coordinator.<term>`: payloads wait for a listener that is away, as long as the system itself lives;
 * - `worker.<id>.<incarnation>` and `probe.<id>`: of one life. They and what lies in them are gone some minutes after
 *   nobody listens any more, without anybody's help.
 */
import type { Finding } from '../lib/finding.ts';

export interface Carrier {
  /** Bytes of one payload at most, as this server is configured. */
  readonly payloadBytesMax: number;
  /**
   * What is published to `inbox` after this resolved is handed over, several payloads at a time, in any order, perhaps
   * more than once. One handle at a time an inbox; nothing more is fetched than a bounded amount while it is pending;
   * payloads are acknowledged once it has resolved (it never rejects); those of a crash before may come again.
   */
  subscribe(inbox: string, handle: (payloads: readonly Uint8Array[]) => Promise<void>): Promise<Subscription>;
  /**
   * Resolves when the system has taken all of them, in this order; rejects when that is not known. Several calls may be
   * under way. An inbox where nobody listens is no error. The caller leaves the bytes unchanged.
   */
  publish(inbox: string, payloads: readonly Uint8Array[]): Promise<void>;
  /** What an operator should know about the server's settings; reads only, and needs no more rights than the rest. */
  inspect(): Promise<readonly Finding[]>;
  /** What only somebody who asks for it should wait for, or needs rights of its own: for `doctor`. */
  audit?(): Promise<readonly Finding[]>;
  /** Idempotent. Waits for nothing but what is needed to leave no timer and no socket behind. */
  close(): Promise<void>;
}

export interface Subscription {
  /** Hears nothing more; resolves when no handle is under way. */
  close(): Promise<void>;
}

export type { Finding };

export interface CarrierOptions {
  /** As the user gave it, credentials within. Never in an error's text. */
  url: URL;
  /** Hosts beyond the URL's own, `HOST` or `HOST:PORT`, where the user named several: `scheme://h1:1,h2:2/…`. */
  otherHosts?: readonly string[];
  /** The cluster's name: goes into the name of everything that is made on the server. `[a-z0-9-]{1,64}` */
  cluster: string;
  /** The connection is over, once, not after `close`. */
  onLost: (why: string) => void;
  /** One line for the log of this process. */
  onWarning: (line: string) => void;
}

/**
 * One connection, ready to use. Rejects by 10 s. The client library is imported within (see `lib/peer.ts`): a missing one
 * is SH1304 with the `npm install` that brings it.
 */
export type OpenCarrier = (options: CarrierOptions) => Promise<Carrier>;
