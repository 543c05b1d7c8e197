// @ts-check
/** NATS with JetStream. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { freePorts, startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const where = () => find('nats', 'nats-server');

/**
 * @typedef {object} NatsOptions
 * @property {boolean} [jetStream] true by default
 * @property {{ user: string, password: string }} [login] the one user that is let in
 * @property {{ cert: string, key: string }} [tls] files; its port is encrypted with them
 * @property {string} [config] more of its configuration file, such as `max_payload: 65536`
 * @property {readonly string[]} [args]
 * @property {readonly number[]} [ports] instead of a free one
 * @property {boolean} [isOfSeveral] ready when they have a leader
 */

/** @param {NatsOptions} [options] */
export function startNats({ jetStream = true, login, tls, config = '', args = [], ports, isOfSeveral = false } = {}) {
  const command = pathOf(where);
  return startServer({
    name: 'nats',
    ...(ports && { ports }),
    url: ({ ports }) => {
      const who = login ? `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@` : '';
      return `nats://${who}127.0.0.1:${ports[0]}`;
    },
    prepare: ({ folder, data }) => {
      const store = jetStream ? `jetstream { store_dir: ${JSON.stringify(data)} }\n` : '';
      const users = login ? `authorization ${JSON.stringify(login)}\n` : '';
      const files = tls ? `tls { cert_file: ${JSON.stringify(tls.cert)}, key_file: ${JSON.stringify(tls.key)} }\n` : '';
      writeFileSync(join(folder, 'nats.conf'), `${store}${users}${files}${config}\n`);
    },
    launch: ({ folder, ports }) => ({
      command,
      args: ['-a', '127.0.0.1', '-p', `${ports[0]}`, '-c', join(folder, 'nats.conf'), ...args],
    }),
    answers: async ({ ports }) => {
      const who = login && { user: login.user, pass: login.password };
      // The leader alone answers the last one.
      const ask = isOfSeveral ? 'SUB leads 1\r\nPUB $JS.API.INFO leads 0\r\n\r\n' : 'PING\r\n';
      const question = `CONNECT ${JSON.stringify({ verbose: false, ...who })}\r\n${ask}`;
      // The port opens before JetStream has read its store; the server says so in its greeting, which is never encrypted.
      const greeting = await exchange(/** @type {number} */ (ports[0]), tls ? '' : question, (answer) =>
        answer.includes(tls ? '\r\n' : isOfSeveral ? 'MSG leads' : 'PONG'),
      );
      if (jetStream && !greeting.includes('"jetstream":true')) throw new Error('JetStream is not up yet');
    },
  });
}

/**
 * Servers that share JetStream: each is told where all of them are.
 * @param {number} count
 * @returns {Promise<readonly import('./server.mjs').Server[]>}
 */
export async function startNatsCluster(count) {
  const ports = await freePorts(2 * count);
  const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`);
  const starts = Array.from({ length: count }, (_, index) => {
    const cluster = `cluster { name: shoal, listen: "127.0.0.1:${ports[count + index]}", routes: ${JSON.stringify(routes)} }`;
    return startNats({ config: `server_name: n${index}\n${cluster}`, ports: [/** @type {number} */ (ports[index])], isOfSeveral: true });
  });
  const outcomes = await Promise.allSettled(starts);
  const servers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return servers;
  await Promise.all(servers.map((server) => server.stop()));
  throw failed.reason;
}
