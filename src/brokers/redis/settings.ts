/** What of a Redis server's settings matters to what it carries. Read by `INFO`, which any user may. */

import type { RedisConnection } from '../../lib/redis.ts';
import type { Finding } from '../carrier.ts';

const versionMin = [6, 2] as const;
/** Less, and a few large inputs fill it. */
const memoryBytesMin = 64 * 1024 * 1024;

export async function inspectRedis(connection: RedisConnection, url: URL): Promise<readonly Finding[]> {
  const info = String(await connection.command(['INFO']));
  const value = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  return [
    version(value('redis_version') ?? '', value('valkey_version')),
    policy(value('maxmemory_policy') ?? 'unknown'),
    memory(Number(value('maxmemory') ?? 0), Number(value('used_memory') ?? 0)),
    role(value('role') ?? 'master'),
    ...replicas(value('min_slaves_good_slaves')),
    persistence(value('aof_enabled') === '1'),
    ...unsaved(value('rdb_last_bgsave_status'), value('aof_last_write_status')),
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

function memory(bytesMax: number, bytes: number): Finding {
  const setting = `maxmemory ${bytesMax}`;
  if (bytesMax === 0) return { level: 'good', setting, meaning: 'no bound but that of its machine' };
  const fix = 'CONFIG SET maxmemory 256mb, or fewer other keys there';
  if (bytes >= bytesMax) {
    const meaning = 'it is full, and takes no messages until it has room again; work stands still meanwhile and goes on then';
    return { level: 'warning', setting: `${setting}, used_memory ${bytes}`, meaning, fix };
  }
  if (bytesMax < memoryBytesMin) return { level: 'warning', setting, meaning: 'it is full soon, and takes no messages then', fix };
  return { level: 'good', setting, meaning: 'messages are refused beyond it, and sent again later' };
}

function role(name: string): Finding {
  if (name === 'master') return { level: 'good', setting: 'role master', meaning: 'it takes messages' };
  const fix = 'the address of its master, or redis+sentinel://HOST/MASTER';
  return { level: 'refuse', setting: `role ${name}`, meaning: 'a replica takes no messages', fix };
}

/** How many it has of those that `min-replicas-to-write` asks for, if it asks for any. */
function replicas(good: string | undefined): Finding[] {
  if (good !== '0') return [];
  const meaning = 'it takes no messages while none of its replicas is there; work stands still meanwhile and goes on then';
  return [
    { level: 'warning', setting: 'min-replicas-to-write', meaning, fix: 'bring a replica back, or CONFIG SET min-replicas-to-write 0' },
  ];
}

function persistence(isOn: boolean): Finding {
  const meaning = isOn ? 'messages under way survive its restart' : 'messages under way are lost in a restart, and sent again';
  return { level: 'good', setting: `appendonly ${isOn ? 'yes' : 'no'}`, meaning };
}

function unsaved(snapshot: string | undefined, log: string | undefined): Finding[] {
  const setting = snapshot === 'err' ? 'rdb_last_bgsave_status err' : 'aof_last_write_status err';
  if (snapshot !== 'err' && log !== 'err') return [];
  const meaning = 'it could not write to its disk, and takes no messages until it can (MISCONF)';
  const fix = 'its log says why; CONFIG SET stop-writes-on-bgsave-error no, if it need not be saved';
  return [{ level: 'warning', setting, meaning, fix }];
}

function plaintext({ protocol, hostname }: URL): Finding[] {
  if (protocol === 'rediss:' || /^(localhost|127\.|\[?::1)/.test(hostname)) return [];
  const meaning = 'inputs and results cross the network in the clear';
  return [{ level: 'warning', setting: protocol, meaning, fix: 'rediss://, or a network of your own' }];
}
