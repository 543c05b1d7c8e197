// @ts-check
/** Every server that we can start, by the name that `npm run services:install` knows it by. */
import * as cassandra from './cassandra.mjs';
import * as etcd from './etcd.mjs';
import * as kafka from './kafka.mjs';
import * as kafkaMock from './kafka-mock.mjs';
import * as mongodb from './mongodb.mjs';
import * as nats from './nats.mjs';
import * as postgres from './postgres.mjs';
import * as rabbitmq from './rabbitmq.mjs';
import * as redis from './redis.mjs';
import * as zookeeper from './zookeeper.mjs';

export const servers = {
  redis: { where: redis.where, start: redis.startRedis },
  valkey: { where: redis.whereValkey, start: redis.startValkey },
  nats: { where: nats.where, start: nats.startNats },
  postgres: { where: postgres.where, start: postgres.startPostgres },
  etcd: { where: etcd.where, start: etcd.startEtcd },
  zookeeper: { where: zookeeper.where, start: zookeeper.startZookeeper },
  rabbitmq: { where: rabbitmq.where, start: rabbitmq.startRabbitmq },
  kafka: { where: kafka.where, start: kafka.startKafka },
  'kafka-mock': { where: kafkaMock.where, start: kafkaMock.startKafkaMock },
  mongodb: { where: mongodb.where, start: mongodb.startMongodb },
  cassandra: { where: cassandra.where, start: cassandra.startCassandra },
};

/** @typedef {keyof typeof servers} ServerName */

/**
 * CI requires every server but these. They need what not every machine can be given (Java 11 or 17 for Cassandra, Go 1.23
 * for FerretDB, a build for its processor and C library for Valkey); where that is so, their suites count as skipped and not as failed, and say why.
 * @type {ReadonlySet<string>}
 */
export const dispensable = new Set(['cassandra', 'mongodb', 'valkey']);
