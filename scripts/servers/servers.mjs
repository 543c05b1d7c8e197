// @ts-check
/** Every server that we can start, by the name that `npm run services:install` knows it by. */
import * as etcd from './etcd.mjs';
import * as nats from './nats.mjs';
import * as postgres from './postgres.mjs';
import * as rabbitmq from './rabbitmq.mjs';
import * as redis from './redis.mjs';
import * as zookeeper from './zookeeper.mjs';

export const servers = {
  redis: { where: redis.where, start: redis.startRedis },
  nats: { where: nats.where, start: nats.startNats },
  postgres: { where: postgres.where, start: postgres.startPostgres },
  etcd: { where: etcd.where, start: etcd.startEtcd },
  zookeeper: { where: zookeeper.where, start: zookeeper.startZookeeper },
  rabbitmq: { where: rabbitmq.where, start: rabbitmq.startRabbitmq },
};

/** @typedef {keyof typeof servers} ServerName */
