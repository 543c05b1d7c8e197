import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { startNatsCluster } from '../../scripts/servers/nats.mjs';
import { nodesMatrix } from '../brokers/matrix.ts';
import { withServer } from '../real-servers.ts';

withServer('nats', 'three servers that share JetStream', () => {
  const start = async () => {
    const servers = await startNatsCluster(3);
    return {
      servers,
      url: `nats://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
      stop: async () => void (await Promise.all(servers.map((server) => server.stop()))),
    };
  };
  type Several = Awaited<ReturnType<typeof start>>;
  /** Of the stream that a coordinator or a worker made. */
  const leaderOf = async ({ servers }: Several) => {
    const connection = await connect({ servers: servers.map(({ port }) => `127.0.0.1:${port}`) });
    const { cluster, config } = await (await jetstreamManager(connection)).streams.info('SHOAL_matrix');
    await connection.close();
    if (config.num_replicas !== 3) throw new Error(`the stream has ${config.num_replicas} replicas`);
    return servers[Number(cluster?.leader?.slice(1))]!;
  };
  nodesMatrix('nats: of a cluster', {
    start,
    hurts: [
      {
        what: 'kill -9 of the server that leads the stream, which comes back when another one leads (N01)',
        hurt: async (several) => {
          const leader = await leaderOf(several);
          await leader.kill();
          while ((await leaderOf(several).catch(() => leader)) === leader);
          await leader.restart();
        },
      },
      {
        what: 'kill -9 of the server that coordinator and workers are connected to, which stays away (N01)',
        hurt: async ({ servers }) => servers[0]!.kill(),
      },
    ],
  });
});
