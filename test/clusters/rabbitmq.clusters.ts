import { startRabbitmqCluster } from '../../scripts/servers/rabbitmq.mjs';
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
});
