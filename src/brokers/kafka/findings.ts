/** What an operator should know about the topics' settings. */
import type { Finding } from '../carrier.ts';
import type { ClusterView, TopicView } from './node.ts';
import { coordinatorRetentionMs, type TopicNames, workersRetentionMs } from './topics.ts';

type Settings = ReadonlyMap<string, string>;

/** Less, and a listener that is away for a moment loses what was said to it. */
const retentionMsMin = 60_000;
/** Less, and most messages go in many parts. */
const messageBytesMin = 64 * 1024;
/** Less of a partition, and large messages are gone before they are read. */
const retentionBytesMin = 64 * 1024 * 1024;

export function findingsOf(names: TopicNames, view: ClusterView, settings: ReadonlyMap<string, Settings>): Finding[] {
  return [names.coordinator, names.workers].flatMap((topic) => {
    const ofTopic = settings.get(topic);
    const usualMs = topic === names.coordinator ? coordinatorRetentionMs : workersRetentionMs;
    return [
      ...copies(topic, view.topics.get(topic), view.nodes.size, ofTopic),
      ...(ofTopic ? kept(topic, ofTopic, usualMs) : [unknown(topic)]),
    ];
  });
}

function copies(topic: string, view: TopicView | undefined, nodeCount: number, settings: Settings | undefined): Finding[] {
  if (!view) {
    const fix = 'it is made anew with the next connection';
    return [{ level: 'warning', setting: `${topic}: gone`, meaning: 'somebody deleted the topic', fix }];
  }
  const replicaCount = Math.min(...view.partitions.map((partition) => partition.replicaCount));
  const inSyncMin = Number(settings?.get('min.insync.replicas') ?? 1);
  if (inSyncMin > replicaCount) {
    return [
      {
        level: 'refuse',
        setting: `${topic}: min.insync.replicas=${inSyncMin}, replication factor ${replicaCount}`,
        meaning: 'Kafka refuses every message, since there are never enough copies',
        fix: `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config min.insync.replicas=1`,
      },
    ];
  }
  const setting = `${topic}: replication factor ${replicaCount}, min.insync.replicas=${inSyncMin}`;
  if (replicaCount === 1 && nodeCount > 1) {
    const meaning = 'while the node that has the only copy is away, nobody hears anything';
    return [{ level: 'warning', setting, meaning, fix: 'kafka-reassign-partitions.sh, to 3 copies' }];
  }
  return [{ level: 'good', setting, meaning: 'messages wait until so many copies are written' }];
}

function kept(topic: string, settings: Settings, usualMs: number): Finding[] {
  const findings: Finding[] = [];
  const policy = settings.get('cleanup.policy') ?? 'delete';
  if (policy.includes('compact')) {
    findings.push({
      level: 'refuse',
      setting: `${topic}: cleanup.policy=${policy}`,
      meaning: 'of the messages to one worker Kafka keeps only the last',
      fix: alter(topic, 'cleanup.policy=delete'),
    });
  }
  const retentionMs = Number(settings.get('retention.ms') ?? usualMs);
  const retention = { setting: `${topic}: retention.ms=${retentionMs}`, fix: alter(topic, `retention.ms=${usualMs}`) };
  if (retentionMs < 0) findings.push({ level: 'warning', ...retention, meaning: 'messages are kept for ever, and the disk fills' });
  else if (retentionMs < retentionMsMin) {
    findings.push({ level: 'warning', ...retention, meaning: 'messages are dropped before a listener that was away comes back' });
  } else findings.push({ level: 'good', setting: retention.setting, meaning: 'messages are dropped when they are that old' });
  const retentionBytes = Number(settings.get('retention.bytes') ?? -1);
  if (retentionBytes >= 0 && retentionBytes < retentionBytesMin) {
    findings.push({
      level: 'warning',
      setting: `${topic}: retention.bytes=${retentionBytes}`,
      meaning: 'messages are dropped before they are read when many come at once',
      fix: alter(topic, 'retention.bytes=-1'),
    });
  }
  const messageBytes = Number(settings.get('max.message.bytes') ?? messageBytesMin);
  const size = `${topic}: max.message.bytes=${messageBytes}`;
  if (messageBytes < messageBytesMin) {
    findings.push({
      level: 'warning',
      setting: size,
      meaning: 'messages go in many parts',
      fix: alter(topic, 'max.message.bytes=1048588'),
    });
  } else findings.push({ level: 'good', setting: size, meaning: 'larger messages go in parts' });
  if (settings.has('message.timestamp.type') && settings.get('message.timestamp.type') !== 'LogAppendTime') {
    findings.push({
      level: 'warning',
      setting: `${topic}: message.timestamp.type=${settings.get('message.timestamp.type')}`,
      meaning: 'messages age by the clocks of those who send them; a wrong one drops them early, or never',
      fix: alter(topic, 'message.timestamp.type=LogAppendTime'),
    });
  }
  return findings;
}

function unknown(topic: string): Finding {
  return {
    level: 'warning',
    setting: `${topic}: its settings`,
    meaning: 'we may not read them, and take Kafka’s default of 1 MB for its largest message',
    fix: `the right DescribeConfigs on topic ${topic}`,
  };
}

function alter(topic: string, setting: string): string {
  return `kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${setting}`;
}
