/** What of a Cassandra cluster and of a keyspace matters to what is stored there. Read from system tables, which any user may read. */
import type { Client } from 'cassandra-driver';
import type { Finding } from '../../lib/finding.ts';
import type { Journal } from '../journal.ts';
import type { Address } from './connect.ts';

export const format = 1;

/**
 * A comment on the table of entries. The data centre is in it because LOCAL_SERIAL decides within one: two coordinators that
 * asked two would both be told that they came first.
 */
export const formatText = (datacenter: string): string => `shoal journal, format ${format}, data centre ${datacenter}`;

export interface Cluster {
  version: string;
  keyspace: string;
  isThere: boolean;
  isDurable: boolean;
  /** Of each entry, in each data centre. */
  copies: ReadonlyMap<string, number>;
  /** The one that decides; undefined where that is for the operator to say. */
  datacenter: string | undefined;
  /** SimpleStrategy knows no data centres, and here are several. */
  isMixed: boolean;
  /** How nodes sync their commit logs, as far as they say: `periodic (10000ms)`. */
  syncs: readonly string[];
  /** 0: there is nothing yet. */
  format: number;
  /** The data centre that has decided so far. */
  decided: string | undefined;
}

type Columns = Readonly<Record<string, unknown>>;

export async function look(client: Client, { keyspace, datacenter }: Address): Promise<Cluster> {
  const rowsOf = async (text: string, values: unknown[] = []): Promise<readonly Columns[]> =>
    (await client.execute(text, values, { prepare: values.length > 0 })).rows;
  const [[local], peers, [space], [table]] = await Promise.all([
    rowsOf('SELECT data_center, release_version FROM system.local'),
    rowsOf('SELECT data_center FROM system.peers'),
    rowsOf('SELECT durable_writes, replication FROM system_schema.keyspaces WHERE keyspace_name = ?', [keyspace]),
    rowsOf("SELECT comment FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'journal_entries'", [keyspace]),
  ]);
  const datacenters = new Set([local!, ...peers].map(({ data_center: name }) => String(name)));
  const replication = (space?.replication ?? {}) as Readonly<Record<string, string>>;
  const isSimple = /SimpleStrategy$/.test(replication.class ?? '');
  const copies = isSimple
    ? new Map([...datacenters].map((name) => [name, copiesOf(replication.replication_factor ?? '')]))
    : new Map([...datacenters].map((name) => [name, copiesOf(replication[name] ?? '0')]));
  const holders = [...copies].flatMap(([name, count]) => (count > 0 ? [name] : []));
  const [, written, decided] = /format (\d+)(?:, data centre (.+))?$/.exec(String(table?.comment ?? '')) ?? [];
  return {
    version: String(local!.release_version),
    keyspace,
    isThere: space !== undefined,
    isDurable: space?.durable_writes !== false,
    copies,
    datacenter: datacenter ?? (holders.length === 1 ? holders[0] : undefined),
    isMixed: isSimple && datacenters.size > 1,
    syncs: await syncsOf(client),
    format: Number(written ?? 0),
    decided,
  };
}

/** `3`, or `3/1` where one of three is transient. */
const copiesOf = (text: string): number => Number(text.split('/')[0]);

/** Of each node that is up and lets us see it: a table of its own memory, which each has for itself. */
async function syncsOf(client: Client): Promise<string[]> {
  const hosts = client.hosts.values().filter((host) => host.isUp());
  const asked = hosts.map(async (host) => {
    const { rows } = await client.execute('SELECT name, value FROM system_views.settings', [], { host, fetchSize: 10_000 });
    const values = new Map(rows.map((row) => [row.get('name'), row.get('value')]));
    const sync = values.get('commitlog_sync');
    const period = values.get('commitlog_sync_period') ?? `${values.get('commitlog_sync_period_in_ms')}ms`;
    return sync === 'periodic' ? `periodic (${period})` : String(sync);
  });
  const found = await Promise.allSettled(asked);
  return [...new Set(found.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])))].sort();
}

const ownCopies = ({ copies, datacenter }: Cluster): number => copies.get(datacenter ?? '') ?? 0;

/** On the disk of each node that confirmed it. */
const isSynced = ({ syncs, isDurable }: Cluster): boolean =>
  isDurable && syncs.length > 0 && syncs.every((each) => /^(batch|group)/.test(each));

export function durabilityOf(cluster: Cluster): Journal['durability'] {
  if (!cluster.isDurable) return 'process';
  if (ownCopies(cluster) > 1) return 'replicated';
  return isSynced(cluster) ? 'host' : 'process';
}

