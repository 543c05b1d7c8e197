/**
 * What the Kafka adapter needs of a client library: one connection to one node of a Kafka cluster, and the few requests
 * of Kafka's protocol that carry messages without a consumer group. The rest of the adapter knows no library.
 *
 * A request rejects with a `KafkaRefusal` if the node answered, and with any other error if it is not known what became
 * of it. Nodes answer one connection's requests one after the other: a fetch that waits holds up what is asked after it.
 */
export interface KafkaNode {
  /** Of the cluster, and of those of the topics that there are. Makes none. */
  view(topics: readonly string[]): Promise<ClusterView>;
  makeTopics(topics: readonly NewTopic[]): Promise<void>;
  /** Of each topic that it tells us about. */
  settings(topics: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>>;
  /** As they come, each partition once; an outcome for each, in their order. Taken by all replicas in sync. */
  produce(batches: readonly Batch[]): Promise<readonly (KafkaRefusal | undefined)[]>;
  /** What lies there from `offset` on; waits for it. A batch that begins before it comes whole. */
  fetch(partition: Partition, offset: number, limits: FetchLimits): Promise<readonly KafkaRecord[]>;
  /** `first`: of what is still kept. `end`: of what comes next. Rejects unless this node leads all of them. */
  offsetsOf(partitions: readonly Partition[], which: 'first' | 'end'): Promise<readonly number[]>;
  /** Where the positions of a group are kept. */
  keeperOf(group: string): Promise<NodeAddress>;
  position(group: string, partition: Partition): Promise<number | undefined>;
  keepPosition(group: string, partition: Partition, offset: number): Promise<void>;
  /** Servers close connections that are idle for long. */
  readonly isOpen: boolean;
  /** What is under way rejects. Leaves no timer and no socket. */
  close(): void;
}

export type ConnectNode = (address: NodeAddress) => Promise<KafkaNode>;

export interface NodeAddress {
  host: string;
  port: number;
}

export interface Partition {
  topic: string;
  index: number;
}

export interface ClusterView {
  nodes: ReadonlyMap<number, NodeAddress>;
  topics: ReadonlyMap<string, TopicView>;
}

export interface TopicView {
  partitions: readonly PartitionView[];
}

export interface PartitionView {
  index: number;
  /** None while the cluster is choosing one. */
  leader: number | undefined;
  replicaCount: number;
  inSyncCount: number;
}

export interface NewTopic {
  name: string;
  partitionCount: number;
  replicaCount: number;
  settings: Readonly<Record<string, string>>;
}

export interface Batch {
  partition: Partition;
  records: readonly { key: string; value: Uint8Array }[];
}

export interface KafkaRecord {
  offset: number;
  key: string | undefined;
  value: Uint8Array;
}

export interface FetchLimits {
  waitMs: number;
  bytesMax: number;
}

/** The node's answer was no. */
export class KafkaRefusal extends Error {
  override readonly name = 'KafkaRefusal';
  /** As Kafka names it: `TOPIC_AUTHORIZATION_FAILED`. */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(`${reason}: ${message}`);
    this.reason = reason;
  }
}

export function isRefusal(error: unknown, ...reasons: readonly string[]): error is KafkaRefusal {
  return error instanceof KafkaRefusal && (reasons.length === 0 || reasons.includes(error.reason));
}

const outdated = [
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
];

/** The view of the cluster is not right: no longer, or not yet. */
export function isOutdated(error: unknown): boolean {
  return isRefusal(error, ...outdated);
}
