/** Journals by their addresses. Adapters are loaded when they are asked for, and their client libraries with them. */
import { resolve } from 'node:path';
import type { OpenEngine } from './journals/engine.ts';
import type { Journal } from './journals/journal.ts';
import { memoryJournal } from './journals/memory.ts';
import { ShoalError } from './lib/errors.ts';
import type { Finding } from './lib/finding.ts';
import { parseServerUrl, shownUrl } from './lib/server-url.ts';

const postgres = async (): Promise<OpenEngine> => (await import('./journals/postgres.ts')).openPostgresEngine;

const redis = async (): Promise<OpenEngine> => (await import('./journals/redis.ts')).openRedisEngine;

const mongodb = async (): Promise<OpenEngine> => (await import('./journals/mongodb.ts')).openMongodbEngine;

const cassandra = async (): Promise<OpenEngine> => (await import('./journals/cassandra.ts')).openCassandraEngine;

const engines: Readonly<Record<string, () => Promise<OpenEngine>>> = {
  'postgres:': postgres,
  'postgresql:': postgres,
  'redis:': redis,
  'rediss:': redis,
  'redis+sentinel:': redis,
  'mongodb:': mongodb,
  'mongodb+srv:': mongodb,
  'cassandra:': cassandra,
};

const journalAddresses =
  'memory:, file:DIR, or a server: postgres://USER@HOST/DATABASE, redis://HOST, rediss://HOST, redis+sentinel://HOST/MASTER, mongodb://HOST/DATABASE, cassandra://HOST/KEYSPACE';

export interface JournalOpening {
  /** Whose jobs these are, where several share a server; `?cluster=NAME` in the address goes before it. Default `shoal`. */
  cluster?: string;
  /** By whoever leads by an election, who may have to take it from the last one. */
  isElected?: boolean;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
}

/** SH1305 if nothing that we know lies at `address`. */
export async function openJournal(address: string, { cluster = 'shoal', isElected, onWarning }: JournalOpening = {}): Promise<Journal> {
  if (address === 'memory:') return memoryJournal();
  const folder = journalFolder(address);
  if (folder !== undefined) {
    const { openFileJournal } = await import('./journals/file/journal.ts');
    return openFileJournal(folder, { takeOver: isElected === true && 'elected' });
  }
  const place = serverPlace(address, cluster);
  const { openEngineJournal } = await import('./journals/on-engine.ts');
  return openEngineJournal(await place.load(), { ...place, ...(onWarning && { onWarning }) });
}

/** What there is to say about the settings of a server, whether it could be used or not; undefined if it is none. */
export async function inspectJournal(address: string, cluster: string): Promise<readonly Finding[] | undefined> {
  if (address === 'memory:' || journalFolder(address) !== undefined) return undefined;
  const { load, ...place } = serverPlace(address, cluster);
  const { openEngine } = await import('./journals/on-engine.ts');
  const engine = await openEngine(await load(), { ...place, deadlineMs: inspectMsMax });
  return engine.inspect().finally(() => engine.close());
}

const inspectMsMax = 10_000;

/** SH1305: before anything is opened. */
export function checkJournalAddress(address: string): void {
  if (address !== 'memory:' && journalFolder(address) === undefined) serverPlace(address, 'shoal');
}

/** Where a `file:` journal lies, absolute; undefined for others. */
export function journalFolder(address: string): string | undefined {
  const folder = /^file:(?:\/\/)?(.+)$/.exec(address)?.[1];
  return folder === undefined ? undefined : resolve(folder);
}

/** For people and logs: without credentials. */
export function shownJournal(address: string): string {
  return shownUrl(address).replace(/([?&]password=)[^&]*/g, '$1***');
}

interface ServerPlace {
  load: () => Promise<OpenEngine>;
  url: URL;
  otherHosts: string[];
  cluster: string;
}

const clusterName = /^[a-z0-9-]{1,64}$/;

/** `scheme://[user:password@]HOST[:PORT][,HOST[:PORT]…][/path][?…]`; the hosts beyond the first on their own. */
function serverPlace(address: string, cluster: string): ServerPlace {
  const load = engines[/^([a-z][a-z0-9+]*:)/.exec(address)?.[1] ?? ''];
  if (!load) {
    throw new ShoalError('SH1305', `"${shownJournal(address)}" is no journal that shoal knows`, { hint: `use ${journalAddresses}` });
  }
  const parsed = parseServerUrl(address);
  if ('fault' in parsed) {
    throw new ShoalError('SH1305', `the address of the journal "${shownJournal(address)}" makes no sense: ${parsed.fault}`, {
      hint: `use ${journalAddresses}`,
    });
  }
  const { url, otherHosts } = parsed;
  const name = url.searchParams.get('cluster') ?? cluster;
  url.searchParams.delete('cluster');
  if (!clusterName.test(name)) {
    throw new ShoalError('SH1308', `"${name}" is no name of a cluster`, { hint: 'up to 64 of a-z, 0-9 and -' });
  }
  return { load, url, otherHosts, cluster: name };
}
