/**
 * `zookeeper://HOST:PORT,…/PATH` — an ephemeral sequential node in a session of this term; the lowest leads, each waits for the one
 * before it. A renewal writes the own node: a follower without its quorum still answers reads, but no writes.
 */
import type { Client, Exception } from 'node-zookeeper-client';
import { peer } from '../lib/peer.ts';
import { refusedError } from './calls.ts';
import { Connection, type Dialled } from './connection.ts';
import { type Claim, defaultTtlMs, type ElectionOptions, type LeaseStore, type Term } from './lease.ts';

type Library = typeof import('node-zookeeper-client');

export async function zookeeperStore(url: string, options: ElectionOptions): Promise<LeaseStore> {
  // CommonJS: its exports come as the default one.
  const library = await peer(
    'the ZooKeeper election',
    'node-zookeeper-client',
    async () => (await import('node-zookeeper-client')).default,
  );
  return new ZookeeperStore(library, url, options);
}

class ZookeeperStore implements LeaseStore {
  readonly name: string;
  readonly library: Library;
  readonly folder: string;
  readonly ttlMs: number;
  private readonly hosts: string;
  private readonly login: string | undefined;
  private readonly onWarning: (line: string) => void;
  private readonly reading: Connection<Client>;
  private hasWarned = false;

  constructor(library: Library, url: string, options: ElectionOptions) {
    const [, login, hosts = '', path = ''] = /^zookeeper:\/\/(?:([^@]*)@)?([^/]*)(.*?)\/?$/.exec(url) ?? [];
    this.library = library;
    this.hosts = hosts;
    this.login = login === undefined ? undefined : login.split(':').map(decodeURIComponent).join(':');
    this.name = `zookeeper://${hosts}${path}`;
    this.folder = `${path === '' ? '/shoal' : path}/${encodeURIComponent(options.cluster)}-election`;
    this.ttlMs = options.ttlMs ?? defaultTtlMs;
    this.onWarning = options.onWarning ?? (() => undefined);
    this.reading = new Connection((signal, onBroken) => this.dial(signal, onBroken));
  }

  claim(term: Term): Claim {
    return new ZookeeperClaim(this, term);
  }

  holder(signal: AbortSignal): Promise<string | undefined> {
    return this.reading.use(signal, async (client) => {
      const [lowest] = await this.candidates(client).catch(unless(this.library.Exception.NO_NODE, () => []));
      if (lowest === undefined) return undefined;
      const read = call<Buffer>((done) => client.getData(`${this.folder}/${lowest}`, done));
      return (await read.catch(unless(this.library.Exception.NO_NODE, () => undefined)))?.toString();
    });
  }

  async close(): Promise<void> {
    this.reading.close();
  }

  /** Everybody's nodes, the first one first. */
  async candidates(client: Client): Promise<string[]> {
    const names = await call<string[]>((done) => client.getChildren(this.folder, done));
    return names.filter((name) => name.startsWith('c-')).sort();
  }

  /** A session of its own, which the server keeps for as long as it said. */
  async dial(signal: AbortSignal, onExpired = (): void => undefined): Promise<Dialled<Client>> {
    const client = this.library.createClient(this.hosts, { sessionTimeout: this.ttlMs, spinDelay: 100 });
    client.once('expired', onExpired);
    const hangUp = (): void => end(client);
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      const connected = new Promise<void>((resolve, reject) => {
        client.once('connected', resolve);
        client.once('authenticationFailed', () => reject(refusedError(this.name, 'authentication failed')));
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
      if (this.login !== undefined) client.addAuthInfo('digest', Buffer.from(this.login));
      client.connect();
      await connected;
    } catch (error) {
      hangUp();
      throw error;
    } finally {
      signal.removeEventListener('abort', hangUp);
    }
    const grantedMs = client.getSessionTimeout();
    if (grantedMs > this.ttlMs && !this.hasWarned) {
      this.hasWarned = true;
      this.onWarning(`${this.name} waits ${grantedMs} ms for a silent leader, not ${this.ttlMs}: see its minSessionTimeout`);
    }
    return { line: client, hangUp };
  }

  /** For who logs in, nobody else may write. */
  get rights(): import('node-zookeeper-client').ACL[] {
    const { ACL, Id, Permission } = this.library;
    const who = this.login === undefined ? new Id('world', 'anyone') : new Id('auth', '');
    return [new ACL(Permission.ALL, who)];
  }

  refused(error: unknown): unknown {
    const { NO_AUTH, AUTH_FAILED, INVALID_ACL } = this.library.Exception;
    const code = codeOf(error);
    if (code === undefined || ![NO_AUTH, AUTH_FAILED, INVALID_ACL].includes(code)) return error;
    return refusedError(this.name, String(error), `it needs all rights on ${this.folder}`);
  }
}

class ZookeeperClaim implements Claim {
  private readonly store: ZookeeperStore;
  private readonly data: Buffer;
  private session: Dialled<Client> | undefined;
  private node: string | undefined;
  private before: string | undefined;
  private wake: () => void = () => undefined;
  /** Always the same one: the client keeps each that it is given until there is news. Those of a renewal come too. */
  private readonly onChange = (): void => this.wake();

