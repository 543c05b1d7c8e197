// @ts-check
/**
 * Three nodes of the Kafka cluster that librdkafka brings along for tests of clients, inside of a kcat. It keeps nothing,
 * makes topics of 4 partitions as they are asked for, and has none of Kafka's requests for operators. A restarted one is at
 * other ports: start a new one instead.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './server.mjs';
import { find, pathOf } from './where.mjs';

export const where = () => find('kafka-mock', 'kcat');

export const startKafkaMock = () =>
  startServer({
    name: 'kafka-mock',
    url: (place) => `kafka://${hostsOf(place)}`,
    // It has to read something, or it would end.
    launch: () => ({
      command: pathOf(where),
      args: ['-C', '-q', '-b', 'mock', '-t', 'unused', '-X', `test.mock.num.brokers=${nodeCount}`, '-d', 'mock'],
    }),
    answers: async (place) => void hostsOf(place),
  });

const nodeCount = 3;

/** They choose their ports themselves. @param {{ folder: string }} place */
function hostsOf({ folder }) {
  const hosts = /bootstrap\.servers=(\S+)/.exec(readFileSync(join(folder, 'log'), 'utf8'))?.[1];
  if (!hosts) throw new Error('it has not said yet where it is');
  return hosts;
}
