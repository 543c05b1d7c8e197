// @ts-check
/** Apache Kafka; each node is broker and controller (KRaft). */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exchange } from './exchange.mjs';
import { homeOf, isHome } from './home.mjs';
import { briefJvm, findJava } from './java.mjs';
import { freePorts, startServer } from './server.mjs';
import { pathOf } from './where.mjs';

export const kafkaJava = () => findJava('kafka', (version) => version >= 17, 'Java 17 or later');

/** @returns {import('./where.mjs').Where} */
export const where = () => (isHome('kafka') ? kafkaJava() : { why: `there is no ${homeOf('kafka')}: npm run services:install kafka` });

/**
 * @typedef {object} KafkaOptions
 * @property {Readonly<Record<string, string>>} [settings] such as `{ 'message.max.bytes': '65536' }`
 * @property {Readonly<Record<string, string>>} [users] passwords of those who may log in at a second door (SASL_SSL) and
 *   have no rights at first; at the first one everybody has all rights
 * @property {readonly number[]} [ports] instead of three free ones: of the broker, of the controller, of the second door
 *
 * @typedef {{ guardedPort: number, certificates: string }} Guarded the second door, and the file with whom to trust there
 */

/**
 * @param {KafkaOptions} [options]
 * @returns {Promise<import('./server.mjs').Server & Guarded>}
 */
export async function startKafka({ settings = {}, users, ports } = {}) {
  const java = pathOf(where);
  const guarded = { guardedPort: 0, certificates: '' };
  const jvm = ['-Xms64m', '-Xmx384m', ...briefJvm, '-cp', join(homeOf('kafka'), '*')];
  const server = await startServer({
    name: 'kafka',
    portCount: 3,
    ...(ports && { ports }),
    startMsMax: 120_000,
    url: ({ ports }) => `kafka://127.0.0.1:${ports[0]}`,
    prepare: ({ folder, data, ports: [broker, controller, third = 0] }) => {
      const guard = users && guardedDoor(java, folder, users);
      if (guard) Object.assign(guarded, { guardedPort: third, certificates: guard.certificates });
      const door = guard ? `,GUARDED://127.0.0.1:${third}` : '';
      const file = join(folder, 'server.properties');
      const lines = Object.entries({
        'process.roles': 'broker,controller',
        'node.id': '1',
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        'controller.listener.names': 'CONTROLLER',
        listeners: `PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}${door}`,
        'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker}${door}`,
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_SSL',
        ...guard?.settings,
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
      const format = ['format', '-t', 'c2hvYWwtdGVzdC1jbHVzdA', '-c', file, ...(guard?.format ?? [])];
      execFileSync(java, [...jvm, 'kafka.tools.StorageTool', ...format], {
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
  return Object.assign(server, guarded);
}

/**
 * Nodes of one cluster: what is written is on two of them at least.
 * @param {number} count
 * @returns {Promise<readonly import('./server.mjs').Server[]>}
 */
export async function startKafkaCluster(count) {
  const ports = await freePorts(3 * count);
  const portsOf = (/** @type {number} */ index) => ports.slice(3 * index, 3 * index + 3);
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const settings = {
    'controller.quorum.voters': ids.map((id) => `${id}@127.0.0.1:${portsOf(id - 1)[1]}`).join(','),
    'offsets.topic.replication.factor': `${count}`,
    'min.insync.replicas': '2',
    // One that is slow to answer on a busy machine is not away.
    'broker.session.timeout.ms': '6000',
  };
  const starts = ids.map((id) => startKafka({ ports: portsOf(id - 1), settings: { ...settings, 'node.id': `${id}` } }));
  const outcomes = await Promise.allSettled(starts);
  const nodes = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return nodes;
  await Promise.all(nodes.map((node) => node.stop()));
  throw failed.reason;
}

/**
 * @param {string} java
 * @param {string} folder
 * @param {Readonly<Record<string, string>>} users
 */
function guardedDoor(java, folder, users) {
  const keytool = join(dirname(java), 'keytool');
  const store = ['-alias', 'kafka', '-keystore', join(folder, 'keys.p12'), '-storetype', 'PKCS12', '-storepass', storePassword];
  const certificates = join(folder, 'certificates.pem');
  if (!existsSync(certificates)) {
    const names = ['-dname', 'CN=localhost', '-ext', 'SAN=ip:127.0.0.1,dns:localhost', '-validity', '3650'];
    execFileSync(keytool, ['-genkeypair', '-keyalg', 'EC', '-groupname', 'secp256r1', ...names, ...store], { stdio: 'pipe' });
    writeFileSync(certificates, execFileSync(keytool, ['-exportcert', '-rfc', ...store], { stdio: 'pipe' }));
  }
  const plain = Object.entries(users).map(([user, password]) => `user_${user}="${password}"`);
  return {
    certificates,
    settings: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
      'ssl.keystore.location': join(folder, 'keys.p12'),
      'ssl.keystore.type': 'PKCS12',
      'ssl.keystore.password': storePassword,
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'listener.name.guarded.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${plain.join(' ')};`,
      'listener.name.guarded.scram-sha-256.sasl.jaas.config': scramLogin,
      'listener.name.guarded.scram-sha-512.sasl.jaas.config': scramLogin,
    },
    format: Object.entries(users).flatMap(([user, password]) =>
      ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${user},password=${password}]`]),
    ),
  };
}

const storePassword = 'changeit';
const scramLogin = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
