/** Something for each server to remember, through the client library that our adapters use for it. */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import { createClient } from '@redis/client';
import { connect as connectAmqp } from 'amqplib';
import { Client as CassandraClient } from 'cassandra-driver';
import { Kafka, logLevel } from 'kafkajs';
import { MongoClient } from 'mongodb';
import zookeeper from 'node-zookeeper-client';
import pg from 'pg';
import type { ServerName } from './servers.mjs';

export interface Memory {
  put(): Promise<unknown>;
  /** 'kept', if what was put is there. */
  ask(): Promise<unknown>;
  close(): unknown;
}

/** Of all but the one that keeps nothing. */
export const memories: Record<Exclude<ServerName, 'kafka-mock'>, (url: string) => Promise<Memory>> = {
  redis: ofRedis,
  valkey: ofRedis,
  async nats(url) {
    const connection = await connectNats({ servers: url });
    const manager = await jetstreamManager(connection);
    return {
      async put() {
        await manager.streams.add({ name: 'memory', subjects: ['memory'] });
        await connection.request('memory', 'kept');
      },
      ask: async () => (await manager.streams.getMessage('memory', { seq: 1 }))?.string(),
      close: () => connection.close(),
    };
  },
  async postgres(url) {
    const client = new pg.Client(url);
    await client.connect();
    return {
      put: () => client.query("create table memory as select 'kept' as word"),
      ask: async () => (await client.query('select word from memory')).rows[0].word,
      close: () => client.end(),
    };
  },
  async etcd(url) {
    const call = async (name: string, body: object) => {
      const response = await fetch(`${url}/v3/kv/${name}`, { method: 'POST', body: JSON.stringify(body) });
      return (await response.json()) as { kvs?: { value: string }[] };
    };
    return {
      put: () => call('put', { key: btoa('memory'), value: btoa('kept') }),
      ask: async () => atob((await call('range', { key: btoa('memory') })).kvs?.[0]?.value ?? ''),
      close() {},
    };
  },
  async zookeeper(url) {
    const client = zookeeper.createClient(new URL(url).host);
    client.connect();
    await new Promise<void>((resolve) => client.once('connected', resolve));
    return {
      put: () =>
        new Promise((resolve, reject) => {
          client.create('/memory', Buffer.from('kept'), (error) => (error ? reject(error) : resolve(undefined)));
        }),
      ask: () =>
        new Promise((resolve, reject) => {
          client.getData('/memory', (error, data) => (error ? reject(error) : resolve(`${data}`)));
        }),
      close: () => client.close(),
    };
  },
  async rabbitmq(url) {
    const connection = await connectAmqp(url);
    const channel = await connection.createConfirmChannel();
    return {
      async put() {
        await channel.assertQueue('memory', { durable: true });
        channel.sendToQueue('memory', Buffer.from('kept'), { persistent: true });
        await channel.waitForConfirms();
      },
      async ask() {
        const message = await channel.get('memory');
        return message && `${message.content}`;
      },
      close: () => connection.close(),
    };
  },
  async kafka(url) {
    const kafka = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    const producer = kafka.producer();
    await Promise.all([admin.connect(), producer.connect()]);
    return {
      async put() {
        await admin.createTopics({ topics: [{ topic: 'memory', numPartitions: 1 }] });
        await producer.send({ topic: 'memory', acks: -1, messages: [{ value: 'kept' }] });
      },
      ask: async () => (await admin.fetchTopicOffsets('memory'))[0]?.high === '1' && 'kept',
      close: () => Promise.all([admin.disconnect(), producer.disconnect()]),
    };
  },
  async mongodb(url) {
    const client = await new MongoClient(url).connect();
    const words = client.db('shoal').collection<{ _id: string }>('memory');
    return {
      put: () => words.insertOne({ _id: 'kept' }),
      ask: async () => (await words.findOne())?._id,
      close: () => client.close(),
    };
  },
  async cassandra(url) {
    const client = new CassandraClient({ contactPoints: [new URL(url).host], localDataCenter: 'datacenter1' });
    await client.connect();
    return {
      async put() {
        await client.execute("create keyspace shoal with replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
        await client.execute('create table shoal.memory (word text primary key)');
        await client.execute("insert into shoal.memory (word) values ('kept') if not exists");
      },
      ask: async () => (await client.execute('select word from shoal.memory')).first()?.get('word'),
      close: () => client.shutdown(),
    };
  },
};

async function ofRedis(url: string): Promise<Memory> {
  const client = await createClient({ url }).connect();
  return { put: () => client.set('memory', 'kept'), ask: () => client.get('memory'), close: () => client.destroy() };
}
