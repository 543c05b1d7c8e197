/** What of a Redis server's settings matters to what it stores. */
import type { Finding } from '../../lib/finding.ts';
import type { RedisConnection } from '../../lib/redis.ts';
import type { Journal } from '../journal.ts';

const versionMin = [6, 2] as const;

export interface RedisSettings {
  durability: Journal['durability'];
  findings: Finding[];
}

/** `INFO` is all that is needed; without `CONFIG GET appendfsync` nobody knows what a confirmed entry survives. */
export async function lookAt(connection: RedisConnection, { protocol, hostname }: URL): Promise<RedisSettings> {
  const info = String(await connection.command(['INFO']));
  const value = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  const hasFile = value('aof_enabled') === '1';
  const appendfsync = await connection.command(['CONFIG', 'GET', 'appendfsync']).then(
    (answer) => (Array.isArray(answer) ? String(answer[1]) : 'unknown'),
    () => 'unknown',
  );
  const isDurable = hasFile && appendfsync === 'always';
  const isFar = !/^(localhost|127\.|\[?::1)/.test(hostname) && protocol !== 'rediss:';
  return {
    durability: isDurable ? 'host' : 'process',
    findings: [
      version(value('redis_version') ?? '', value('valkey_version')),
      policy(value('maxmemory_policy') ?? 'unknown'),
      memory(Number(value('maxmemory') ?? 0)),
      role(value('role') ?? 'master'),
      persistence(hasFile, appendfsync),
      ...(Number(value('connected_slaves') ?? 0) > 0 ? [replicas] : []),
      ...(isFar ? [plaintext(protocol)] : []),
    ],
  };
}

function version(redis: string, valkey: string | undefined): Finding {
  const setting = valkey === undefined ? `Redis ${redis}` : `Valkey ${valkey}`;
  const [major = 0, minor = 0] = redis.split('.').map(Number);
  const isNew = major > versionMin[0] || (major === versionMin[0] && minor >= versionMin[1]);
  if (isNew) return { level: 'good', setting, meaning: 'is new enough' };
  return { level: 'refuse', setting, meaning: 'nobody has tried it', fix: `Redis ${versionMin.join('.')} or later, or Valkey` };
}

/** S08. */
function policy(name: string): Finding {
  const setting = `maxmemory-policy ${name}`;
  if (name === 'noeviction') return { level: 'good', setting, meaning: 'a full server refuses entries, and evicts none' };
  const fix = 'CONFIG SET maxmemory-policy noeviction, and in redis.conf';
  return { level: 'refuse', setting, meaning: 'a server that runs full evicts jobs', fix };
}

function memory(bytes: number): Finding {
  const setting = `maxmemory ${bytes}`;
  if (bytes > 0) return { level: 'good', setting, meaning: 'beyond it new work is refused, until jobs are dropped' };
  const meaning = 'no bound but that of its machine, which ends the server when it is reached';
  return { level: 'warning', setting, meaning, fix: 'CONFIG SET maxmemory, well below what the machine has' };
}

function role(name: string): Finding {
  if (name === 'master') return { level: 'good', setting: 'role master', meaning: 'it takes entries' };
  const fix = 'the address of its master, or redis+sentinel://HOST/MASTER';
  return { level: 'refuse', setting: `role ${name}`, meaning: 'a replica takes no entries', fix };
}

function persistence(hasFile: boolean, appendfsync: string): Finding {
  const fix = 'appendonly yes and appendfsync always, by CONFIG SET and in redis.conf';
  if (!hasFile) return { level: 'warning', setting: 'appendonly no', meaning: 'jobs end with the server, or with its next restart', fix };
  const setting = `appendonly yes, appendfsync ${appendfsync}`;
  if (appendfsync === 'always') return { level: 'good', setting, meaning: 'what is confirmed is on its disk' };
  if (appendfsync === 'everysec') return { level: 'warning', setting, meaning: 'a crash of its machine loses the last second', fix };
  if (appendfsync === 'no') return { level: 'warning', setting, meaning: 'a crash of its machine loses the last half minute', fix };
  return { level: 'warning', setting, meaning: 'this user may not read what a crash loses', fix: 'let it: ACL SETUSER … +config|get' };
}

const replicas: Finding = {
  level: 'warning',
  setting: 'connected replicas',
  meaning: 'they follow behind: a failover may lose the last moments, which is found out (SH4011)',
  fix: 'nothing, if that is good enough; else PostgreSQL with a synchronous standby',
};

function plaintext(protocol: string): Finding {
  return {
    level: 'warning',
    setting: protocol,
    meaning: 'jobs cross the network in the clear',
    fix: 'rediss://, or a network of your own',
  };
}