  constructor(store: ZookeeperStore, term: Term) {
    this.store = store;
    this.data = Buffer.from(term.record);
  }

  async take(signal: AbortSignal): Promise<number | undefined> {
    try {
      this.session ??= await this.store.dial(signal);
      const { line } = this.session;
      signal.addEventListener('abort', () => this.leave(), { once: true });
      this.node ??= await this.enter(line);
      const names = await this.store.candidates(line);
      const place = names.indexOf(this.node);
      this.before = names[place - 1];
      if (place > 0) return undefined;
      if (place < 0 || !(await this.renew())) throw new Error('the own node is gone');
      return line.getSessionTimeout();
    } catch (error) {
      // Whether there is a node of ours nobody knows; with its session it goes.
      this.leave();
      throw this.store.refused(error);
    }
  }

  async renew(): Promise<boolean> {
    const { NO_NODE, SESSION_EXPIRED } = this.store.library.Exception;
    const { session, node, data } = this;
    if (!session || node === undefined) return false;
    const write = call((done) => session.line.setData(`${this.store.folder}/${node}`, data, -1, done)).then(() => true);
    return write.catch(unless(NO_NODE, () => false)).catch(unless(SESSION_EXPIRED, () => false));
  }

  async release(signal: AbortSignal): Promise<void> {
    const { session, node } = this;
    // Without an answer too: the client would dial for ever, and a session that it finds again would stand in the way.
    signal.addEventListener('abort', () => this.leave(), { once: true });
    if (session && node !== undefined) {
      // The session's end would do, were it sure to be heard before the connection ends.
      await call<void>((done) => session.line.remove(`${this.store.folder}/${node}`, -1, done)).catch(() => undefined);
    }
    this.leave();
  }

  freed(signal: AbortSignal): Promise<void> {
    const { session, before } = this;
    const { NO_NODE } = this.store.library.Exception;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (!session || before === undefined) return;
      this.wake = resolve;
      // A failure is no sign; asking again from time to time replaces the watch.
      session.line.getData(`${this.store.folder}/${before}`, this.onChange, (error) => void (codeOf(error) === NO_NODE && resolve()));
    });
  }

  private async enter(client: Client): Promise<string> {
    const { folder, rights, library } = this.store;
    const path = (): Promise<string> =>
      call((done) => client.create(`${folder}/c-`, this.data, rights, library.CreateMode.EPHEMERAL_SEQUENTIAL, done));
    const makeFolder = async (): Promise<string> => {
      await call((done) => client.mkdirp(folder, rights, done));
      return path();
    };
    const made = await path().catch(unless(library.Exception.NO_NODE, makeFolder));
    return made.slice(folder.length + 1);
  }

  private leave(): void {
    this.session?.hangUp();
    this.session = undefined;
    this.node = undefined;
  }
}

interface Inside {
  socket?: import('node:net').Socket;
  servers: { host: string; port: number }[];
  nextServerIndex: number;
}

/**
 * Ends session and socket. The client itself says goodbye and then waits for an answer, for ever if none comes; and if it was
 * between two servers, it would still dial the next one.
 */
function end(client: Client): void {
  const inside = (client as unknown as { connectionManager: Inside }).connectionManager;
  client.close();
  inside.servers = [{ host: '127.0.0.1', port: 0 }];
  inside.nextServerIndex = 0;
  inside.socket?.destroySoon();
}

function call<T>(act: (done: (error: Error | Exception | null, answer: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    act((error, answer) => {
      if (error) reject(error instanceof Error ? error : new Error(String(error), { cause: error }));
      else resolve(answer);
    });
  });
}

function codeOf(error: unknown): number | undefined {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === 'number') return code;
  return cause === undefined ? undefined : codeOf(cause);
}

function unless<T>(code: number, instead: () => T | Promise<T>): (error: unknown) => T | Promise<T> {
  return (error) => {
    if (codeOf(error) === code) return instead();
    throw error;
  };
}
