/**
 * Three coordinators whose leader loses one of its networks: the one to the journal, to the election, or to the workers. Jobs are in
 * PostgreSQL, the election in etcd; cables are pulled, so nobody is told. Needs the right to make network namespaces.
 */
import { afterAll, beforeAll, expect, it, type TestContext, vi } from 'vitest';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { withServer } from '../real-servers.ts';
import { type Load, load } from './load.ts';
import { Networks } from './networks.ts';

// A dozen processes: on a busy machine each start takes seconds.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

withServer('postgres', 'partitioned coordinators with a journal', (postgres) => {
  withServer('etcd', 'and their election', (etcd) => {
    let networks: Networks;
    let cluster: TestCluster;
    let whyNot: string | undefined;
    const lines: TcpProxy[] = [];

    beforeAll(async () => {
      try {
        networks = new Networks();
      } catch (error) {
        whyNot = (error as Error).message.split('\n')[0];
        return;
      }
      const urlOf = async (server: { url: string; port: number }, network: 'journal' | 'election'): Promise<string> => {
        const line = await TcpProxy.to(server.port, networks.middle(network));
        lines.push(line);
        return server.url.replace(`127.0.0.1:${server.port}`, `${networks.middle(network)}:${line.port}`);
      };
      const journal = await urlOf(await postgres.shared(), 'journal');
      const election = (await urlOf(await etcd.shared(), 'election')).replace(/^http:/, 'etcd:');
      cluster = await TestCluster.start({
        coordinators: 3,
        hosts: [0, 1, 2].map((at) => networks.addressOf(at, 'workers')),
        inside: [0, 1, 2].map((at) => networks.inside(at)),
        workers: 2,
        worker: { inside: networks.inside('workers') },
        journal,
        coordinatorArgs: ['--election', election],
      });
    });
    afterAll(async () => {
      await cluster?.close();
      for (const line of lines) await line.close();
      networks?.close();
    });

    /** A leader and work that it has not finished. */
    async function leaderUnderLoad({ skip }: TestContext): Promise<{ leader: number; work: Load }> {
      if (whyNot !== undefined) skip(`no network namespaces here: ${whyNot}`);
      const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
      return { leader: await cluster.nextLeader(), work };
    }

    it('cut off from the journal it says nothing more, and another leads (S10, C11)', async (context) => {
      const { leader, work } = await leaderUnderLoad(context);
      networks.pull(leader, 'journal');
      work.next();
      await cluster.nextLeader(leader);
      expect(await work.results).toEqual(work.expected);
      networks.plug(leader, 'journal');
    });

    it('cut off from the election it stops by its own clock, and another leads (C07)', async (context) => {
      const { leader, work } = await leaderUnderLoad(context);
      const { stderr } = cluster.coordinators[leader]!;
      networks.pull(leader, 'election');
      work.next();
      await cluster.coordinators[leader]!.said(/it leads no more: the leadership was lost/, stderr.length);
      await cluster.nextLeader(leader);
      expect(await work.results).toEqual(work.expected);
      networks.plug(leader, 'election');
    });

    it('cut off from its workers it can’t tell that from workers that are gone, and leads on; stopped, it leaves them to the next (N06)', async (context) => {
      const { leader, work } = await leaderUnderLoad(context);
      const silences = cluster.workers.map((worker) => worker.said(/lost the line to the coordinator: silent/, worker.stderr.length));
      networks.hideFromWorkers(leader, true);
      work.next();
      await Promise.all(silences);
      cluster.coordinators[leader]!.kill('SIGTERM');
      expect(await cluster.coordinators[leader]!.ended).toMatchObject({ code: 0 });
      await cluster.nextLeader(leader);
      expect(await work.results).toEqual(work.expected);
      networks.hideFromWorkers(leader, false);
    });
  });
});
