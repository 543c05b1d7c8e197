/**
 * Kafka as a carrier. Messages of one inbox lie in one partition (`kafka/topics.ts`); who listens reads that partition by its
 * number, over a connection of its own, and no consumer group is joined or rebalanced. What goes out shares one connection
 * a node (`kafka/publisher.ts`).
 *
 * 1. Whatever shows that the view of the cluster is out of date, or that a node is gone, ends the carrier: the next one
 *    looks at everything anew. An idle connection that a server closes shows nothing of the kind.
 * 2. A listener at `hello` or `coordinator.<term>` goes on where the last one kept its mark. Any other hears what comes from
 *    its subscription on; after a loss it goes on where it was, as long as its process lives.
 */
import { ShoalError } from '../lib/errors.ts';
import type { Carrier, CarrierOptions, Finding, OpenCarrier, Subscription } from './carrier.ts';
import { Bookmark } from './kafka/bookmark.ts';
import { findingsOf } from './kafka/findings.ts';
import { Inbox } from './kafka/inbox.ts';
import { kafkajsNodes } from './kafka/kafkajs.ts';
import { type ClusterView, isOutdated, isRefusal, type KafkaNode, type NodeAddress } from './kafka/node.ts';
import { Nodes } from './kafka/nodes.ts';
import { besideValueBytes, Publisher } from './kafka/publisher.ts';
import { type KafkaSettings, settingsOf } from './kafka/settings.ts';
import { type Place, placeOf, type TopicNames, topicNames, viewWithTopics } from './kafka/topics.ts';

/** Kafka's own default, where it does not tell us. */
const batchBytesMaxDefault = 1_048_588;
const inboxNameBytesMax = 400;
const openMsMax = 9_500;
const forbidden = ['TOPIC_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED'];

/** Positions of listeners whose connection was lost: see `kafka/inbox.ts`. */
const remembered = new Map<string, number>();
const rememberedMax = 1_000;

export const openKafka: OpenCarrier = async (options) => {
  const settings = settingsOf(options.url, options.otherHosts);
  const nodes = new Nodes(await kafkajsNodes(settings));
  const timer = setTimeout(() => nodes.closeAll(), openMsMax);
  try {
    return await open(options, settings, nodes);
  } catch (error) {
    nodes.closeAll();
    throw withHint(error);
  } finally {
    clearTimeout(timer);
  }
};

async function open(options: CarrierOptions, settings: KafkaSettings, nodes: Nodes): Promise<KafkaCarrier> {
  const names = topicNames(options.cluster);
  const any = await nodes.connectAny(settings.hosts);
  const view = await viewWithTopics(any, nodes, names, settings.workerPartitionCount);
  const batchBytesMax = await batchBytesMaxOf(any, names);
  nodes.close(any);
  return new KafkaCarrier({ options, settings, nodes, names, view, batchBytesMax });
}

/** The smaller one of both topics'. */
async function batchBytesMaxOf(node: KafkaNode, names: TopicNames): Promise<number> {
  const settings = await settingsIfAllowed(node, names);
  const limits = [...settings.values()].map((ofTopic) => Number(ofTopic.get('max.message.bytes'))).filter((bytes) => bytes > 0);
  return Math.min(...(limits.length > 0 ? limits : [batchBytesMaxDefault]));
}

async function settingsIfAllowed(node: KafkaNode, names: TopicNames): ReturnType<KafkaNode['settings']> {
  try {
    return await node.settings([names.coordinator, names.workers]);
  } catch (error) {
    if (isRefusal(error)) return new Map();
    throw error;
  }
}

interface Parts {
  options: CarrierOptions;
  settings: KafkaSettings;
  nodes: Nodes;
  names: TopicNames;
  view: ClusterView;
  batchBytesMax: number;
}

class KafkaCarrier implements Carrier {
  readonly payloadBytesMax: number;
  private readonly parts: Parts;
  private readonly publishers = new Map<number, Publisher>();
  /** And under which name their positions are remembered. */
  private readonly inboxes = new Map<Inbox, string>();
  private readonly ending = new AbortController();

  constructor(parts: Parts) {
    this.parts = parts;
    this.payloadBytesMax = parts.batchBytesMax - besideValueBytes(inboxNameBytesMax);
  }

