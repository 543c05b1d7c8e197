// @ts-check
/** Apache Cassandra, one node. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exchange } from './exchange.mjs';
import { homeOf, isHome } from './home.mjs';
import { briefJvm, findJava } from './java.mjs';
import { startServer } from './server.mjs';
import { pathOf } from './where.mjs';

export const cassandraJava = () => findJava('cassandra', (version) => version === 11 || version === 17, 'Java 11 or 17');

/** @returns {import('./where.mjs').Where} */
export const where = () =>
  isHome('cassandra') ? cassandraJava() : { why: `there is no ${homeOf('cassandra')}: npm run services:install cassandra` };

/** What it reaches into the platform for. */
const exported = [
  ...['java.base/jdk.internal.misc', 'java.base/java.lang.ref', 'java.management.rmi/com.sun.jmx.remote.internal.rmi'],
  ...['java.rmi/sun.rmi.registry', 'java.rmi/sun.rmi.server', 'java.sql/java.sql', 'jdk.unsupported/sun.misc'],
  'jdk.attach/sun.tools.attach',
];
const opened = [
  ...['lang', 'lang.module', 'lang.reflect', 'io', 'nio', 'util', 'util.concurrent'].map((name) => `java.base/java.${name}`),
  ...['loader', 'ref', 'reflect', 'math', 'module', 'util.jar'].map((name) => `java.base/jdk.internal.${name}`),
  ...['java.base/sun.nio.ch', 'jdk.management/com.sun.management.internal'],
];

/**
 * @typedef {object} CassandraOptions
 * @property {Readonly<Record<string, unknown>>} [settings] of cassandra.yaml, such as `{ write_request_timeout: '10s' }`
 */

/** @param {CassandraOptions} [options] */
export function startCassandra({ settings = {} } = {}) {
  const java = pathOf(where);
  const home = homeOf('cassandra');
  return startServer({
    name: 'cassandra',
    portCount: 2,
    startMsMax: 180_000,
    url: ({ ports }) => `cassandra://127.0.0.1:${ports[0]}`,
    prepare: ({ folder, data, ports: [native, storage] }) => {
      const yaml = {
        cluster_name: 'shoal',
        num_tokens: 1,
        partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
        endpoint_snitch: 'SimpleSnitch',
        seed_provider: [{ class_name: 'org.apache.cassandra.locator.SimpleSeedProvider', parameters: [{ seeds: `127.0.0.1:${storage}` }] }],
        listen_address: '127.0.0.1',
        rpc_address: '127.0.0.1',
        native_transport_port: native,
        storage_port: storage,
        data_file_directories: [join(data, 'data')],
        commitlog_directory: join(data, 'commitlog'),
        saved_caches_directory: join(data, 'caches'),
        hints_directory: join(data, 'hints'),
        cdc_raw_directory: join(data, 'cdc'),
        // What it acknowledged survives `kill -9`; by default it would be what is ten seconds old.
        commitlog_sync: 'batch',
        commitlog_segment_size: '8MiB',
        auto_snapshot: false,
        concurrent_reads: 4,
        concurrent_writes: 4,
        ...settings,
      };
      // JSON is YAML too.
      writeFileSync(join(folder, 'cassandra.yaml'), JSON.stringify(yaml, null, 2));
      writeFileSync(join(folder, 'logback.xml'), logback);
    },
    launch: ({ folder, data }) => ({
      command: java,
      args: [
        ...['-Xms128m', '-Xmx640m', '-Xss512k', ...briefJvm, `-javaagent:${join(home, 'jamm-0.4.0.jar')}`],
        ...exported.flatMap((name) => ['--add-exports', `${name}=ALL-UNNAMED`]),
        ...opened.flatMap((name) => ['--add-opens', `${name}=ALL-UNNAMED`]),
        `-Dcassandra.config=file://${join(folder, 'cassandra.yaml')}`,
        `-Dcassandra.storagedir=${data}`,
        `-Dlogback.configurationFile=${join(folder, 'logback.xml')}`,
        `-Djava.io.tmpdir=${folder}`,
        `-Djna.tmpdir=${folder}`,
        ...['-Dcassandra-foreground=yes', '-Djdk.attach.allowAttachSelf=true', '-Dio.netty.tryReflectionSetAccessible=true'],
        // There is nobody else to wait for.
        ...['-Dcassandra.skip_wait_for_gossip_to_settle=0', '-Dcassandra.ring_delay_ms=100', '-Dcassandra.superuser_setup_delay_ms=0'],
        // Passwords of tests need not be hard to guess.
        '-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4',
        ...['-cp', join(home, '*'), 'org.apache.cassandra.service.CassandraDaemon'],
      ],
    }),
    answers: async ({ ports }) => {
      // OPTIONS in version 4 of its protocol, answered by SUPPORTED.
      const answer = await exchange(
        /** @type {number} */ (ports[0]),
        Buffer.from([4, 0, 0, 0, 5, 0, 0, 0, 0]),
        (bytes) => bytes.length >= 9,
      );
      if (answer[4] !== 6) throw new Error(`it answers OPTIONS with ${answer[4]}`);
    },
  });
}

const logback = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %date{HH:mm:ss,SSS} %msg%n</pattern></encoder></appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
`;
