/** Three coordinators over an election in a real server, each with a line of its own to it; whole processes, hurt while a job runs. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { ServerName } from '../../scripts/servers/servers.mjs';
import { TestCluster } from '../cluster/harness.ts';
import { TcpProxy } from '../cluster/proxy.ts';
import { withServer } from '../real-servers.ts';
import { load } from './load.ts';

interface Server {
  readonly url: string;
  readonly port: number;
  pause(): Promise<void>;
  resume(): void;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export function coordinatorsOverElection(name: ServerName): void {
  // A dozen processes: on a busy machine each start takes seconds.
  vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

  withServer(name, 'coordinators over an election', (real) => {
    let server: Server;
    let cluster: TestCluster;
    const lines: TcpProxy[] = [];

    beforeAll(async () => {
      server = await real.shared();
      for (let at = 0; at < 3; at++) lines.push(await TcpProxy.to(server.port));
      const elections = lines.map(({ port }) => server.url.replace(/^http:/, 'etcd:').replace(`:${server.port}`, `:${port}`));
      cluster = await TestCluster.start({ coordinators: 3, workers: 2, elections });
    });
    afterAll(async () => {
      await cluster?.close();
      for (const line of lines) await line.close();
    });

    it('a leader killed, stopped, cut off from it, shut down: the next one goes on, and the answer is exact (C01, C04, C07)', async () => {
      const work = load(await cluster.ready(2), { count: 5_000, blows: 4 });

      const killed = await cluster.nextLeader();
      cluster.coordinators[killed]!.kill('SIGKILL');
      work.next();
      await cluster.nextLeader(killed);
      const restarted = cluster.startCoordinator(killed);

      const stopped = await cluster.nextLeader();
      cluster.coordinators[stopped]!.kill('SIGSTOP');
      work.next();
      await cluster.nextLeader(stopped);
      cluster.coordinators[stopped]!.kill('SIGCONT');

      const cutOff = await cluster.nextLeader();
      lines[cutOff]!.silence();
      work.next();
      await cluster.nextLeader(cutOff);
      lines[cutOff]!.silence(false);

      const shutDown = await cluster.nextLeader();
      cluster.coordinators[shutDown]!.kill('SIGTERM');
      work.next();
      expect(await cluster.coordinators[shutDown]!.ended).toMatchObject({ code: 0 });
      await cluster.nextLeader(shutDown);
      await restarted;

      expect(await work.results).toEqual(work.expected);
    });

    it('a server that stands still, or is killed: nobody leads; when it is back, one does, and the work goes on (S10, C07)', async () => {
      const work = load(await cluster.ready(2), { count: 2_000, blows: 2 });

      await cluster.nextLeader();
      await server.pause();
      await cluster.noLeader();
      work.next();
      server.resume();

      await cluster.nextLeader();
      await server.kill();
      await cluster.noLeader();
      work.next();
      await server.restart();

      expect(await work.results).toEqual(work.expected);
    });
  });
}
