/** What an operator should know of a RabbitMQ server, as far as one who publishes is told. */
import type { ChannelModel } from 'amqplib';
import type { Finding } from '../../lib/finding.ts';

const oldestVersion = [3, 10] as const;

export function isOlderThan(connection: ChannelModel, [major, minor]: readonly [number, number]): boolean {
  const [ofMajor = 0, ofMinor = 0] = connection.connection.serverProperties.version.split('.').map(Number);
  return ofMajor < major || (ofMajor === major && ofMinor < minor);
}

export function versionFinding(connection: ChannelModel): Finding {
  const { product, version } = connection.connection.serverProperties;
  const setting = `${product} ${version}`;
  if (!isOlderThan(connection, oldestVersion)) return { level: 'good', setting, meaning: 'quorum queues that expire are there' };
  return {
    level: 'refuse',
    setting,
    meaning: `older than ${oldestVersion.join('.')}, where quorum queues lack what is needed`,
    fix: 'use RabbitMQ 3.10 or later',
  };
}

export function alarmFinding(alarm: string | undefined): Finding {
  if (alarm === undefined) return { level: 'good', setting: 'alarms none', meaning: 'messages are taken' };
  return {
    level: 'warning',
    setting: `alarm ${alarm}`,
    meaning: 'the server takes no messages until it has room again; work stands still meanwhile and goes on then',
    fix: 'free disk or memory; vm_memory_high_watermark and disk_free_limit say when the alarm is raised',
  };
}
