// @ts-check
/**
 * RabbitMQ with its management API. It needs ten seconds to start: one for all tests of a file, a virtual host a test.
 * `SHOAL_RABBITMQ` names the folder with the programs of another release.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { exchange } from './exchange.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

// Not the one in the path, which insists on a user of its own.
export const where = () => find('rabbitmq', 'rabbitmq-server', [process.env.SHOAL_RABBITMQ ?? '/usr/lib/rabbitmq/bin']);

/**
 * Erlang would start `epmd` as a daemon, which stays behind. Ours belongs to the server's group.
 */
const script = `
epmd -port "$2" -address 127.0.0.1 &
until epmd -port "$2" -names >/dev/null 2>&1; do sleep 0.02; done
exec "$1"
`;

const cookie = 'shoal-tests';

/**
 * @typedef {object} RabbitmqOptions
 * @property {{ epmdPort: number, first?: string }} [companions] an epmd that outlives this node, and whom it joins
 * @property {string} [config] more lines of its configuration file
 * @property {{ cert: string, key: string }} [tls] files; `tlsPort` is encrypted with them
 *
 * @typedef {import('./server.mjs').Server & { managementUrl: string, tlsPort: number, node: string, addVhost: (name: string) => Promise<string>, control: (...words: string[]) => Promise<void> }} Rabbitmq
 *   `addVhost` gives the URL of a new virtual host; `managementUrl` is its HTTP API, guest and guest; `control` is rabbitmqctl
 */

/**
 * @param {RabbitmqOptions} [options]
 * @returns {Promise<Rabbitmq>}
 */
export async function startRabbitmq({ config = '', tls, companions } = {}) {
  const command = pathOf(where);
  /** @type {readonly number[]} */
  let ports = [];
  const server = await startServer({
    name: 'rabbitmq',
    portCount: 5,
    startMsMax: 180_000,
    url: (place) => {
      ports = place.ports;
      return `amqp://guest:guest@127.0.0.1:${ports[0]}`;
    },
    prepare: ({ folder, data, ports: [, , , management, encrypted] }) => {
      mkdirSync(join(folder, 'config'), { recursive: true });
      writeFileSync(join(folder, 'enabled'), '[rabbitmq_management].\n');
      const files = tls ? [`ssl_options.certfile = ${tls.cert}`, `ssl_options.keyfile = ${tls.key}`] : [];
      const joining = companions?.first
        ? [
            'cluster_formation.peer_discovery_backend = rabbit_peer_discovery_classic_config',
            `cluster_formation.classic_config.nodes.1 = ${companions.first}`,
          ]
        : [];
      if (companions) writeFileSync(join(folder, '.erlang.cookie'), cookie, { mode: 0o400 });
      const lines = [
        ...joining,
        ...(tls ? [`listeners.ssl.1 = 127.0.0.1:${encrypted}`, ...files] : []),
        ...['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${management}`],
        ...['disk_free_limit.absolute = 50MB', 'log.console = true', 'log.console.level = info', 'log.file = false', config],
      ];
      writeFileSync(join(folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
      mkdirSync(join(data, 'mnesia'));
    },
    launch: ({ folder, data, ports: [amqp, epmd, distribution] }) => ({
      ...(companions ? { command, args: [] } : { command: '/bin/sh', args: ['-c', script, 'rabbitmq', command, `${epmd}`] }),
      env: {
        ERL_EPMD_PORT: `${companions?.epmdPort ?? epmd}`,
        ERL_EPMD_ADDRESS: '127.0.0.1',
        HOME: folder,
        RABBITMQ_NODENAME: `shoal${amqp}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
        RABBITMQ_NODE_PORT: `${amqp}`,
        RABBITMQ_DIST_PORT: `${distribution}`,
        RABBITMQ_MNESIA_BASE: join(data, 'mnesia'),
        RABBITMQ_LOG_BASE: folder,
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled'),
        RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
        RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
        // Threads that spin while they wait would take the cores from what is tested.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none',
      },
    }),
    answers: async ({ ports: [amqp, , , management] }) => {
      // Connection.Start: a method frame on channel 0.
      await exchange(
        /** @type {number} */ (amqp),
        'AMQP\0\0\x09\x01',
        (answer) => answer.length >= 11 && answer.readUInt32BE(7) === 0x000a000a,
      );
      const response = await manage(management, 'GET', 'overview');
      if (!response.ok) throw new Error(`management answers ${response.status}`);
    },
  });
  const [amqp, epmd, , management, encrypted] = ports;
  return Object.assign(server, {
    node: `shoal${amqp}@localhost`,
    tlsPort: /** @type {number} */ (encrypted),
    managementUrl: `http://guest:guest@127.0.0.1:${management}/api`,
    /** @param {string} name */
    async addVhost(name) {
      const path = encodeURIComponent(name);
      const response = await manage(management, 'PUT', `vhosts/${path}`);
      if (!response.ok) throw new Error(`vhost ${name}: ${response.status} ${await response.text()}`);
      return `${server.url}/${path}`;
    },
    /** @param {string[]} words */
    async control(...words) {
      await promisify(execFile)(join(dirname(command), 'rabbitmqctl'), ['-n', `shoal${amqp}@localhost`, ...words], {
        env: { ...process.env, HOME: server.folder, ERL_EPMD_PORT: `${companions?.epmdPort ?? epmd}` },
      });
    },
  });
}

/**
 * @param {number | undefined} port
 * @param {string} method
 * @param {string} path
 */
function manage(port, method, path) {
  return fetch(`http://127.0.0.1:${port}/api/${path}`, {
    method,
    headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(5_000),
  });
}

/**
 * Nodes of one cluster, started one after the other, as each joins the first.
 * @param {number} count
 * @returns {Promise<{ nodes: readonly Rabbitmq[], stop: () => Promise<void> }>}
 */
export async function startRabbitmqCluster(count) {
  const epmd = await startServer({
    name: 'epmd',
    url: ({ ports }) => `epmd://127.0.0.1:${ports[0]}`,
    launch: ({ ports }) => ({ command: 'epmd', args: ['-port', `${ports[0]}`, '-address', '127.0.0.1'] }),
    // NAMES_REQ
    answers: async ({ ports }) => void (await exchange(/** @type {number} */ (ports[0]), '\0\x01n', (answer) => answer.length >= 4)),
  });
  /** @type {Rabbitmq[]} */
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await epmd.stop();
  };
  try {
    while (nodes.length < count) {
      const [first] = nodes;
      nodes.push(await startRabbitmq({ companions: { epmdPort: epmd.port, ...(first && { first: first.node }) } }));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, stop };
}
