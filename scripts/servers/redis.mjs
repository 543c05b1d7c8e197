// @ts-check
/** Redis and Valkey. `SHOAL_REDIS=valkey-server` takes Valkey for Redis, too. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { homeOf } from './home.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const whereValkey = () => find('valkey', 'valkey-server', [homeOf('valkey')]);

export const where = () => {
  const asked = process.env.SHOAL_REDIS;
  if (asked) return find('redis', asked, [homeOf('valkey')]);
  const redis = find('redis', 'redis-server');
  const valkey = whereValkey();
  return 'path' in redis || !('path' in valkey) ? redis : valkey;
};

/** @typedef {'redis' | 'valkey'} RedisName */

/** @param {RedisName} name */
const programOf = (name) => pathOf(name === 'valkey' ? whereValkey : where);

/**
 * @typedef {object} RedisOptions
 * @property {boolean} [appendonly] false by default: nothing survives a kill
 * @property {'always' | 'everysec' | 'no'} [appendfsync] `always` by default
 * @property {string} [maxmemoryPolicy] `noeviction` by default
 * @property {string} [password]
 * @property {{ cert: string, key: string }} [tls] files; `tlsPort` is encrypted with them
 * @property {boolean} [ofCluster] a node of Redis Cluster, whose masters take each other for gone after two seconds
 * @property {readonly string[]} [args]
 *
 * @typedef {import('./server.mjs').Server & { tlsPort: number, clusterPort: number }} Redis
 */

/** @param {RedisOptions} [options] */
export const startRedis = (options) => startAs('redis', options);

/** @param {RedisOptions} [options] */
export const startValkey = (options) => startAs('valkey', options);

/**
 * @param {RedisName} name
 * @param {RedisOptions} [options]
 * @returns {Promise<Redis>}
 */
async function startAs(name, options = {}) {
  const {
    appendonly = false,
    appendfsync = 'always',
    maxmemoryPolicy = 'noeviction',
    password,
    tls,
    ofCluster = false,
    args = [],
  } = options;
  const command = programOf(name);
  let [tlsPort, clusterPort] = [0, 0];
  const server = await startServer({
    name,
    portCount: 3,
    url: ({ ports }) => {
      [, tlsPort = 0, clusterPort = 0] = ports;
      return `redis://${password ? `:${encodeURIComponent(password)}@` : ''}127.0.0.1:${ports[0]}`;
    },
    launch: ({ data, ports }) => ({
      command,
      args: [
        ...['--port', `${ports[0]}`, '--bind', '127.0.0.1', '--dir', data, '--save', ''],
        ...['--appendonly', appendonly ? 'yes' : 'no', '--appendfsync', appendfsync, '--maxmemory-policy', maxmemoryPolicy],
        ...(password ? ['--requirepass', password] : []),
        ...(tls ? ['--tls-port', `${ports[1]}`, '--tls-cert-file', tls.cert, '--tls-key-file', tls.key, '--tls-auth-clients', 'no'] : []),
        ...(ofCluster ? ['--cluster-enabled', 'yes', '--cluster-port', `${ports[2]}`, '--cluster-node-timeout', '2000'] : []),
        ...args,
      ],
    }),
    answers: async ({ ports }) => {
      const login = password ? `AUTH ${password}\r\n` : '';
      await exchange(/** @type {number} */ (ports[0]), `${login}PING\r\n`, (answer) => answer.includes('+PONG'));
    },
  });
  return Object.assign(server, { tlsPort, clusterPort });
}

/**
 * A Sentinel that watches one master as `mymaster` and promotes a replica as soon as it alone finds it gone.
 * @param {number} masterPort
 * @param {RedisName} [name]
 */
export function startSentinel(masterPort, name = 'redis') {
  const command = programOf(name);
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
