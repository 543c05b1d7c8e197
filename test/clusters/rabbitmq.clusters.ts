import { expect, test } from 'vitest';
import { startRabbitmqCluster } from '../../scripts/servers/rabbitmq.mjs';
import { openRabbitmq } from '../../src/brokers/rabbitmq.ts';
import { nodesMatrix } from '../brokers/matrix.ts';
import { withServer } from '../real-servers.ts';

withServer('rabbitmq', 'three nodes', () => {
  nodesMatrix('amqp: of a cluster', {
    start: async () => {
      const { nodes, stop } = await startRabbitmqCluster(3);
      return { nodes, stop, url: `amqp://guest:guest@${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}` };
    },
    // Three starts, one after the other.
    timeoutMs: 300_000,
    hurts: [
      {
        what: 'kill -9 of the node that everybody is connected to, and that has the workers’ queues; it stays away (N01, N02)',
        hurt: async ({ nodes }) => nodes[0]!.kill(),
      },
      {
        what: 'which comes back, while another one is shut down (N01)',
        hurt: async ({ nodes }) => {
          await nodes[0]!.restart();
          await nodes[1]!.shutdown();
        },
      },
    ],
  });

  test('who publishes to a queue while it has no leader is heard when it has one again (N01)', { timeout: 300_000 }, async () => {
    const cluster = await startRabbitmqCluster(3);
    const [first, second, third] = cluster.nodes;
    const open = (url: string) => openRabbitmq({ url: new URL(url), cluster: 'shoal', onLost: () => {}, onWarning: () => {} });
    try {
      // Whoever makes a queue has its leader beside it.
      const maker = await open(first!.url);
      await maker.publish('hello', [Buffer.from('made')]);
      await maker.close();
      await Promise.all([first!.kill(), third!.kill()]);
      const carrier = await open(second!.url);
      const publish = () => carrier.publish('hello', [Buffer.from('said')]);
      await expect(publish()).rejects.toThrow('has no leader');
      await third!.restart();
      await expect.poll(() => publish().then(() => 'taken', String), { timeout: 60_000 }).toBe('taken');
      await carrier.close();
    } finally {
      await cluster.stop();
    }
  });
});