  async subscribe(name: string, handle: (payloads: readonly Uint8Array[]) => Promise<void>): Promise<Subscription> {
    const { names, view } = this.parts;
    const place = placeOf(name, names, view);
    const { host, port } = this.parts.settings.hosts[0]!;
    const memory = [host, port, place.topic, place.index, name].join('/');
    const inbox = new Inbox({
      name,
      place,
      node: await this.connectLeader(place),
      bookmark: place.from === 'the end' ? undefined : this.bookmarkOf(name, place),
      handle,
      onLost: (error) => this.lost(error),
      onClosed: () => void this.inboxes.delete(inbox),
    });
    try {
      await inbox.start(remembered.get(memory));
    } catch (error) {
      await inbox.close();
      throw withHint(error);
    }
    remembered.delete(memory);
    this.inboxes.set(inbox, memory);
    return inbox;
  }

  async publish(inbox: string, payloads: readonly Uint8Array[]): Promise<void> {
    if (this.ending.signal.aborted) throw new Error('the connection was closed');
    const place = placeOf(inbox, this.parts.names, this.parts.view);
    try {
      await this.publisherOf(place).publish(place, inbox, payloads);
    } catch (error) {
      if (!isRefusal(error) || isOutdated(error)) this.lost(error);
      throw withHint(error);
    }
  }

  async inspect(): Promise<readonly Finding[]> {
    const { nodes, names } = this.parts;
    const any = await this.connectAny();
    try {
      return findingsOf(names, await any.view([names.coordinator, names.workers]), await settingsIfAllowed(any, names));
    } finally {
      nodes.close(any);
    }
  }

  async close(): Promise<void> {
    if (this.ending.signal.aborted) return;
    this.ending.abort();
    for (const [inbox, memory] of this.inboxes) {
      remember(memory, inbox.position);
      inbox.drop();
    }
    this.parts.nodes.closeAll();
  }

  private lost(error: unknown): void {
    if (this.ending.signal.aborted) return;
    void this.close();
    this.parts.options.onLost((error as Error).message);
  }

  private bookmarkOf(name: string, place: Place): Bookmark {
    const { nodes, options } = this.parts;
    return new Bookmark({
      nodes,
      connectAny: () => this.connectAny(),
      group: `${options.cluster}.${name}`,
      partition: place,
      onWarning: options.onWarning,
      signal: this.ending.signal,
    });
  }

  private publisherOf(place: Place): Publisher {
    const leader = this.leaderOf(place);
    let publisher = this.publishers.get(leader);
    if (!publisher) {
      const { nodes, batchBytesMax } = this.parts;
      publisher = new Publisher({
        connect: () => this.connectLeader(place),
        discard: (node) => nodes.close(node),
        batchBytesMax,
      });
      this.publishers.set(leader, publisher);
    }
    return publisher;
  }

  private connectAny(): Promise<KafkaNode> {
    const { nodes, view } = this.parts;
    return nodes.connectAny([...view.nodes.values()]);
  }

  private async connectLeader(place: Place): Promise<KafkaNode> {
    const address = this.parts.view.nodes.get(this.leaderOf(place));
    if (!address) throw new Error(`the node that leads ${place.topic} is away`);
    try {
      return await this.parts.nodes.connect(address);
    } catch (cause) {
      throw unreachable(address, cause);
    }
  }

  private leaderOf({ topic, index }: Place): number {
    return this.parts.view.topics.get(topic)!.partitions[index]!.leader!;
  }
}

function remember(memory: string, position: number): void {
  remembered.delete(memory);
  remembered.set(memory, position);
  if (remembered.size > rememberedMax) remembered.delete(remembered.keys().next().value!);
}

function unreachable({ host, port }: NodeAddress, cause: unknown): Error {
  if (cause instanceof ShoalError) return cause;
  return new Error(`${(cause as Error).message}: the cluster says that a node of it is at ${host}:${port} (advertised.listeners)`, {
    cause,
  });
}

function withHint(error: unknown): unknown {
  if (!isRefusal(error, ...forbidden)) return error;
  return new ShoalError('SH3122', 'the Kafka cluster does not let us', {
    why: error.message,
    hint: 'docs/how-to/broker-kafka.md names the rights that are needed',
    cause: error,
  });
}
