import { startKafkaCluster } from '../../scripts/servers/kafka.mjs';
import { nodesMatrix } from '../brokers/matrix.ts';
import { withServer } from '../real-servers.ts';

withServer('kafka', 'three nodes', () => {
  nodesMatrix('kafka: of a cluster', {
    start: async () => {
      const nodes = await startKafkaCluster(3);
      return {
        nodes,
        url: `kafka://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
        stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
      };
    },
    timeoutMs: 240_000,
    // Each leads a third of all partitions.
    hurts: [
      {
        what: 'kill -9 of a node, which comes back (N01)',
        hurt: async ({ nodes }) => {
          await nodes[0]!.kill();
          await nodes[0]!.restart();
        },
      },
      { what: 'kill -9 of another one, which stays away (N01)', hurt: async ({ nodes }) => nodes[1]!.kill() },
    ],
  });
});
