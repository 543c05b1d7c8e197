/**
 * Connections to the Redis server that holds a cluster's keys: the one that was named, the master that a Sentinel names, or
 * the one of Redis Cluster that serves their slot.
 */
import { peer } from './peer.ts';

export type RedisReply = string | number | Buffer | null | RedisReply[];

export interface RedisConnection {
  /** Bulk replies as text, or as bytes. Rejects with the server's own words. */
  command(args: readonly (string | Uint8Array)[], as?: 'text' | 'bytes'): Promise<RedisReply>;
  destroy(): void;
}

export interface RedisPlace {
  /** Credentials within. Never in an error's text. */
  url: URL;
  /** Hosts beyond the URL's own. */
  otherHosts?: readonly string[];
  /** Whose keys, all in the slot of `{cluster}`. */
  cluster: string;
  /** Who needs it, as errors name it: `the Redis broker`. */
  forWhat: string;
}

export type Connect = (onLost: (why: string) => void) => Promise<RedisConnection>;

type Client = Awaited<ReturnType<typeof load>>;
interface Host {
  hostname: string;
  port: number;
}

const openMsMax = 8_000;
const portDefault = 6379;
const sentinelPortDefault = 26_379;
/** Of `RESP_TYPES`: bulk strings. */
const bulk = 36;

const load = (forWhat: string): Promise<typeof import('@redis/client')> => peer(forWhat, '@redis/client', () => import('@redis/client'));

/** The first connection, and how to open more to the same server. */
export async function connectTo(
  place: RedisPlace,
  onLost: (why: string) => void,
): Promise<{ connection: RedisConnection; connect: Connect }> {
  const library = await load(place.forWhat);
  const { url, otherHosts = [], cluster } = place;
  const opened: RedisConnection[] = [];
  const open = async (host: Host, lost: (why: string) => void, isSentinel = false): Promise<RedisConnection> => {
    const connection = await openOne(library, url, host, lost, isSentinel);
    opened.push(connection);
    return connection;
  };
  const find = async (): Promise<{ connection: RedisConnection; connect: Connect }> => {
    const isSentinel = url.protocol === 'redis+sentinel:';
    const hosts = [url.host, ...otherHosts].map((text) => hostOf(text, isSentinel ? sentinelPortDefault : portDefault));
    const named = isSentinel ? [await masterOf(hosts, url, open)] : hosts;
    let { connection, host } = await firstOf(named, (each) => open(each, onLost));
    const owner = await ownerOf(connection, host, cluster);
    if (owner) {
      host = owner;
      connection = await open(owner, onLost);
    }
    for (const other of opened) if (other !== connection) other.destroy();
    const target = host;
    return { connection, connect: (lost) => within(openOne(library, url, target, lost, false)) };
  };
  try {
    return await within(find());
  } catch (error) {
    for (const connection of opened) connection.destroy();
    throw error;
  }
}

/** The first host that answers; what the last one said, if none does. */
async function firstOf<T>(hosts: readonly Host[], act: (host: Host) => Promise<T>): Promise<{ connection: T; host: Host }> {
  let problem: unknown;
  for (const host of hosts) {
    try {
      return { connection: await act(host), host };
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

async function masterOf(
  hosts: readonly Host[],
  url: URL,
  open: (host: Host, lost: (why: string) => void, isSentinel: boolean) => Promise<RedisConnection>,
): Promise<Host> {
  const master = url.pathname.slice(1) || 'mymaster';
  const { connection } = await firstOf(hosts, async (host) => {
    const sentinel = await open(host, () => undefined, true);
    const answer = await sentinel.command(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]);
    if (!Array.isArray(answer)) throw new Error(`the Sentinel at ${host.hostname}:${host.port} knows no master "${master}"`);
    return { hostname: String(answer[0]), port: Number(answer[1]) };
  });
  return connection;
}

/** Undefined: it has all keys itself, or is no part of a Redis Cluster. */
async function ownerOf(connection: RedisConnection, host: Host, cluster: string): Promise<Host | undefined> {
  const info = String(await connection.command(['INFO', 'cluster']));
  if (!/cluster_enabled:1/.test(info)) return undefined;
  const slot = Number(await connection.command(['CLUSTER', 'KEYSLOT', `shoal:{${cluster}}:hello`]));
  const ranges = (await connection.command(['CLUSTER', 'SLOTS'])) as [number, number, [string, number]][];
  const range = ranges.find(([from, to]) => from <= slot && slot <= to);
  if (!range) throw new Error(`no node of the Redis Cluster serves slot ${slot}`);
  const [hostname, port] = range[2];
  const owner = { hostname: hostname || host.hostname, port };
  return owner.hostname === host.hostname && owner.port === host.port ? undefined : owner;
}

async function openOne(
  library: Client,
  url: URL,
  { hostname, port }: Host,
  onLost: (why: string) => void,
  isSentinel: boolean,
): Promise<RedisConnection> {
  const hasCredentials = url.password !== '' && !isSentinel;
  const database = url.protocol === 'redis+sentinel:' ? url.searchParams.get('db') : url.pathname.slice(1);
  const client = library.createClient({
    RESP: 2,
    socket: { host: hostname, port, connectTimeout: 5_000, reconnectStrategy: false, ...(url.protocol === 'rediss:' && { tls: true }) },
    ...(hasCredentials && { password: decodeURIComponent(url.password) }),
    ...(hasCredentials && url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(database && !isSentinel && { database: Number(database) }),
    // A blocking read takes as long as it takes.
    commandOptions: { timeout: 0 },
    maintNotifications: 'disabled',
    disableOfflineQueue: false,
  });
  let isOpen = false;
  let isOver = false;
  const lost = (why: string): void => {
    if (isOpen && !isOver) onLost(why);
    isOver = true;
  };
  client.on('error', (error: Error) => lost(error.message || error.name));
  client.on('end', () => lost('the server closed the connection'));
  const destroy = (): void => {
    isOver = true;
    if (client.isOpen) client.destroy();
  };
  try {
    await within(client.connect());
  } catch (error) {
    destroy();
    throw error;
  }
  isOpen = true;
  const bytes = { typeMapping: { [bulk]: Buffer } };
  return {
    command: (args, as = 'text') => client.sendCommand(args.map(plain) as string[], as === 'bytes' ? bytes : {}) as Promise<RedisReply>,
    destroy,
  };
}

/** The library takes Buffers for bytes, and nothing else. */
function plain(argument: string | Uint8Array): string | Buffer {
  if (typeof argument === 'string' || Buffer.isBuffer(argument)) return argument;
  return Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength);
}

function hostOf(text: string, port: number): Host {
  const match = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  return { hostname: match?.[1] ?? match?.[2] ?? '127.0.0.1', port: Number(match?.[3] ?? port) };
}

function within<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${openMsMax / 1000} s`)), openMsMax);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
