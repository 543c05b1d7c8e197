/**
 * KafkaNode by way of `kafkajs`.
 *
 * Its public consumer always joins a group, and every join stops all of its members for seconds. Below that, it has a
 * connection (sockets, TLS, SASL, versions) and Kafka's requests and answers, one by one: those are what is used here.
 * They are no part of its public interface, so that exactly the release that they are known from is accepted. Both
 * sides agree on the versions of requests when a connection opens.
 */
import { createRequire } from 'node:module';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ShoalError } from '../../lib/errors.ts';
import { peer } from '../../lib/peer.ts';
import { grouped } from './grouped.ts';
import {
  type Batch,
  type ClusterView,
  type ConnectNode,
  type FetchLimits,
  isRefusal,
  type KafkaNode,
  type KafkaRecord,
  KafkaRefusal,
  type NewTopic,
  type NodeAddress,
  type Partition,
} from './node.ts';
import type { KafkaSettings } from './settings.ts';

const releases = /^2\.2\.\d+$/;
const connectMsMax = 3_000;
const answerMsMax = 5_000;
/** All replicas in sync have to write. */
const produceMsMax = 10_000;
const clientId = 'shoal';
const loginHint = 'kafka://USER:PASSWORD@HOST:PORT/?sasl=scram-sha-512, or scram-sha-256, or plain';
const topicResource = 2;

export async function kafkajsNodes(settings: KafkaSettings): Promise<ConnectNode> {
  const library = await loadLibrary();
  return async (address) => {
    const node = new KafkajsNode(library, settings, address);
    try {
      await node.open();
    } catch (error) {
      node.close();
      throw error;
    }
    return node;
  };
}

class KafkajsNode implements KafkaNode {
  private readonly library: Library;
  private readonly connection: LibraryConnection;
  private socket: Socket | undefined;
  private isClosed = false;
  private versions: Readonly<Record<number, object>> = {};
  private protocolOf: ((key: number, definition: Definition) => (options: object) => Exchange) | undefined;

