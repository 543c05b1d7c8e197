// @ts-check
/** Redis, or Valkey where that is what is installed: `SHOAL_REDIS=valkey-server` asks for it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const where = () => {
  const asked = process.env.SHOAL_REDIS;
  if (asked) return find('redis', asked);
  const redis = find('redis', 'redis-server');
  const valkey = find('redis', 'valkey-server');
  return 'path' in redis || !('path' in valkey) ? redis : valkey;
};

/**
 * @typedef {object} RedisOptions
 * @property {boolean} [appendonly] false by default: nothing survives a kill
 * @property {'always' | 'everysec' | 'no'} [appendfsync] `always` by default
 * @property {string} [maxmemoryPolicy] `noeviction` by default
 * @property {string} [password]
 * @property {readonly string[]} [args]
 */

/** @param {RedisOptions} [options] */
export function startRedis({ appendonly = false, appendfsync = 'always', maxmemoryPolicy = 'noeviction', password, args = [] } = {}) {
  const command = pathOf(where);
  return startServer({
    name: 'redis',
    url: ({ ports }) => `redis://${password ? `:${encodeURIComponent(password)}@` : ''}127.0.0.1:${ports[0]}`,
    launch: ({ data, ports }) => ({
      command,
      args: [
        ...['--port', `${ports[0]}`, '--bind', '127.0.0.1', '--dir', data, '--save', ''],
        ...['--appendonly', appendonly ? 'yes' : 'no', '--appendfsync', appendfsync, '--maxmemory-policy', maxmemoryPolicy],
        ...(password ? ['--requirepass', password] : []),
        ...args,
      ],
    }),
    answers: async ({ ports }) => {
      const login = password ? `AUTH ${password}\r\n` : '';
      await exchange(/** @type {number} */ (ports[0]), `${login}PING\r\n`, (answer) => answer.includes('+PONG'));
    },
  });
}

/**
 * A Sentinel that watches one master as `mymaster` and promotes a replica as soon as it alone finds it gone.
 * @param {number} masterPort
 */
export function startSentinel(masterPort) {
  const command = pathOf(where);
  return startServer({
    name: 'sentinel',
    url: ({ ports }) => `redis+sentinel://127.0.0.1:${ports[0]}/mymaster`,
    launch: ({ data, ports }) => {
      // It keeps what it learns in there.
      const file = join(data, 'sentinel.conf');
      const watch = [
        `monitor mymaster 127.0.0.1 ${masterPort} 1`,
        'down-after-milliseconds mymaster 500',
        'failover-timeout mymaster 3000',
      ];
      writeFileSync(file, [`port ${ports[0]}`, 'bind 127.0.0.1', `dir ${data}`, ...watch.map((line) => `sentinel ${line}`)].join('\n'));
      return { command, args: [file, '--sentinel'] };
    },
    answers: async ({ ports }) => {
      await exchange(/** @type {number} */ (ports[0]), 'PING\r\n', (answer) => answer.includes('+PONG'));
    },
  });
}
