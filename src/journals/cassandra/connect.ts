/** What a `cassandra:` URL says, connections by it, and what the server's refusals mean. */
import { readFileSync } from 'node:fs';
import type { Client } from 'cassandra-driver';
import { ShoalError } from '../../lib/errors.ts';
import { peer } from '../../lib/peer.ts';
import { Secret } from '../../lib/secret.ts';
import { type EngineOptions, forbiddenError, heeding, unreachableError } from '../engine.ts';
import { JournalFullError } from '../journal.ts';

export const what = 'the Cassandra journal';

const connectMsMax = 4_000;
/** A node that was lost is looked for this often. */
const reconnectMs = 100;
const portDefault = 9042;
const keyspaceDefault = 'shoal';
const known = ['datacenter', 'tls', 'ca'] as const;

export interface Address {
  hosts: readonly string[];
  keyspace: string;
  /** The one that decides, where the keyspace is in several. */
  datacenter: string | undefined;
  login: { user: string; password: Secret } | undefined;
  tls: { ca?: string } | undefined;
}

export type Library = typeof import('cassandra-driver');

export const loadLibrary = (): Promise<Library> => peer(what, 'cassandra-driver', () => import('cassandra-driver'));

/** SH1305: before anything is dialled. */
export function addressOf(url: URL, otherHosts: readonly string[]): Address {
  const { searchParams: params } = url;
  for (const name of params.keys()) {
    if (!(known as readonly string[]).includes(name)) throw wrong(`cassandra: knows no ?${name}=`, `there are ${known.join(', ')}`);
  }
  const keyspace = decodeURIComponent(url.pathname.slice(1)) || keyspaceDefault;
  if (!/^\w{1,48}$/.test(keyspace)) throw wrong(`"${keyspace}" is no name of a keyspace`, 'up to 48 of a-z, A-Z, 0-9 and _');
  const port = url.port === '' ? portDefault : Number(url.port);
  return {
    hosts: [url.host, ...otherHosts].map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`)),
    keyspace,
    datacenter: params.get('datacenter') ?? undefined,
    login:
      url.username === '' ? undefined : { user: decodeURIComponent(url.username), password: new Secret(decodeURIComponent(url.password)) },
    tls: params.get('tls') === 'true' || params.has('ca') ? { ...(params.has('ca') && { ca: fileOf(params.get('ca')!) }) } : undefined,
  };
}

/** To the nodes of `datacenter`, or without one to whichever of the hosts answers. Rejects with a ShoalError. */
export async function connect(
  library: Library,
  address: Address,
  datacenter: string | undefined,
  { deadlineMs, signal }: Pick<EngineOptions, 'deadlineMs' | 'signal'>,
): Promise<Client> {
  const { hosts, login, tls } = address;
  const { loadBalancing, reconnection, retry } = library.policies;
  const client = new library.Client({
    contactPoints: [...hosts],
    ...(datacenter !== undefined && { localDataCenter: datacenter }),
    ...(login && { authProvider: new library.auth.PlainTextAuthProvider(login.user, login.password.reveal()) }),
    ...(tls && { sslOptions: { rejectUnauthorized: true, ...tls } }),
    policies: {
      loadBalancing: datacenter === undefined ? new loadBalancing.RoundRobinPolicy() : new loadBalancing.DefaultLoadBalancingPolicy(),
      reconnection: new reconnection.ConstantReconnectionPolicy(reconnectMs),
      // What is tried again is decided above, where the deadline is known.
      retry: new retry.FallthroughRetryPolicy(),
    },
    pooling: { warmup: datacenter !== undefined, heartBeatInterval: 10_000 },
    // A connection that did not answer one request in time is given up: nobody knows what became of the others on it.
    socketOptions: { connectTimeout: connectMsMax, readTimeout: Math.max(deadlineMs, connectMsMax), defunctReadTimeoutThreshold: 0 },
    encoding: { useBigIntAsLong: true },
    monitorReporting: { enabled: false },
  });
  withOneControl(client);
  const connecting = client.connect();
  try {
    await heeding(signal, connecting);
    return client;
  } catch (error) {
    // It has no way to stop while it connects.
    connecting.then(() => client.shutdown()).catch(() => undefined);
    throw asKnown(error) ?? unreachableError(what, shortly(error).message, error);
  }
}

interface Control {
  connection: unknown;
  _refresh?: (...given: unknown[]) => Promise<void>;
  _refreshControlConnection?: (hosts: unknown) => Promise<void>;
  _borrowAConnection?: (hosts: unknown) => unknown;
}

/**
 * Where all connections were lost the driver makes all that it knows of its hosts anew, beside what it has, which then looks for them
 * a second time: connections and timers that nobody ends, and errors where nobody listens, which end the process (its
 * NODEJS-681, open in 4.10). So it is left to wait until it has found its hosts again; it looks for them all the time.
 */
function withOneControl(client: Client): void {
  const { controlConnection: control } = client as unknown as { controlConnection?: Control };
  if (!control?._refresh || !control._refreshControlConnection || !control._borrowAConnection) return;
  const { _refresh: refresh, _borrowAConnection: borrow } = control;
  control._refreshControlConnection = async (hosts) => {
    control.connection = borrow.call(control, hosts);
  };
  control._refresh = (...given) => refresh.apply(control, given).catch(() => undefined);
}

const codes = { unauthorized: 0x2100, invalid: 0x2200, badCredentials: 0x0100, unprepared: 0x2500 } as const;

/** What trying again won't mend, in our words; undefined for what it may. */
export function asKnown(error: unknown): ShoalError | undefined {
  if (error instanceof ShoalError) return error;
  const { name, code, message, innerErrors } = error as { name: string; code?: unknown; message: string; innerErrors?: object };
  if (/disk usage exceeds failure threshold/.test(message)) return new JournalFullError(message, error);
  for (const inner of Object.values(innerErrors ?? {}) as unknown[]) {
    const ours = inner instanceof Error ? asKnown(inner) : undefined;
    if (ours) return ours;
  }
  if (name !== 'AuthenticationError' && code !== codes.unauthorized && code !== codes.badCredentials) return undefined;
  return forbiddenError(
    what,
    message,
    'look at the user and the password in its URL; docs/how-to/journals.md has the rights that it needs',
  );
}

/** Of all hosts it has their stacks in its message. */
export function shortly(error: unknown): Error {
  const { innerErrors } = error as { innerErrors?: Readonly<Record<string, unknown>> };
  const inner = Object.entries(innerErrors ?? {}).map(([host, each]) => `${host}: ${each instanceof Error ? each.message : String(each)}`);
  if (inner.length > 0) (error as Error).message = inner.join('; ');
  return error as Error;
}

/** Nothing was ever appended here, or it was lost. */
export function isMissing(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: string };
  return code === codes.invalid && /^unconfigured table|(table|keyspace) \S+ does(n't| not) exist/i.test(message ?? '');
}

/** The driver could not prepare a statement anew that it had prepared before, and says no more. */
export function isUnprepared(error: unknown): boolean {
  const { innerErrors } = error as { innerErrors?: object };
  return Object.values(innerErrors ?? {}).some((inner: { code?: unknown }) => inner.code === codes.unprepared);
}

function fileOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw wrong(`cannot read the certificates of ?ca=${path}`, (cause as Error).message);
  }
}

function wrong(what: string, hint: string): ShoalError {
  return new ShoalError('SH1305', what, { hint });
}