  constructor(library: Library, settings: KafkaSettings, address: NodeAddress) {
    this.library = library;
    const { tls, login } = settings;
    this.connection = new library.Connection({
      ...address,
      clientId,
      connectionTimeout: connectMsMax,
      requestTimeout: answerMsMax,
      logger: library.createLogger({ level: 0, logCreator: () => () => undefined }),
      ssl: tls ?? null,
      sasl: login ? { mechanism: login.mechanism, username: login.user, password: login.password.reveal() } : null,
      socketFactory: ({ host, port, ssl, onConnect }) => {
        this.socket = ssl
          ? connectTls({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
          : connectSocket({ host, port }, onConnect);
        return this.socket.setNoDelay(true).setKeepAlive(true, 60_000);
      },
    });
    quietly(this.connection.requestQueue);
  }

  get isOpen(): boolean {
    return !this.isClosed && this.connection.isConnected();
  }

  async open(): Promise<void> {
    const { library, connection } = this;
    await connection.connect();
    const { apiVersions } = (await connection.send(library.requests.ApiVersions!.protocol({ version: 0 })({}))) as {
      apiVersions: { apiKey: number }[];
    };
    this.versions = Object.fromEntries(apiVersions.map((version) => [version.apiKey, version]));
    connection.setVersions(this.versions);
    connection.setSupportAuthenticationProtocol(library.apiKeys.SaslAuthenticate! in this.versions);
    this.protocolOf = library.lookup(this.versions);
    try {
      await connection.authenticate();
    } catch (cause) {
      const { name, type, message } = cause as Error & { type?: string };
      if (name !== 'KafkaJSSASLAuthenticationError' && !type?.includes('SASL')) throw cause;
      throw new ShoalError('SH3125', 'the Kafka cluster refuses the login', { why: message, hint: loginHint, cause });
    }
  }

  async view(topics: readonly string[]): Promise<ClusterView> {
    const answer = (await this.ask('Metadata', { topics, allowAutoTopicCreation: false }, { parse: plain })) as MetadataAnswer;
    return {
      nodes: new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }])),
      topics: new Map(
        answer.topicMetadata.flatMap(({ topic, topicErrorCode, partitionMetadata }) => {
          const refusal = this.refusalOf(topicErrorCode, topic);
          if (isRefusal(refusal, 'UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE')) return [];
          if (refusal) throw refusal;
          return [[topic, { partitions: partitionMetadata.map(partitionViewOf).sort((a, b) => a.index - b.index) }] as const];
        }),
      ),
    };
  }

  async makeTopics(topics: readonly NewTopic[]): Promise<void> {
    const answer = (await this.ask(
      'CreateTopics',
      {
        timeout: answerMsMax,
        topics: topics.map(({ name, partitionCount, replicaCount, settings }) => ({
          topic: name,
          numPartitions: partitionCount,
          replicationFactor: replicaCount,
          configEntries: Object.entries(settings).map(([setting, value]) => ({ name: setting, value })),
        })),
      },
      { parse: plain },
    )) as { topicErrors: { topic: string; errorCode: number; errorMessage?: string | null }[] };
    for (const { topic, errorCode, errorMessage } of answer.topicErrors) {
      const refusal = this.refusalOf(errorCode, errorMessage ?? topic);
      if (refusal && !isRefusal(refusal, 'TOPIC_ALREADY_EXISTS')) throw refusal;
    }
  }

  async settings(topics: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const resources = topics.map((name) => ({ type: topicResource, name, configNames: [] }));
    const answer = (await this.ask('DescribeConfigs', { resources }, { parse: plain })) as {
      resources: { errorCode: number; resourceName: string; configEntries: { configName: string; configValue: string | null }[] }[];
    };
    return new Map(
      answer.resources
        .filter(({ errorCode }) => errorCode === 0)
        .map(({ resourceName, configEntries }) => [
          resourceName,
          new Map(configEntries.map(({ configName, configValue }) => [configName, configValue ?? ''])),
        ]),
    );
  }

  async produce(batches: readonly Batch[]): Promise<readonly (KafkaRefusal | undefined)[]> {
    const topicData = [...grouped(batches, ({ partition }) => partition.topic)].map(([topic, ofTopic]) => ({
      topic,
      partitions: ofTopic.map(({ partition, records }) => ({
        partition: partition.index,
        firstSequence: 0,
        messages: records.map(({ key, value }) => ({ key, value: bufferOf(value) })),
      })),
    }));
    const options = { acks: -1, timeout: produceMsMax, compression: 0, topicData };
    const answer = (await this.ask('Produce', options, { parse: plain, msMax: produceMsMax + answerMsMax })) as {
      topics: { topicName: string; partitions: { partition: number; errorCode: number }[] }[];
    };
    const codes = new Map(answer.topics.flatMap((t) => t.partitions.map((p) => [`${t.topicName}/${p.partition}`, p.errorCode])));
    return batches.map(({ partition: { topic, index } }) => this.refusalOf(codes.get(`${topic}/${index}`) ?? -1, topic));
  }

  async fetch({ topic, index }: Partition, offset: number, { waitMs, bytesMax }: FetchLimits): Promise<readonly KafkaRecord[]> {
    const partitions = [{ partition: index, fetchOffset: offset, maxBytes: bytesMax }];
    const answer = (await this.ask(
      'Fetch',
      { replicaId: -1, isolationLevel: 0, maxWaitTime: waitMs, minBytes: 1, maxBytes: bytesMax, topics: [{ topic, partitions }] },
      { msMax: waitMs + answerMsMax },
    )) as { responses: { partitions: { messages: MessageAnswer[] }[] }[] };
    return answer.responses.flatMap((response) => response.partitions.flatMap(({ messages }) => messages.map(recordOf)));
  }

  async offsetsOf(partitions: readonly Partition[], which: 'first' | 'end'): Promise<readonly number[]> {
    const timestamp = which === 'end' ? -1 : -2;
    const topics = [...grouped(partitions, ({ topic }) => topic)].map(([topic, ofTopic]) => ({
      topic,
      partitions: ofTopic.map(({ index }) => ({ partition: index, timestamp })),
    }));
    // Read uncommitted: nobody writes transactions here, and the others' end is the same.
    const answer = (await this.ask('ListOffsets', { isolationLevel: 0, topics })) as {
      responses: { topic: string; partitions: { partition: number; offset?: string; offsets?: string[] }[] }[];
    };
    const found = new Map(
      answer.responses.flatMap(({ topic, partitions: ofTopic }) =>
        ofTopic.map(({ partition, offset, offsets }) => [`${topic}/${partition}`, Number(offset ?? offsets?.[0] ?? 0)] as const),
      ),
    );
    return partitions.map(({ topic, index }) => found.get(`${topic}/${index}`)!);
  }

  async keeperOf(group: string): Promise<NodeAddress> {
    const answer = (await this.ask('GroupCoordinator', { groupId: group, coordinatorType: 0 })) as { coordinator: NodeAddress };
    return { host: answer.coordinator.host, port: answer.coordinator.port };
  }

  async position(group: string, { topic, index }: Partition): Promise<number | undefined> {
    const answer = (await this.ask('OffsetFetch', { groupId: group, topics: [{ topic, partitions: [{ partition: index }] }] })) as {
      responses: { partitions: { offset: string }[] }[];
    };
    const offset = Number(answer.responses[0]?.partitions[0]?.offset ?? -1);
    return offset < 0 ? undefined : offset;
  }

  async keepPosition(group: string, { topic, index }: Partition, offset: number): Promise<void> {
    const topics = [{ topic, partitions: [{ partition: index, offset: String(offset) }] }];
    // No generation and no member: a group that nobody ever joins.
    await this.ask('OffsetCommit', { groupId: group, groupGenerationId: -1, memberId: '', topics });
  }

  close(): void {
    this.isClosed = true;
    // The library's own end waits for answers. An error ends requests and timers at once.
    this.socket?.destroy(new Error('closed'));
  }

  private async ask(api: string, options: object, { parse, msMax = answerMsMax }: AskOptions = {}): Promise<unknown> {
    if (this.isClosed || !this.protocolOf) throw new Error('the connection was closed');
    const { apiKeys, requests } = this.library;
    const key = apiKeys[api]!;
    if (!(key in this.versions)) throw new KafkaRefusal('UNSUPPORTED_VERSION', `the server has no ${api}`);
    const { request, response } = this.protocolOf(key, requests[api]!)(options);
    try {
      return await this.connection.send({ request, response: parse ? { ...response, parse } : response, requestTimeout: msMax });
    } catch (error) {
      const { type, code, message } = error as Error & { type?: string; code?: unknown };
      throw type !== undefined && typeof code === 'number' ? new KafkaRefusal(type, message) : error;
    }
  }

  private refusalOf(code: number, what: string): KafkaRefusal | undefined {
    if (code === 0) return undefined;
    const { type, message } = this.library.errorOf(code);
    return new KafkaRefusal(type, `${message} (${what})`);
  }
}

