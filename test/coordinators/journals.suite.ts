/** Three coordinators, their jobs in one real server and their election in another or the same; whole processes, hurt while a job runs. */
import { afterAll, beforeAll, it, vi } from 'vitest';
import { makeKeyspace } from '../../scripts/servers/keyspace.mjs';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { type RealServer, withServer } from '../real-servers.ts';
import type { Fault, Setting } from './faults.ts';

interface Dialled {
  readonly url: string;
  readonly port: number;
}
type Server = Setting['server'] & Dialled;

export type JournalName = 'cassandra' | 'mongodb' | 'postgres' | 'redis';
export type ElectionName = 'etcd' | 'postgres' | 'redis' | 'zookeeper';

/** With servers that keep what they have confirmed. Each coordinator has a line of its own to either. */
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
  function suite(start: () => Promise<Server>, startElection?: () => Promise<Dialled>): void {
    const setting = { lines: [] as TcpProxy[], electionLines: [] as TcpProxy[] } as Setting & Record<'lines' | 'electionLines', TcpProxy[]>;

    beforeAll(async () => {
      const server = await start();
      const elected = (await startElection?.()) ?? server;
      for (let at = 0; at < 3; at++) {
        setting.lines.push(await TcpProxy.to(server.port));
        setting.electionLines.push(await TcpProxy.to(elected.port));
      }
      setting.server = server;
      setting.cluster = await TestCluster.start({
        coordinators: 3,
        workers: 2,
        journals: setting.lines.map(({ port }) => server.url.replace(`:${server.port}`, `:${port}`)),
        elections: setting.electionLines.map(({ port }) => elected.url.replace(/^http:/, 'etcd:').replace(`:${elected.port}`, `:${port}`)),
      });
    });
    afterAll(async () => {
      await setting.cluster?.close();
      for (const line of [...setting.lines, ...setting.electionLines]) await line.close();
    });

    for (const fault of faults) it(fault.title, (test) => fault.run(setting, test));
  }
}

async function startJournal(name: JournalName, real: RealServer<JournalName>): Promise<Server> {
  if (name === 'redis') return (real as RealServer<'redis'>).start({ appendonly: true, appendfsync: 'always' });
  const server = await real.shared();
  if (name === 'cassandra') await makeKeyspace(server.port);
  return server;
}
