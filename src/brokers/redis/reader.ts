/**
 * The reader of one inbox: read, handle, acknowledge with the next read, on a connection of its own.
 *
 * It begins with what an earlier reader was given and did not acknowledge. A group that is not there (any more) is made
 * again, from the first entry on: whoever wrote meanwhile is heard. Where a full server has no room for it, it waits a moment
 * for what the readers of other inboxes, which are there already, take out.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { RedisConnection, RedisReply } from '../../lib/redis.ts';

export interface ReaderOptions {
  key: string;
  /** Undefined: for ever. */
  keepMs: number | undefined;
  connection: RedisConnection;
  handle: (payloads: readonly Uint8Array[]) => Promise<void>;
  /** Aborts when nobody waits for the opening any more. */
  signal: AbortSignal;
  onLost: (why: string) => void;
}

export interface Reader {
  /** Resolves when no handle is under way. */
  close(): Promise<void>;
  destroy(): void;
}

const group = 'shoal';
const consumer = 'inbox';
/** Of one read. */
const entriesMax = 64;
const blockMs = 5_000;
const roomPauseMs = 50;
const roomTriesMax = 60;

/** Resolves when what is written from now on is heard. */
export async function openReader({ key, keepMs, connection, handle, signal, onLost }: ReaderOptions): Promise<Reader> {
  let isClosed = false;
  let under: Promise<void> | undefined;

  async function make(): Promise<void> {
    const made = connection.command(['XGROUP', 'CREATE', key, group, '0', 'MKSTREAM']).catch(async (error: Error) => {
      if (error.message.startsWith('BUSYGROUP')) return;
      // A full server says so before it looks whether the group is there.
      if (!error.message.startsWith('OOM') || !(await isThere())) throw error;
    });
    await Promise.all([made, ...(keepMs === undefined ? [] : [connection.command(['PEXPIRE', key, String(keepMs)])])]);
  }

  async function isThere(): Promise<boolean> {
    const groups = await connection.command(['XINFO', 'GROUPS', key]).catch(() => undefined);
    return Array.isArray(groups) && groups.length > 0;
  }

  async function makeOnceThereIsRoom(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await make();
      } catch (error) {
        if (!(error as Error).message.startsWith('OOM') || tries === roomTriesMax) throw error;
      }
      await pause(roomPauseMs, undefined, { signal });
    }
  }

  function acknowledge(ids: readonly string[]): void {
    if (ids.length === 0) return;
    connection.command(['XACK', key, group, ...ids]).catch(() => undefined);
    connection.command(['XDEL', key, ...ids]).catch(() => undefined);
  }

  function read(from: string): Promise<RedisReply> {
    const options = ['COUNT', String(entriesMax), ...(from === '>' ? ['BLOCK', String(blockMs)] : [])];
    return connection.command(['XREADGROUP', 'GROUP', group, consumer, ...options, 'STREAMS', key, from], 'bytes');
  }

  async function loop(): Promise<void> {
    let from = '0';
    while (!isClosed) {
      try {
        const { ids, payloads } = entriesOf(await read(from));
        if (isClosed) return;
        if (ids.length === 0) from = '>';
        if (payloads.length > 0) {
          under = handle(payloads);
          await under;
          under = undefined;
        }
        // Goes out together with the next read.
        acknowledge(ids);
      } catch (error) {
        const { message } = error as Error;
        // FLUSHALL, or its time was over while this process stood still.
        if (isClosed || !/^(NOGROUP|UNBLOCKED)/.test(message)) throw error;
        await make();
        from = '0';
      }
    }
  }

  try {
    await makeOnceThereIsRoom();
  } catch (error) {
    connection.destroy();
    throw error;
  }
  const destroy = (): void => {
    isClosed = true;
    connection.destroy();
  };
  const looping = loop().catch((error: Error) => {
    if (!isClosed) onLost(error.message);
  });
  return {
    async close() {
      isClosed = true;
      // A read that is under way may be given entries meanwhile: they are not acknowledged, and so the next reader's.
      if (under) {
        await looping;
        // Behind the last acknowledgement.
        await connection.command(['PING']).catch(() => undefined);
      }
      connection.destroy();
    },
    destroy,
  };
}

/** One stream was asked for: `[[key, [[id, [field, value]], …]]]`, or nothing. Trimmed entries have no fields. */
function entriesOf(reply: RedisReply): { ids: string[]; payloads: Uint8Array[] } {
  const ids: string[] = [];
  const payloads: Uint8Array[] = [];
  const streams = (reply ?? []) as [Buffer, [Buffer, Buffer[] | null][]][];
  for (const [, entries] of streams) {
    for (const [id, fields] of entries) {
      ids.push(id.toString());
      if (fields?.[1]) payloads.push(fields[1]);
    }
  }
  return { ids, payloads };
}