/** Keeps errors that are an outcome, rather than throwing the first of them. */
async function plain(answer: unknown): Promise<unknown> {
  return answer;
}

/** It would start a timer with each answer, of a negative time, which newer releases of Node print a warning of. */
function quietly(queue: LibraryConnection['requestQueue']): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
}

function partitionViewOf({ partitionId, leader, replicas, isr }: MetadataAnswer['topicMetadata'][0]['partitionMetadata'][0]) {
  return { index: partitionId, leader: leader < 0 ? undefined : leader, replicaCount: replicas.length, inSyncCount: isr.length };
}

function recordOf({ offset, key, value, isControlRecord }: MessageAnswer): KafkaRecord {
  return { offset: Number(offset), key: isControlRecord ? undefined : key?.toString(), value: value ?? new Uint8Array(0) };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function loadLibrary(): Promise<Library> {
  const forWhat = 'the Kafka broker';
  await peer(forWhat, 'kafkajs', () => import('kafkajs'), 'kafkajs@2.2');
  const load = createRequire(import.meta.url);
  const { version } = load('kafkajs/package.json') as { version: string };
  if (!releases.test(version)) {
    throw new ShoalError('SH3120', `${forWhat} needs kafkajs 2.2, and there is ${version}`, { hint: 'npm install kafkajs@2.2' });
  }
  const { requests, lookup } = load('kafkajs/src/protocol/requests') as Pick<Library, 'requests' | 'lookup'>;
  return {
    requests,
    lookup,
    Connection: load('kafkajs/src/network/connection') as Library['Connection'],
    apiKeys: load('kafkajs/src/protocol/requests/apiKeys') as Library['apiKeys'],
    createLogger: (load('kafkajs/src/loggers') as Pick<Library, 'createLogger'>).createLogger,
    errorOf: (load('kafkajs/src/protocol/error') as { createErrorFromCode: Library['errorOf'] }).createErrorFromCode,
  };
}

interface AskOptions {
  parse?: (answer: unknown) => Promise<unknown>;
  msMax?: number;
}

interface Exchange {
  request: object;
  response: { parse: (answer: unknown) => Promise<unknown> };
}

interface Definition {
  protocol: (which: { version: number }) => (options: object) => Exchange;
}

interface LibraryConnection {
  connect(): Promise<unknown>;
  isConnected(): boolean;
  authenticate(): Promise<void>;
  send(exchange: Exchange & { requestTimeout?: number }): Promise<unknown>;
  setVersions(versions: object): void;
  setSupportAuthenticationProtocol(supported: boolean): void;
  requestQueue: { pending: unknown[]; scheduleCheckPendingRequests: () => void };
}

interface Library {
  Connection: new (options: {
    host: string;
    port: number;
    clientId: string;
    connectionTimeout: number;
    requestTimeout: number;
    logger: unknown;
    ssl: object | null;
    sasl: object | null;
    socketFactory: (how: { host: string; port: number; ssl: object | null; onConnect: () => void }) => Socket;
  }) => LibraryConnection;
  requests: Readonly<Record<string, Definition>>;
  lookup: (versions: object) => (key: number, definition: Definition) => (options: object) => Exchange;
  apiKeys: Readonly<Record<string, number>>;
  createLogger: (options: { level: number; logCreator: () => () => void }) => unknown;
  errorOf: (code: number) => { type: string; message: string };
}

interface MetadataAnswer {
  brokers: { nodeId: number; host: string; port: number }[];
  topicMetadata: {
    topic: string;
    topicErrorCode: number;
    partitionMetadata: { partitionId: number; leader: number; replicas: number[]; isr: number[] }[];
  }[];
}

interface MessageAnswer {
  offset: string;
  key: Buffer | null;
  value: Buffer | null;
  isControlRecord?: boolean;
}
