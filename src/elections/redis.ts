/** `redis://…` — one key with a time to live. A failover may forget it: replication is asynchronous, and the journal is there. */
import { peer } from '../lib/peer.ts';
import { refusedError } from './calls.ts';
import { Connection, type Dial } from './connection.ts';
import { type Claim, defaultTtlMs, type ElectionOptions, type LeaseStore } from './lease.ts';

const take = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;
const renew = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;
const release = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`;

/** As much of the client as is used here. */
interface Line {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  get(key: string): Promise<string | null>;
}

export async function redisStore(url: string, options: ElectionOptions): Promise<LeaseStore> {
  const library = await peer('the Redis election', '@redis/client', () => import('@redis/client'));
  const ttlMs = options.ttlMs ?? defaultTtlMs;
  const { protocol, host } = new URL(url);
  const name = `${protocol}//${host}`;
  const key = `shoal:{${options.cluster}}:election`;

  const dial: Dial<Line> = async (signal, onBroken) => {
    const client = library.createClient({ url, disableOfflineQueue: true, socket: { reconnectStrategy: false, connectTimeout: ttlMs } });
    // Whatever it means is told by the call under way.
    client.on('error', onBroken);
    client.on('end', onBroken);
    let isConnected = false;
    const hangUp = (): void => {
      if (isConnected && client.isOpen) client.destroy();
    };
    // Destroyed before, it would connect all the same, for ever: nobody could end it any more, nor would this process.
    client.on('connect', () => {
      isConnected = true;
      if (signal.aborted) hangUp();
    });
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      await client.connect();
    } finally {
      signal.removeEventListener('abort', hangUp);
    }
    return { line: client as unknown as Line, hangUp };
  };
  const connection = new Connection(dial);
  const use = <T>(signal: AbortSignal, act: (line: Line) => Promise<T>): Promise<T> =>
    connection.use(signal, act).catch((error: Error) => {
      throw isRefusal(error.message) ? refusedError(name, error.message, 'it needs GET, SET, PEXPIRE, DEL and EVAL on shoal:*') : error;
    });

  return {
    name,
    claim: ({ record }): Claim => {
      const run = (signal: AbortSignal, script: string): Promise<boolean> =>
        use(signal, async (line) => (await line.eval(script, { keys: [key], arguments: [record, String(ttlMs)] })) === 1);
      return {
        take: async (signal) => ((await run(signal, take)) ? ttlMs : undefined),
        renew: (signal) => run(signal, renew),
        release: async (signal) => void (await run(signal, release)),
      };
    },
    holder: async (signal) => (await use(signal, (line) => line.get(key))) ?? undefined,
    close: async () => connection.close(),
  };
}

function isRefusal(message: string): boolean {
  return /^(WRONGPASS|NOAUTH|NOPERM|WRONGTYPE|ERR (invalid|DB index|unknown command|Client sent AUTH))/.test(message);
}
