/**
 * Where inboxes lie. There are two topics: `CLUSTER.coordinator`, where messages wait for whoever leads, and
 * `CLUSTER.workers`, from whose end workers and probes listen. An inbox is a partition and the record key that is its
 * name; several may share a partition, and each listener skips what is not its own.
 *
 * `hello` has a partition to itself. A term's inbox is told to nobody before its leader listens there, so that it begins at
 * the end: a new leader does not read through what was said to the ones before.
 */
import { setTimeout as later } from 'node:timers/promises';
import { ShoalError } from '../../lib/errors.ts';
import { grouped } from './grouped.ts';
import { type ClusterView, isOutdated, isRefusal, type KafkaNode, type NewTopic, type Partition } from './node.ts';
import type { Nodes } from './nodes.ts';

export interface Place extends Partition {
  /** What lies there waits for its listener: since ever, or since its first one. Or it does not: the end is where to begin. */
  from: 'ever' | 'its first listener' | 'the end';
}

export interface TopicNames {
  coordinator: string;
  workers: string;
}

export const coordinatorRetentionMs = 3_600_000;
export const workersRetentionMs = 600_000;
const coordinatorPartitionCount = 4;
const replicaCountMax = 3;
const pauseMs = 100;
/** Beyond it, it is up to who dials us. */
const tries = 80;

export function topicNames(cluster: string): TopicNames {
  return { coordinator: `${cluster}.coordinator`, workers: `${cluster}.workers` };
}

export function placeOf(inbox: string, names: TopicNames, view: ClusterView): Place {
  const countOf = (topic: string): number => view.topics.get(topic)!.partitions.length;
  if (inbox === 'hello') return { topic: names.coordinator, index: 0, from: 'ever' };
  if (!inbox.startsWith('coordinator.')) return { topic: names.workers, index: hashOf(inbox) % countOf(names.workers), from: 'the end' };
  const count = countOf(names.coordinator);
  return { topic: names.coordinator, index: count === 1 ? 0 : 1 + (hashOf(inbox) % (count - 1)), from: 'its first listener' };
}

/** FNV-1a: every process must come to the same partition. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** The cluster, with both topics in it, made if they are not there, and a leader for each of their partitions. */
export async function viewWithTopics(node: KafkaNode, nodes: Nodes, names: TopicNames, workerPartitionCount: number): Promise<ClusterView> {
  const all = [names.coordinator, names.workers];
  let wasAsked = false;
  for (let left = tries; ; left--) {
    const view = await node.view(all);
    const missing = all.filter((name) => !view.topics.has(name));
    if (missing.length === 0 && (await isLed(view, nodes))) return view;
    if (missing.length > 0 && !wasAsked) {
      wasAsked = true;
      const wanted = topicsToMake(names, workerPartitionCount, Math.max(1, Math.min(replicaCountMax, view.nodes.size)));
      await make(
        node,
        wanted.filter(({ name }) => missing.includes(name)),
      );
    } else if (left === 0) {
      throw new Error(missing.length > 0 ? `there is no topic ${missing[0]}, though it was made` : 'partitions are without a leader');
    }
    await later(pauseMs);
  }
}

async function make(node: KafkaNode, topics: readonly NewTopic[]): Promise<void> {
  try {
    await node.makeTopics(topics);
  } catch (cause) {
    if (!isRefusal(cause)) throw cause;
    throw new ShoalError('SH3121', `the Kafka topic ${topics.map(({ name }) => name).join(' and ')} is missing and cannot be made`, {
      why: cause.message,
      hint: `kafka-topics.sh --create --topic ${topics[0]!.name} --partitions ${topics[0]!.partitionCount}`,
      cause,
    });
  }
}

/** The view is of what the cluster has decided, and its nodes carry that out a moment later: so each of them is asked. */
async function isLed({ topics, nodes: addresses }: ClusterView, nodes: Nodes): Promise<boolean> {
  const all = [...topics].flatMap(([topic, { partitions }]) => partitions.map(({ index, leader }) => ({ topic, index, leader })));
  if ([...topics.values()].some(({ partitions }) => partitions.length === 0)) return false;
  for (const [leader, partitions] of grouped(all, (partition) => partition.leader)) {
    const address = leader === undefined ? undefined : addresses.get(leader);
    if (!address) return false;
    const node = await nodes.connect(address);
    try {
      await node.offsetsOf(partitions, 'end');
    } catch (error) {
      if (isOutdated(error)) return false;
      throw error;
    } finally {
      nodes.close(node);
    }
  }
  return true;
}

/**
 * Times are the server's own, so that no machine's wrong clock lets messages be dropped too early or never. Segments
 * are small, because only whole ones are dropped.
 */
function topicsToMake(names: TopicNames, workerPartitionCount: number, replicaCount: number): NewTopic[] {
  const settings = (retentionMs: number): Record<string, string> => ({
    'cleanup.policy': 'delete',
    'retention.ms': String(retentionMs),
    'segment.ms': String(retentionMs / 2),
    'segment.bytes': String(64 * 1024 * 1024),
    'message.timestamp.type': 'LogAppendTime',
  });
  return [
    {
      name: names.coordinator,
      partitionCount: coordinatorPartitionCount,
      replicaCount,
      settings: settings(coordinatorRetentionMs),
    },
    { name: names.workers, partitionCount: workerPartitionCount, replicaCount, settings: settings(workersRetentionMs) },
  ];
}
