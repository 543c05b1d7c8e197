// @ts-check
/**
 * `npm run services:install [names…]`: the real servers that tests and benches run against, as far as this machine
 * lacks them. Debian's packages by apt-get; the others go to ~/.cache/shoal/services, or to where SHOAL_SERVICES says.
 */
import { pathToFileURL } from 'node:url';
import { homeOf, versions } from './servers/home.mjs';
import { servers } from './servers/servers.mjs';
import { find } from './servers/where.mjs';
import { aptInstall } from './services/apt.mjs';
import { ferretdbInstall } from './services/ferretdb.mjs';
import { mavenInstall } from './services/maven.mjs';

/** @typedef {{ where: () => import('./servers/where.mjs').Where, install: () => void }} Service */

/** @type {Record<string, Service>} */
const services = {
  redis: { where: servers.redis.where, install: () => aptInstall(['redis-server']) },
  nats: { where: servers.nats.where, install: () => aptInstall(['nats-server']) },
  postgres: { where: servers.postgres.where, install: () => aptInstall(['postgresql']) },
  etcd: { where: servers.etcd.where, install: () => aptInstall(['etcd-server']) },
  zookeeper: { where: servers.zookeeper.where, install: () => aptInstall(['zookeeper', 'default-jre-headless']) },
  rabbitmq: { where: servers.rabbitmq.where, install: () => aptInstall(['rabbitmq-server']) },
  kafka: {
    where: servers.kafka.where,
    install: () => javaInstall('kafka', [`org.apache.kafka:kafka_2.13:${versions.kafka}`, 'org.slf4j:slf4j-simple:1.7.36']),
  },
  cassandra: {
    where: servers.cassandra.where,
    install: () => javaInstall('cassandra', [`org.apache.cassandra:cassandra-all:${versions.cassandra}`]),
  },
  mongodb: { where: servers.mongodb.where, install: () => ferretdbInstall(homeOf('ferretdb'), versions.ferretdb) },
  // No server: tests let clocks jump with it.
  faketime: { where: () => find('faketime', 'faketime'), install: () => aptInstall(['faketime']) },
};

/**
 * Goes on after a failure: each one is told, and the tests that miss a server say so once more.
 * @param {readonly string[]} names
 * @returns {{ passed: number, failed: number }}
 */
export function installServices(names = Object.keys(services)) {
  const counts = { passed: 0, failed: 0 };
  for (const name of names) {
    const why = missing(name);
    console.log(`${why ? 'FAILED' : '  ok  '}  ${name}${why ? `: ${why}` : ''}`);
    counts[why ? 'failed' : 'passed']++;
  }
  return counts;
}

/**
 * @param {string} name
 * @returns {string | undefined} why it still isn't here
 */
function missing(name) {
  const service = services[name];
  if (!service) return `unknown; there are ${Object.keys(services).join(', ')}`;
  if ('path' in service.where()) return undefined;
  try {
    service.install();
  } catch (error) {
    return error instanceof Error ? error.message : `${error}`;
  }
  const found = service.where();
  return 'why' in found ? `installed, and yet ${found.why}` : undefined;
}

/**
 * @param {'kafka' | 'cassandra'} name
 * @param {readonly string[]} artifacts
 */
function javaInstall(name, artifacts) {
  if (!('path' in find(name, 'java'))) aptInstall(['default-jre-headless']);
  mavenInstall(homeOf(name), artifacts);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const names = process.argv.slice(2);
  process.exitCode = installServices(names.length > 0 ? names : undefined).failed === 0 ? 0 : 1;
}
