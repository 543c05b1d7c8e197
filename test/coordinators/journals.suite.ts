/** Three coordinators on jobs in a real server, each with a line of its own to it; whole processes, hurt while a job runs. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { type RealServer, withServer } from '../real-servers.ts';
import { load } from './load.ts';

interface Server {
  readonly url: string;
  readonly port: number;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `start`: a server that keeps what it has confirmed. The election is on the same one, without a proxy between. */
export function coordinatorsOverJournal<Name extends 'postgres' | 'redis'>(
  name: Name,
  start: (real: RealServer<Name>) => Promise<Server>,
): void {
  // A dozen processes: on a busy machine each start takes seconds.
  vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

  withServer(name, 'coordinators over a journal', (real) => {
    let server: Server;
    let cluster: TestCluster;
    const lines: TcpProxy[] = [];

    beforeAll(async () => {
      server = await start(real);
      for (let at = 0; at < 3; at++) lines.push(await TcpProxy.to(server.port));
      const journals = lines.map(({ port }) => server.url.replace(`:${server.port}`, `:${port}`));
      cluster = await TestCluster.start({ coordinators: 3, workers: 2, journals, coordinatorArgs: ['--election', server.url] });
    });
    afterAll(async () => {
      await cluster?.close();
      for (const line of lines) await line.close();
    });

    it('five leaders killed at random moments: the answer is exact (C01, C03, C05)', async () => {
      const work = load(await cluster.ready(2), { count: 10_000, blows: 5 });
      for (let kill = 0; kill < 5; kill++) {
        const leader = await cluster.nextLeader();
        await pause(Math.random() * 300);
        cluster.coordinators[leader]!.kill('SIGKILL');
        work.next();
        await cluster.coordinators[leader]!.ended;
        await cluster.nextLeader(leader);
        await cluster.startCoordinator(leader);
      }
      expect(await work.results).toEqual(work.expected);
    });

    it('a leader that no longer reaches its journal lets another lead, though its election is well (S10, C11)', async () => {
      const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
      const leader = await cluster.nextLeader();
      lines[leader]!.silence();
      work.next();
      await cluster.nextLeader(leader);
      expect(await work.results).toEqual(work.expected);
      lines[leader]!.silence(false);
    });

    it('the server killed, and away for a while: nothing that was confirmed is missing, the work goes on (S09)', async () => {
      const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
      await cluster.nextLeader();
      await server.kill();
      work.next();
      await pause(5_000);
      await server.restart();
      expect(await work.results).toEqual(work.expected);
    });
  });
}
