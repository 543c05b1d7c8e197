// @ts-check
/** ZooKeeper, one node, with ticks short enough that sessions may end after a second. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

const jar = '/usr/share/java/zookeeper.jar';

export const where = () =>
  existsSync(jar) ? find('zookeeper', 'java') : { why: `there is no ${jar}: npm run services:install zookeeper` };

/**
 * @typedef {object} ZookeeperOptions
 * @property {number} [tickMs] 500 by default; a session lasts between 2 and 20 ticks of silence
 * @property {string} [config] more lines of its configuration file
 */

/** @param {ZookeeperOptions} [options] */
export function startZookeeper({ tickMs = 500, config = '' } = {}) {
  const command = pathOf(where);
  return startServer({
    name: 'zookeeper',
    url: ({ ports }) => `zookeeper://127.0.0.1:${ports[0]}`,
    prepare: ({ folder, data, ports }) => {
      const lines = [
        ...[`dataDir=${data}`, `clientPort=${ports[0]}`, 'clientPortAddress=127.0.0.1', 'admin.enableServer=false'],
        ...[`tickTime=${tickMs}`, 'initLimit=10', 'syncLimit=5', '4lw.commands.whitelist=*', config],
      ];
      writeFileSync(join(folder, 'zoo.cfg'), `${lines.join('\n')}\n`);
    },
    launch: ({ folder }) => ({
      command,
      args: [
        ...['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-cp', `/etc/zookeeper/conf:${jar}`],
        ...['org.apache.zookeeper.server.quorum.QuorumPeerMain', join(folder, 'zoo.cfg')],
      ],
    }),
    answers: async ({ ports }) => {
      await exchange(/** @type {number} */ (ports[0]), 'srvr', (answer) => answer.includes('Mode:'));
    },
  });
}
