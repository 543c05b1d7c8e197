/** The connection and the stream, made ready before anything travels. */
import { connect as connectSocket } from 'node:net';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ShoalError } from '../../lib/errors.ts';
import type { CarrierOptions } from '../carrier.ts';
import { refusal, streamName, subjectsOf } from './names.ts';

export type Client = typeof import('@nats-io/transport-node');
export type JetStream = typeof import('@nats-io/jetstream');

/** Where servers form a cluster: one of them may be away. */
const replicaCount = 3;
const noSuitablePeers = 10_005;
/** "JetStream system temporarily unavailable" */
const withoutLeader = 10_008;
const streamBytesMax = 256 * 1024 * 1024;
export const untakenMs = 60 * 60_000;
const openMs = 8_000;
/** JetStream opens later than the port, and servers of a cluster have to find a leader; a question that came before is never answered. */
const jetStreamMs = 3_000;
const leaderMs = 6_500;
const answerMs = 1_500;
const retryMs = 100;

/** The stream of what waits; one that its owner made is left as it is, if it can serve. Resolves with how large its messages may be. */
export async function makeStream(jetStream: JetStream, connection: NatsConnection, cluster: string): Promise<number> {
  const { JetStreamApiError } = jetStream;
  const manager = await jetStream.jetstreamManager(connection, { checkAPI: false, timeout: answerMs });
  const startMs = performance.now();
  for (;;) {
    try {
      return await findOrMakeStream(jetStream, manager, cluster, connection.info?.cluster !== undefined);
    } catch (error) {
      const passedMs = performance.now() - startMs;
      // No answer at all: off, or not up yet. An account without it says so.
      const isSilent = error instanceof Error && error.name === 'JetStreamNotEnabled' && !(error.cause instanceof JetStreamApiError);
      const isLeaderless =
        (error instanceof Error && error.name === 'TimeoutError') || (error instanceof JetStreamApiError && error.code === withoutLeader);
      if (isLeaderless && passedMs > leaderMs)
        throw new Error('its JetStream does not answer: a cluster needs more than half of its servers');
      if (!isLeaderless && !(isSilent && passedMs < jetStreamMs)) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

async function findOrMakeStream(jetStream: JetStream, manager: JetStreamManager, cluster: string, isOfSeveral: boolean): Promise<number> {
  const { RetentionPolicy, StorageType, DiscardPolicy, JetStreamApiError, JetStreamApiCodes } = jetStream;
  const name = streamName(cluster);
  const subjects = ['hello', 'coordinator.*'].map((last) => `${subjectsOf(cluster)}.${last}`);
  try {
    const { config } = await manager.streams.info(name);
    const serves = config.retention === RetentionPolicy.Workqueue && subjects.every((subject) => config.subjects.includes(subject));
    if (serves) return config.max_msg_size > 0 ? config.max_msg_size : Number.POSITIVE_INFINITY;
    throw new ShoalError('SH3118', `the stream ${name} can't serve`, {
      why: `it has retention ${config.retention} and the subjects ${config.subjects.join(', ')}`,
      hint: `nats stream rm ${name}: it is made anew; or give the cluster another name`,
    });
  } catch (error) {
    if (!(error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound)) throw error;
  }
  const wanted = {
    name,
    subjects,
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_bytes: streamBytesMax,
    max_age: untakenMs * 1e6,
  };
  try {
    await manager.streams.add({ ...wanted, num_replicas: isOfSeveral ? replicaCount : 1 });
  } catch (error) {
    if (!isOfSeveral || !(error instanceof JetStreamApiError && error.code === noSuitablePeers)) throw error;
    // Fewer servers, or fewer with JetStream: `shoal doctor` says what that means.
    await manager.streams.add({ ...wanted, num_replicas: 1 });
  }
  return Number.POSITIVE_INFINITY;
}

/** The first of the hosts that answers, since the library keeps its socket to one that doesn't. */
export async function dial(client: Client, { url, otherHosts = [], cluster }: CarrierOptions): Promise<NatsConnection> {
  const untilMs = performance.now() + openMs;
  const hosts = [url.host, ...otherHosts].map((host) => new URL(`nats://${host}`));
  const failures: unknown[] = [];
  for (const { hostname, port } of hosts) {
    try {
      const ms = (untilMs - performance.now()) / (hosts.length - failures.length);
      await greeted(hostname.replace(/^\[|\]$/g, ''), Number(port || 4222), ms);
      return await client.connect({
        servers: `${hostname}:${port || 4222}`,
        ...credentials(url),
        ...(url.protocol === 'tls:' && { tls: {} }),
        name: `shoal ${cluster}`,
        inboxPrefix: `${subjectsOf(cluster)}.answers`,
        // A carrier is one connection: whoever dials anew has to subscribe anew, too.
        reconnect: false,
        ignoreClusterUpdates: true,
        timeout: openMs,
        noAsyncTraces: true,
      });
    } catch (error) {
      failures.push(error);
    }
  }
  throw refusal(failures.at(-1));
}

function credentials({ username, password }: URL): { user?: string; pass?: string; token?: string } {
  if (username === '') return {};
  if (password === '') return { token: decodeURIComponent(username) };
  return { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
}

function greeted(host: string, port: number, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(port, host);
    const deadline = setTimeout(() => socket.destroy(new Error(`no answer within ${Math.round(ms)} ms`)), ms);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      text += piece;
      if (text.length < 5) return;
      if (text.startsWith('INFO ')) resolve();
      socket.destroy(new Error('what answers there is not NATS'));
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(deadline);
      reject(new Error('the connection was closed before a word was said'));
    });
  });
}
