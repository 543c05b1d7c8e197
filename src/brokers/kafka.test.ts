import { withServer } from '../../test/real-servers.ts';
import { carrierSuite } from './carrier.suite.ts';
import { kafkajsNodes } from './kafka/kafkajs.ts';
import { settingsOf } from './kafka/settings.ts';
import { openKafka } from './kafka.ts';

/** What lies in a topic goes with its age. */
async function fate(url: string, cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'> {
  const settings = settingsOf(new URL(url));
  const node = await (await kafkajsNodes(settings))(settings.hosts[0]!);
  const topic = `${cluster}.${name.startsWith('worker.') ? 'workers' : 'coordinator'}`;
  const retentionMs = Number((await node.settings([topic])).get(topic)?.get('retention.ms'));
  node.close();
  return Number.isNaN(retentionMs) ? 'gone' : retentionMs <= 600_000 ? 'expiring' : 'kept';
}

withServer('kafka', 'Kafka topics', (kafka) => {
  carrierSuite('kafka:', {
    open: openKafka,
    timeoutMs: 90_000,
    start: async () => {
      const server = await kafka.start();
      return {
        // Every test makes topics of its own.
        url: `${server.url}/?partitions=4`,
        stop: () => server.shutdown(),
        kill: () => server.kill(),
        start: () => server.restart(),
        pause: () => void server.pause(),
        resume: () => server.resume(),
        inbox: (cluster, name) => fate(server.url, cluster, name),
        close: () => server.stop(),
      };
    },
  });
});
