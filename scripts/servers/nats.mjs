// @ts-check
/** NATS with JetStream. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const where = () => find('nats', 'nats-server');

/**
 * @typedef {object} NatsOptions
 * @property {boolean} [jetStream] true by default
 * @property {string} [config] more of its configuration file, such as `max_payload: 65536`
 * @property {readonly string[]} [args]
 */

/** @param {NatsOptions} [options] */
export function startNats({ jetStream = true, config = '', args = [] } = {}) {
  const command = pathOf(where);
  return startServer({
    name: 'nats',
    url: ({ ports }) => `nats://127.0.0.1:${ports[0]}`,
    prepare: ({ folder, data }) => {
      const store = jetStream ? `jetstream { store_dir: ${JSON.stringify(data)} }\n` : '';
      writeFileSync(join(folder, 'nats.conf'), `${store}${config}\n`);
    },
    launch: ({ folder, ports }) => ({
      command,
      args: ['-a', '127.0.0.1', '-p', `${ports[0]}`, '-c', join(folder, 'nats.conf'), ...args],
    }),
    answers: async ({ ports }) => {
      const question = 'CONNECT {"verbose":false}\r\nPING\r\n';
      // The port opens before JetStream has read its store; the server says so in its greeting.
      const greeting = await exchange(/** @type {number} */ (ports[0]), question, (answer) => answer.includes('PONG'));
      if (jetStream && !greeting.includes('"jetstream":true')) throw new Error('JetStream is not up yet');
    },
  });
}
