// @ts-check
/** Apache Kafka, one node that is broker and controller (KRaft). */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { homeOf, isHome } from './home.mjs';
import { briefJvm, findJava } from './java.mjs';
import { startServer } from './server.mjs';
import { pathOf } from './where.mjs';

export const kafkaJava = () => findJava('kafka', (version) => version >= 17, 'Java 17 or later');

/** @returns {import('./where.mjs').Where} */
export const where = () => (isHome('kafka') ? kafkaJava() : { why: `there is no ${homeOf('kafka')}: npm run services:install kafka` });

/**
 * @typedef {object} KafkaOptions
 * @property {Readonly<Record<string, string>>} [settings] such as `{ 'message.max.bytes': '65536' }`
 */

/** @param {KafkaOptions} [options] */
export function startKafka({ settings = {} } = {}) {
  const java = pathOf(where);
  const jvm = ['-Xms64m', '-Xmx384m', ...briefJvm, '-cp', join(homeOf('kafka'), '*')];
  return startServer({
    name: 'kafka',
    portCount: 2,
    startMsMax: 120_000,
    url: ({ ports }) => `kafka://127.0.0.1:${ports[0]}`,
    prepare: ({ folder, data, ports: [broker, controller] }) => {
      const file = join(folder, 'server.properties');
      const lines = Object.entries({
        'process.roles': 'broker,controller',
        'node.id': '1',
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        'controller.listener.names': 'CONTROLLER',
        listeners: `PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}`,
        'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker}`,
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
        'log.dirs': data,
        'num.partitions': '1',
        'offsets.topic.num.partitions': '1',
        'offsets.topic.replication.factor': '1',
        'transaction.state.log.num.partitions': '1',
        'transaction.state.log.replication.factor': '1',
        'transaction.state.log.min.isr': '1',
        'group.initial.rebalance.delay.ms': '0',
        'num.network.threads': '2',
        'num.io.threads': '2',
        'background.threads': '2',
        'log.cleaner.dedupe.buffer.size': '4194304',
        // One that comes back is let in only when the session that it had before is over.
        'broker.session.timeout.ms': '3000',
        'broker.heartbeat.interval.ms': '500',
        // A clean end need not hand its partitions to anybody.
        'controlled.shutdown.enable': 'false',
        ...settings,
      });
      writeFileSync(file, lines.map(([name, value]) => `${name}=${value}\n`).join(''));
      // Any cluster id will do, in its form of 16 bytes as base64url.
      execFileSync(java, [...jvm, 'kafka.tools.StorageTool', 'format', '-t', 'c2hvYWwtdGVzdC1jbHVzdA', '-c', file], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    },
    launch: ({ folder }) => ({ command: java, args: [...jvm, 'kafka.Kafka', join(folder, 'server.properties')] }),
    answers: async ({ ports }) => {
      // Metadata, version 0, of all topics: its first list is the brokers that take part.
      const body = Buffer.from([0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
      const answer = await exchange(
        /** @type {number} */ (ports[0]),
        Buffer.from([0, 0, 0, body.length, ...body]),
        (bytes) => bytes.length >= 12,
      );
      if (answer.readUInt32BE(8) < 1) throw new Error('no broker has joined yet');
    },
  });
}
