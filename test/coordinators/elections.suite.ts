/** Three coordinators over an election in a real server, each with a line of its own to it; whole processes, hurt while a job runs. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { ServerName } from '../../scripts/servers/servers.mjs';
import { type Running, TestCluster } from '../cluster/harness.ts';
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
  vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

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
      await cluster.startCoordinator(killed);

      const stopped = await cluster.nextLeader();
      const hasSeen = loses(cluster.coordinators[stopped]!);
      cluster.coordinators[stopped]!.kill('SIGSTOP');
      work.next();
      await cluster.nextLeader(stopped);
      cluster.coordinators[stopped]!.kill('SIGCONT');
      await hasSeen;

      const cutOff = await cluster.nextLeader();
      const hasNoticed = loses(cluster.coordinators[cutOff]!);
      lines[cutOff]!.silence();
      work.next();
      await hasNoticed;
      await cluster.nextLeader(cutOff);
      lines[cutOff]!.silence(false);

      const shutDown = await cluster.nextLeader();
      cluster.coordinators[shutDown]!.kill('SIGTERM');
      work.next();
      expect(await cluster.coordinators[shutDown]!.ended).toMatchObject({ code: 0 });
      await cluster.nextLeader(shutDown);
      await cluster.startCoordinator(shutDown);

      expect(await work.results).toEqual(work.expected);
    });

    it('a server that stands still, or is killed: nobody leads; when it is back, one does, and the work goes on (S10, C07)', async () => {
      const work = load(await cluster.ready(2), { count: 2_000, blows: 2 });

      const first = loses(cluster.coordinators[await cluster.nextLeader()]!);
      await server.pause();
      work.next();
      await first;
      expect(await cluster.leader()).toBeUndefined();
      server.resume();

      const second = loses(cluster.coordinators[await cluster.nextLeader()]!);
      await server.kill();
      work.next();
      await second;
      expect(await cluster.leader()).toBeUndefined();
      await server.restart();

      expect(await work.results).toEqual(work.expected);
    });
  });
}

/** Resolves when it says, once more than until now, that it lost its leadership. */
async function loses(coordinator: Running): Promise<void> {
  const word = 'it leads no more: ';
  const before = `${coordinator.stdout}${coordinator.stderr}`.split(word).length - 1;
  await coordinator.said(new RegExp(`(${word}[^]*){${before + 1}}`));
}
