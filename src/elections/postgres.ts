/**
 * `postgres://…` — a row that names its holder, its term and when it ends. Not a session lock, which poolers and proxies lose in
 * silence (C08): each call is one statement of its own, on whatever connection. Times are the server's, compared in the server;
 * because its clock may be set back, a row that nobody wrote to for a ttl of our own clock is free as well.
 */
import { type Outside, realOutside } from '../lib/outside.ts';
import { peer } from '../lib/peer.ts';
import { refusedError } from './calls.ts';
import { Connection, type Dial } from './connection.ts';
import { type Claim, defaultTtlMs, type ElectionOptions, type LeaseStore, type Term } from './lease.ts';

const create = `
CREATE TABLE IF NOT EXISTS shoal_election (
  cluster text PRIMARY KEY, term bigint NOT NULL, holder text NOT NULL, record text NOT NULL,
  beats bigint NOT NULL, expires_at timestamptz NOT NULL)`;
const look = 'SELECT holder, record, beats::text, expires_at > clock_timestamp() AS held FROM shoal_election WHERE cluster = $1';
const untilThen = "clock_timestamp() + $4::int * interval '1 ms'";
const take = `
INSERT INTO shoal_election AS old (cluster, term, holder, record, beats, expires_at) VALUES ($1, 1, $2, $3, 0, ${untilThen})
ON CONFLICT (cluster) DO UPDATE SET term = old.term + (old.holder <> excluded.holder)::int, holder = excluded.holder,
  record = excluded.record, beats = old.beats + 1, expires_at = excluded.expires_at
WHERE old.holder = excluded.holder OR old.expires_at <= clock_timestamp() OR old.beats = $5::bigint`;
const renew = `
UPDATE shoal_election SET beats = beats + 1, expires_at = clock_timestamp() + $3::int * interval '1 ms'
WHERE cluster = $1 AND holder = $2`;
const release = `
UPDATE shoal_election SET beats = beats + 1, expires_at = '-infinity' WHERE cluster = $1 AND holder = $2`;

interface Row {
  holder: string;
  record: string;
  beats: string;
  held: boolean;
}

interface Line {
  query<R>(text: string, values: readonly unknown[]): Promise<{ rows: R[]; rowCount: number | null }>;
}

export async function postgresStore(url: string, options: ElectionOptions): Promise<LeaseStore> {
  const { default: library } = await peer('the PostgreSQL election', 'pg', () => import('pg'));
  const { host, pathname } = new URL(url);
  return new PostgresStore(`postgres://${host}${pathname}`, dialler(library, url), options);
}

class PostgresStore implements LeaseStore {
  readonly name: string;
  private readonly cluster: string;
  private readonly ttlMs: number;
  private readonly outside: Outside;
  private readonly claims: Queue;
  /** Who only looks holds up no renewal, and costs it no connection when it comes too late. */
  private readonly looks: Queue;
  /** The row as last seen here, and since when it looks like that. */
  private seen: { beats: string; sinceMs: number } | undefined;

  constructor(name: string, dial: Dial<Line>, options: ElectionOptions) {
    this.name = name;
    this.cluster = options.cluster;
    this.ttlMs = options.ttlMs ?? defaultTtlMs;
    this.outside = options.outside ?? realOutside;
    this.claims = new Queue(this.name, dial);
    this.looks = new Queue(this.name, dial);
  }

  claim({ id, record }: Term): Claim {
    const { cluster, ttlMs } = this;
    return {
      take: async (signal) => {
        const row = await this.look(this.claims, signal);
        // Looking first: an upsert that changes nothing still locks and writes.
        const isStale = row !== undefined && this.standsStill(row);
        if (row?.held && row.holder !== id && !isStale) return undefined;
        return (await this.write(signal, take, [cluster, id, record, ttlMs, isStale ? row.beats : null])) ? ttlMs : undefined;
      },
      renew: (signal) => this.write(signal, renew, [cluster, id, ttlMs]),
      release: async (signal) => void (await this.write(signal, release, [cluster, id])),
    };
  }

  async holder(signal: AbortSignal): Promise<string | undefined> {
    const row = await this.look(this.looks, signal);
    return row?.held ? row.record : undefined;
  }

  async close(): Promise<void> {
    this.claims.close();
    this.looks.close();
  }

  private standsStill({ beats }: Row): boolean {
    const nowMs = this.outside.nowMs();
    if (this.seen?.beats !== beats) this.seen = { beats, sinceMs: nowMs };
    return nowMs - this.seen.sinceMs >= this.ttlMs;
  }

  private look(queue: Queue, signal: AbortSignal): Promise<Row | undefined> {
    return queue.use(signal, async (line) => (await line.query<Row>(look, [this.cluster])).rows[0]);
  }

  private write(signal: AbortSignal, statement: string, values: readonly unknown[]): Promise<boolean> {
    return this.claims.use(signal, async (line) => (await line.query(statement, values)).rowCount === 1);
  }
}

/** One after the other: the client takes no second query before it has answered the first. */
class Queue {
  private readonly name: string;
  private readonly connection: Connection<Line>;
  private before: Promise<unknown> = Promise.resolve();

  constructor(name: string, dial: Dial<Line>) {
    this.name = name;
    this.connection = new Connection(dial);
  }

  use<T>(signal: AbortSignal, act: (line: Line) => Promise<T>): Promise<T> {
    const mine = this.before.then(() => this.connection.use(signal, act));
    this.before = mine.catch(() => undefined);
    return mine.catch((error: Error & { code?: string }) => {
      if (!isRefusal(error.code)) throw error;
      const hint = 'it needs SELECT, INSERT and UPDATE on the table shoal_election, and CREATE once if that is not there yet';
      throw refusedError(this.name, error.message, hint);
    });
  }

  close(): void {
    this.connection.close();
  }
}

function dialler(library: Pick<typeof import('pg'), 'Client'>, url: string): Dial<Line> {
  return async (signal, onBroken) => {
    const { Socket } = await import('node:net');
    // Our own, so that it can be ended whatever state the client is in.
    const socket = new Socket();
    const client = new library.Client({ connectionString: url, application_name: 'shoal election', stream: () => socket });
    client.on('error', onBroken);
    client.on('end', onBroken);
    const hangUp = (): void => void socket.destroy();
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      await client.connect();
      await makeTable(client);
    } catch (error) {
      hangUp();
      throw error;
    } finally {
      signal.removeEventListener('abort', hangUp);
    }
    return {
      line: client as unknown as Line,
      hangUp: () => {
        // Says goodbye, and waits for no answer.
        void client.end();
        socket.destroySoon();
      },
    };
  };
}

/** Looks first, because CREATE TABLE IF NOT EXISTS needs the right to create even if it exists. */
async function makeTable(client: Pick<import('pg').Client, 'query'>): Promise<void> {
  const isThere = async (): Promise<boolean> => (await client.query("SELECT to_regclass('shoal_election')::oid AS id")).rows[0].id !== null;
  if (await isThere()) return;
  try {
    await client.query(create);
  } catch (error) {
    // Of several that make it at once all but one fail, and with one of three errors, IF NOT EXISTS or not.
    if (!(await isThere())) throw error;
  }
}

/** Password, database, rights, or a table or type of that name that is not ours. */
function isRefusal(code: string | undefined): boolean {
  return (
    code !== undefined && (code.startsWith('28') || ['3D000', '3F000', '42501', '42703', '42710', '42804', '42809', '42P10'].includes(code))
  );
}
