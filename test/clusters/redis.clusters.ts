import { setTimeout as later } from 'node:timers/promises';
import { exchange } from '../../scripts/servers/exchange.mjs';
import { startSentinel } from '../../scripts/servers/redis.mjs';
import { startRedisCluster } from '../../scripts/servers/redis-cluster.mjs';
import { nodesMatrix } from '../brokers/matrix.ts';
import { withServer } from '../real-servers.ts';

/** Of the cluster that the matrix starts. */
const inbox = 'shoal:{matrix}:hello';
const pause = (): Promise<void> => later(50);

withServer('redis', 'three masters of Redis Cluster, with a replica each', () => {
  nodesMatrix('redis: of a cluster', {
    start: () => startRedisCluster(3),
    hurts: [
      {
        what: 'the inboxes handed over to another node (CLUSTER FAILOVER)',
        hurt: async (cluster) => {
          const master = await cluster.masterOf(inbox);
          const replica = cluster.replicaOf(master);
          await said(replica.port, 'CLUSTER FAILOVER', '+OK');
          while ((await cluster.masterOf(inbox)) !== replica) await pause();
        },
      },
      {
        what: 'kill -9 of the node that has the inboxes, which stays away: the other one takes over (S07)',
        hurt: async (cluster) => (await cluster.masterOf(inbox)).kill(),
      },
    ],
  });
});

withServer('redis', 'a master, a replica and a Sentinel', (redis) => {
  nodesMatrix('redis: with a Sentinel', {
    start: async () => {
      const master = await redis.start({ args: ['--repl-diskless-sync-delay', '0'] });
      const replica = await redis.start({ args: ['--replicaof', '127.0.0.1', String(master.port)] });
      const sentinel = await startSentinel(master.port);
      await said(sentinel.port, 'SENTINEL REPLICAS mymaster', `127.0.0.1:${replica.port}`);
      await said(replica.port, 'INFO replication', 'link_status:up');
      return { url: sentinel.url, master, replica, stop: () => sentinel.stop() };
    },
    hurts: [
      { what: 'kill -9 of the master: the replica that the Sentinel promotes is dialled (S07)', hurt: ({ master }) => master.kill() },
    ],
  });
});

/** As an operator would ask, until it is the answer. */
async function said(port: number, command: string, words: string): Promise<void> {
  for (;;) {
    const answer = String(await exchange(port, `${command}\r\n`, (bytes) => bytes.includes('\r\n')));
    if (answer.includes(words)) return;
    await pause();
  }
}
