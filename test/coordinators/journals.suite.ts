/** Three coordinators, their jobs in one real server and their election in another or the same; whole processes, hurt while a job runs. */
import { afterAll, beforeAll, it, vi } from 'vitest';
import { makeKeyspace } from '../../scripts/servers/keyspace.mjs';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { type RealServer, withServer } from '../real-servers.ts';
import type { Fault, Setting } from './faults.ts';

type Server = Setting['server'] & {
  readonly url: string;
  readonly port: number;
};

type JournalName = 'cassandra' | 'mongodb' | 'postgres' | 'redis';
type ElectionName = 'etcd' | 'postgres' | 'redis' | 'zookeeper';

/** With servers that keep what they have confirmed. Each coordinator has a line of its own to the journal, and none to the election. */
export function coordinatorsOver({ journal, election }: { journal: JournalName; election: ElectionName }, faults: readonly Fault[]): void {
  // A dozen processes: on a busy machine each start takes seconds.
  vi.setConfig({ testTimeout: 600_000, hookTimeout: 300_000 });

  withServer(journal, `coordinators with ${election}: as their election and a journal`, (real) => {
    if (election === journal) return suite(() => startJournal(journal, real));
    withServer(election, 'and their election', (other) => {
      suite(
        () => startJournal(journal, real),
        () => other.shared(),
      );
    });
  });

  /** No election of its own: it is where the journal is. */
  function suite(start: () => Promise<Server>, startElection?: () => Promise<{ url: string }>): void {
    const setting = { lines: [] as TcpProxy[] } as Setting & { lines: TcpProxy[] };

    beforeAll(async () => {
      const server = await start();
      const electionUrl = startElection ? (await startElection()).url.replace(/^http:/, 'etcd:') : server.url;
      for (let at = 0; at < 3; at++) setting.lines.push(await TcpProxy.to(server.port));
      const journals = setting.lines.map(({ port }) => server.url.replace(`:${server.port}`, `:${port}`));
      setting.server = server;
      setting.cluster = await TestCluster.start({ coordinators: 3, workers: 2, journals, coordinatorArgs: ['--election', electionUrl] });
    });
    afterAll(async () => {
      await setting.cluster?.close();
      for (const line of setting.lines) await line.close();
    });

    for (const fault of faults) it(fault.title, () => fault.run(setting));
  }
}

async function startJournal(name: JournalName, real: RealServer<JournalName>): Promise<Server> {
  if (name === 'redis') return (real as RealServer<'redis'>).start({ appendonly: true, appendfsync: 'always' });
  const server = await real.shared();
  if (name === 'cassandra') await makeKeyspace(server.port);
  return server;
}
