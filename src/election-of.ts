/** Elections by their addresses. */
import { resolve } from 'node:path';
import type { Election } from './elections/election.ts';
import { type ElectionOptions, type LeaseStore, leaseElection } from './elections/lease.ts';
import { noElection } from './elections/none.ts';
import { ShoalError } from './lib/errors.ts';

const known = 'none:, file:DIR, redis://HOST:PORT, etcd://HOST:PORT,…, zookeeper://HOST:PORT,…/PATH or postgres://HOST:PORT/DATABASE';

/** Connects to nothing yet: a server that is down is tried by the campaign. */
export async function openElection(url: string, options: ElectionOptions): Promise<Election> {
  return url === 'none:' ? noElection() : leaseElection(await openStore(url, options), options);
}

async function openStore(url: string, options: ElectionOptions): Promise<LeaseStore> {
  const [, scheme, rest = ''] = /^([a-z]+):(?:\/\/)?(.*)$/.exec(url) ?? [];
  if (rest === '' || (scheme !== 'file' && !isServer(url))) throw unknownElection(url);
  switch (scheme) {
    case 'file':
      return (await import('./elections/file.ts')).fileStore(resolve(rest), options);
    case 'redis':
    case 'rediss':
      return (await import('./elections/redis.ts')).redisStore(url, options);
    case 'postgres':
    case 'postgresql':
      return (await import('./elections/postgres.ts')).postgresStore(url, options);
    case 'etcd':
    case 'etcds':
      return (await import('./elections/etcd.ts')).etcdStore(url, options);
    case 'zookeeper':
      return (await import('./elections/zookeeper.ts')).zookeeperStore(url, options);
    default:
      throw unknownElection(url);
  }
}

/** One host at least, and ports that are numbers. */
function isServer(url: string): boolean {
  const host = String.raw`(\[[^\]/@]+\]|[^@/,:[\]]+)(:\d{1,5})?`;
  return new RegExp(`^[a-z]+://([^@/]*@)?${host}(,${host})*(/.*)?$`).test(url);
}

function unknownElection(url: string): ShoalError {
  // Its user and password are nobody's business.
  const shown = url.replace(/\/\/[^/@]*@/, '//***@');
  return new ShoalError('SH1321', `"${shown}" is no election that shoal knows`, { hint: `use ${known}` });
}
