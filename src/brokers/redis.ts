/**
 * Redis (6.2 or later, and Valkey) as a carrier: an inbox is a stream with a consumer group, read by one consumer.
 *
 * 1. Each inbox is read on a connection of its own, where blocking reads hold up nothing else.
 * 2. An entry is acknowledged and deleted after its handle; one that was read and not acknowledged is read first by the
 *    next reader of that inbox.
 * 3. Only `hello` is made by whoever writes to it. All other inboxes are made by their readers, who also renew the time that
 *    they have left: what is written to one that is gone is dropped, so that nothing stays behind of a dead worker.
 * 4. All keys of a cluster have one hash tag, and so one slot and one master in Redis Cluster.
 * 5. What the server forgets (FLUSHALL) is made again by readers as soon as they hear of it.
 */

import { ShoalError } from '../lib/errors.ts';
import { type Connect, connectTo, type RedisConnection } from '../lib/redis.ts';
import type { Carrier, CarrierOptions, Finding, Subscription } from './carrier.ts';
import { openReader, type Reader } from './redis/reader.ts';
import { inspectRedis } from './redis/settings.ts';

const payloadBytesMax = 512 * 1024;
/** A safety belt: readers delete what they have handled. */
const entriesMax = 100_000;
/** Inboxes of one life have so long left after their last renewal, which comes once a minute. */
const keepMs = { worker: 300_000, coordinator: 86_400_000 } as const;
const renewMs = 60_000;

const keepMsOf = (inbox: string): number | undefined =>
  inbox === 'hello' ? undefined : inbox.startsWith('coordinator.') ? keepMs.coordinator : keepMs.worker;

export async function openRedis(options: CarrierOptions): Promise<Carrier> {
  const over = new AbortController();
  const readers = new Map<Reader, { key: string; keepMs: number | undefined }>();
  const closeAll = (): void => {
    over.abort();
    clearInterval(renewing);
    publisher.destroy();
    for (const reader of readers.keys()) reader.destroy();
  };
  const lost = (why: string): void => {
    if (over.signal.aborted) return;
    closeAll();
    options.onLost(why);
  };
  const { connection: publisher, connect }: { connection: RedisConnection; connect: Connect } = await connectTo(
    { ...options, forWhat: 'the Redis broker' },
    lost,
  ).catch((error: unknown) => {
    throw refusal(error);
  });
  const renew = (): void => {
    for (const { key, keepMs: ms } of readers.values()) {
      if (ms !== undefined) publisher.command(['PEXPIRE', key, String(ms)]).catch(() => undefined);
    }
  };
  const renewing = setInterval(renew, renewMs);
  renewing.unref();
  const keyOf = (inbox: string): string => `shoal:{${options.cluster}}:${inbox}`;

  return {
    payloadBytesMax,
    async subscribe(inbox, handle): Promise<Subscription> {
      const entry = { key: keyOf(inbox), keepMs: keepMsOf(inbox) };
      const reader = await openReader({ ...entry, connection: await connect(lost), handle, signal: over.signal, onLost: lost });
      if (over.signal.aborted) reader.destroy();
      readers.set(reader, entry);
      return {
        async close() {
          await reader.close();
          readers.delete(reader);
        },
      };
    },
    async publish(inbox, payloads) {
      const key = keyOf(inbox);
      const make = inbox === 'hello' ? [] : ['NOMKSTREAM'];
      try {
        await Promise.all(
          payloads.map((payload) => publisher.command(['XADD', key, ...make, 'MAXLEN', '~', String(entriesMax), '*', 'p', payload])),
        );
      } catch (error) {
        // It is no longer the master of these keys: where they went is found out by connecting anew.
        const { message } = error as Error;
        if (/^(READONLY|MOVED|CLUSTERDOWN|MASTERDOWN|LOADING)/.test(message)) lost(message);
        throw error;
      }
    },
    inspect: (): Promise<readonly Finding[]> => inspectRedis(publisher, options.url),
    async close() {
      closeAll();
    },
  };
}

function refusal(error: unknown): unknown {
  const { message } = error as Error;
  if (!/^(WRONGPASS|NOAUTH)/.test(message)) return error;
  return new ShoalError('SH3105', 'Redis does not let this user in', {
    why: message,
    hint: 'the address is redis://USER:PASSWORD@HOST:PORT, each part percent-encoded; without a user redis://:PASSWORD@HOST',
  });
}
