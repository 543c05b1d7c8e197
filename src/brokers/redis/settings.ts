/** What of a Redis server's settings matters to what it carries. Read by `INFO`, which any user may. */

import type { RedisConnection } from '../../lib/redis.ts';
import type { Finding } from '../carrier.ts';

const versionMin = [6, 2] as const;

export async function inspectRedis(connection: RedisConnection, url: URL): Promise<readonly Finding[]> {
  const info = String(await connection.command(['INFO']));
  const value = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  return [
    version(value('redis_version') ?? '', value('valkey_version')),
    policy(value('maxmemory_policy') ?? 'unknown'),
    memory(Number(value('maxmemory') ?? 0)),
    role(value('role') ?? 'master'),
    persistence(value('aof_enabled') === '1'),
    ...plaintext(url),
  ];
}

function version(redis: string, valkey: string | undefined): Finding {
  const setting = valkey === undefined ? `Redis ${redis}` : `Valkey ${valkey}`;
  const [major = 0, minor = 0] = redis.split('.').map(Number);
  const isNew = major > versionMin[0] || (major === versionMin[0] && minor >= versionMin[1]);
  if (isNew) return { level: 'good', setting, meaning: 'has the streams that inboxes are made of' };
  return { level: 'refuse', setting, meaning: 'it lacks XADD … NOMKSTREAM', fix: `Redis ${versionMin.join('.')} or later, or Valkey` };
}

/** S08: an evicted inbox is work and results that vanish, in silence. */
function policy(name: string): Finding {
  const setting = `maxmemory-policy ${name}`;
  if (name === 'noeviction') return { level: 'good', setting, meaning: 'a full server refuses messages, and evicts none' };
  return {
    level: 'refuse',
    setting,
    meaning: 'a server that runs full evicts inboxes, and the messages in them',
    fix: 'CONFIG SET maxmemory-policy noeviction, and in redis.conf',
  };
}

function memory(bytes: number): Finding {
  const setting = `maxmemory ${bytes}`;
  if (bytes === 0) return { level: 'good', setting, meaning: 'no bound but that of its machine' };
  const meaning = 'messages are refused beyond it, and sent again later';
  return { level: 'good', setting, meaning };
}

function role(name: string): Finding {
  if (name === 'master') return { level: 'good', setting: 'role master', meaning: 'it takes messages' };
  const fix = 'the address of its master, or redis+sentinel://HOST/MASTER';
  return { level: 'refuse', setting: `role ${name}`, meaning: 'a replica takes no messages', fix };
}

function persistence(isOn: boolean): Finding {
  const meaning = isOn ? 'messages under way survive its restart' : 'messages under way are lost in a restart, and sent again';
  return { level: 'good', setting: `appendonly ${isOn ? 'yes' : 'no'}`, meaning };
}

function plaintext({ protocol, hostname }: URL): Finding[] {
  if (protocol === 'rediss:' || /^(localhost|127\.|\[?::1)/.test(hostname)) return [];
  const meaning = 'inputs and results cross the network in the clear';
  return [{ level: 'warning', setting: protocol, meaning, fix: 'rediss://, or a network of your own' }];
}
