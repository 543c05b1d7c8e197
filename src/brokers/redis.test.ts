import { withServer } from '../../test/real-servers.ts';
import { connectTo } from '../lib/redis.ts';
import { carrierSuite } from './carrier.suite.ts';
import { openRedis } from './redis.ts';

/** Its time to live says it all. */
async function fate(url: string, cluster: string, name: string): Promise<'kept' | 'expiring' | 'gone'> {
  const { connection } = await connectTo({ url: new URL(url), cluster, forWhat: 'this test' }, () => undefined);
  const leftMs = Number(await connection.command(['PTTL', `shoal:{${cluster}}:${name}`]));
  connection.destroy();
  return leftMs === -2 ? 'gone' : leftMs === -1 ? 'kept' : 'expiring';
}

withServer('redis', 'Redis streams', (redis) => {
  carrierSuite('redis:', {
    open: openRedis,
    start: async () => {
      const server = await redis.start({ password: 'of-the-suite' });
      return {
        url: server.url,
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
