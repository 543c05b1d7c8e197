// @ts-check
/** etcd, one node. */
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const where = () => find('etcd', 'etcd');

/**
 * @typedef {object} EtcdOptions
 * @property {readonly string[]} [args]
 */

/** @param {EtcdOptions} [options] */
export function startEtcd({ args = [] } = {}) {
  const command = pathOf(where);
  return startServer({
    name: 'etcd',
    portCount: 2,
    url: ({ ports }) => `http://127.0.0.1:${ports[0]}`,
    launch: ({ data, ports }) => {
      const [client, peer] = ports.map((port) => `http://127.0.0.1:${port}`);
      return {
        command,
        args: [
          ...['--name', 'n1', '--data-dir', data, '--initial-cluster', `n1=${peer}`, '--logger', 'zap'],
          ...['--listen-client-urls', `${client}`, '--advertise-client-urls', `${client}`],
          ...['--listen-peer-urls', `${peer}`, '--initial-advertise-peer-urls', `${peer}`],
          ...args,
        ],
      };
    },
    answers: async ({ ports }) => {
      const response = await fetch(`http://127.0.0.1:${ports[0]}/health`, { signal: AbortSignal.timeout(5_000) });
      const { health } = /** @type {{ health: unknown }} */ (await response.json());
      if (`${health}` !== 'true') throw new Error(`health: ${health}`);
    },
  });
}
