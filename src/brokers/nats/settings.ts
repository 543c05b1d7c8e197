/** What an operator should know of a NATS server and of the cluster's stream on it. */
import type { StreamConfig } from '@nats-io/jetstream';
import type { ServerInfo } from '@nats-io/transport-node';
import type { Finding } from '../../lib/finding.ts';

const oldestVersion = [2, 9] as const;
/** Less, and most messages go in many parts. */
const messageBytesMin = 64 * 1024;
/** Less, and what waits for a coordinator that is away for a moment is refused, or gone. */
const streamBytesMin = 64 * 1024 * 1024;
const streamMessagesMin = 10_000;
const streamAgeMsMin = 60_000;

export function findings(info: ServerInfo, config: StreamConfig): Finding[] {
  return [versionFinding(info), loginFinding(info), payloadFinding(info), ...streamFindings(info, config)];
}

function versionFinding({ version }: ServerInfo): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const setting = `nats-server ${version}`;
  if (major > oldestVersion[0] || (major === oldestVersion[0] && minor >= oldestVersion[1])) {
    return { level: 'good', setting, meaning: 'its JetStream does what is needed' };
  }
  const meaning = `older than ${oldestVersion.join('.')}, whose JetStream is the oldest that serves`;
  return { level: 'refuse', setting, meaning, fix: 'use nats-server 2.9 or later' };
}

function loginFinding({ auth_required: isRequired }: ServerInfo): Finding {
  if (isRequired) return { level: 'good', setting: 'authorization', meaning: 'who connects has to log in' };
  return {
    level: 'warning',
    setting: 'no authorization',
    meaning: 'whoever reaches the port can read and write all messages',
    fix: 'give the server users with rights, and the cluster a secret',
  };
}

function payloadFinding({ max_payload: bytes }: ServerInfo): Finding {
  const setting = `max_payload ${bytes}`;
  if (bytes >= messageBytesMin) return { level: 'good', setting, meaning: 'larger messages travel in parts' };
  return { level: 'warning', setting, meaning: 'messages go in many parts', fix: 'max_payload: 1MB, in its configuration' };
}

function streamFindings({ cluster }: ServerInfo, config: StreamConfig): Finding[] {
  const { name, num_replicas: replicaCount, discard, max_bytes: bytesMax } = config;
  const found = smallLimits(config);
  if (discard === 'old') {
    found.push({
      level: 'refuse',
      setting: `${name} discard old`,
      meaning: 'a full stream would drop messages in silence',
      fix: `nats stream edit ${name} --discard new`,
    });
  } else found.push({ level: 'good', setting: `${name} max_bytes ${bytesMax}, discard new`, meaning: 'a full stream refuses' });
  if (config.max_msgs_per_subject > 0) {
    found.push({
      level: 'refuse',
      setting: `${name} max_msgs_per_subject ${config.max_msgs_per_subject}`,
      meaning: 'beyond it the oldest messages are dropped in silence, whatever discard says',
      fix: `nats stream edit ${name} --max-msgs-per-subject=-1`,
    });
  }
  if (config.no_ack) {
    const meaning = 'the stream takes messages without a word, and whoever sends waits for one in vain';
    found.push({ level: 'refuse', setting: `${name} no_ack`, meaning, fix: `nats stream edit ${name} --ack` });
  }
  if (cluster !== undefined && replicaCount < 3) {
    found.push({
      level: 'warning',
      setting: `${name} num_replicas ${replicaCount}`,
      meaning: 'while the one server that has the stream is away, no worker reaches its coordinator',
      fix: `nats stream edit ${name} --replicas 3`,
    });
  }
  return found;
}

function smallLimits({ name, max_bytes: bytes, max_msgs: messages, max_age: ageNs, max_msg_size: messageBytes }: StreamConfig): Finding[] {
  const full = 'it is full soon, and takes nothing until the coordinator has read; work stands still meanwhile';
  const parts = 'messages go in many parts';
  const old = 'messages are dropped before a coordinator that was away comes back';
  const limits: [setting: string, value: number, min: number, meaning: string, fix: string][] = [
    [`max_bytes ${bytes}`, bytes, streamBytesMin, full, '--max-bytes 268435456'],
    [`max_msgs ${messages}`, messages, streamMessagesMin, full, '--max-msgs=-1'],
    [`max_msg_size ${messageBytes}`, messageBytes, messageBytesMin, parts, '--max-msg-size=-1'],
    [`max_age ${ageNs / 1e9} s`, ageNs / 1e6, streamAgeMsMin, old, '--max-age 1h'],
  ];
  return limits
    .filter(([, value, min]) => value > 0 && value < min)
    .map(([setting, , , meaning, fix]) => ({
      level: 'warning',
      setting: `${name} ${setting}`,
      meaning,
      fix: `nats stream edit ${name} ${fix}`,
    }));
}