export function findings(cluster: Cluster): Finding[] {
  const { version, keyspace, isThere } = cluster;
  const server: Finding = { level: 'good', setting: `Cassandra ${version}`, meaning: 'answers' };
  if (!isThere) return [server, missing(keyspace, [...cluster.copies.keys()])];
  return [server, ...placeFindings(cluster), ...copyFindings(cluster), ...syncFindings(cluster)];
}

function missing(keyspace: string, datacenters: readonly string[]): Finding {
  const name = /^[a-z]\w*$/.test(keyspace) && keyspace === keyspace.toLowerCase() ? keyspace : `"${keyspace}"`;
  const datacenter = datacenters.length === 1 ? datacenters[0] : 'YOUR DATA CENTRE';
  return {
    level: 'refuse',
    setting: `no keyspace ${keyspace}`,
    meaning: 'tables it makes by itself, but how many copies there are is not for it to say',
    fix: `CREATE KEYSPACE ${name} WITH replication = {'class': 'NetworkTopologyStrategy', '${datacenter}': 3}; (1 where there is one node)`,
  };
}

/** LOCAL_SERIAL is safe as long as all coordinators ask one data centre. */
function placeFindings({ keyspace, copies, datacenter, isMixed, decided }: Cluster): Finding[] {
  const names = [...copies.keys()];
  if (isMixed) {
    return [
      {
        level: 'refuse',
        setting: `keyspace ${keyspace} by SimpleStrategy, over ${names.length} data centres`,
        meaning: 'it does not say in which of them an entry is, so none can decide who came first',
        fix: `ALTER KEYSPACE ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', …}, and repair it`,
      },
    ];
  }
  if (datacenter === undefined || !copies.get(datacenter)) {
    const holders = [...copies].flatMap(([name, count]) => (count > 0 ? [name] : []));
    return [
      {
        level: 'refuse',
        setting:
          datacenter === undefined ? `keyspace ${keyspace} in ${holders.length} data centres` : `no copies in data centre ${datacenter}`,
        meaning: 'who came first is decided within one data centre, the same for all coordinators',
        fix: `?datacenter=NAME in its address, of ${holders.join(', ')}`,
      },
    ];
  }
  if (decided !== undefined && decided !== datacenter) {
    return [
      {
        level: 'refuse',
        setting: `data centre ${decided} deciding so far, and now ${datacenter}`,
        meaning: 'two coordinators that ask two data centres would both be told that they came first',
        fix: `?datacenter=${decided} in its address; to move, stop all coordinators, repair the keyspace, and ALTER TABLE ${keyspace}.journal_entries WITH comment = '${formatText(datacenter)}'`,
      },
    ];
  }
  return [];
}

function copyFindings(cluster: Cluster): Finding[] {
  const count = ownCopies(cluster);
  if (count === 0) return [];
  const setting = `keyspace ${cluster.keyspace} with ${count === 1 ? 'one copy' : `${count} copies`} in ${cluster.datacenter}`;
  if (count > 2) return [{ level: 'good', setting, meaning: 'what is confirmed is with a majority of them; one node may be lost' }];
  if (count === 1) return [{ level: 'good', setting, meaning: 'what is confirmed is with one node, and gone with it' }];
  return [
    { level: 'warning', setting, meaning: 'a majority of two is two: it stands still while either node is away', fix: 'three copies' },
  ];
}

function syncFindings(cluster: Cluster): Finding[] {
  const { isDurable, syncs, keyspace } = cluster;
  if (!isDurable) {
    const meaning = 'a node that ends loses what it had in memory, whatever was confirmed';
    return [{ level: 'warning', setting: 'durable_writes = false', meaning, fix: `ALTER KEYSPACE ${keyspace} WITH durable_writes = true` }];
  }
  const setting = `commitlog_sync = ${syncs.length > 0 ? syncs.join(', ') : 'unknown'}`;
  if (isSynced(cluster)) return [{ level: 'good', setting, meaning: 'a node confirms what is on its disk' }];
  if (ownCopies(cluster) > 1) {
    return [
      { level: 'good', setting, meaning: 'a loss of power of all nodes at once may lose the last moments, that of one node does not' },
    ];
  }
  if (syncs.length === 0) {
    const meaning = 'nobody lets this user see what a crash of a node loses';
    return [{ level: 'warning', setting, meaning, fix: 'GRANT SELECT ON system_views.settings, to see it' }];
  }
  const meaning = 'a crash of a node loses the last moments that it has confirmed';
  return [
    { level: 'warning', setting, meaning, fix: 'commitlog_sync: group, or batch, in cassandra.yaml; or three nodes, and three copies' },
  ];
}
