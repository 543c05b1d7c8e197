/** What is done to three coordinators and to the server of their journal while a job runs; the answer is exact each time. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type TestContext } from 'vitest';
import type { TestCluster } from '../cluster/harness.ts';
import type { TcpProxy } from '../cluster/proxy.ts';
import { type Load, load } from './load.ts';

export interface Setting {
  cluster: TestCluster;
  /** Where the jobs are. */
  server: { kill(): Promise<void>; restart(): Promise<void> };
  /** Of each coordinator to that server, and to that of the election, which may be the same. */
  lines: readonly TcpProxy[];
  electionLines: readonly TcpProxy[];
}

export interface Fault<Needs = Setting> {
  title: string;
  run(setting: Needs, test: TestContext): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const tenChanges = changes(10, 50_000);
/** Of pairs that `npm run test:pairs` puts through ten. */
export const fourChanges = changes(4, 20_000);

function changes(blows: number, count: number): Fault {
  return {
    title: `${blows} changes of leaders at random moments of ${count} tasks, every other by kill -9 (C01, C03, C05)`,
    async run({ cluster }) {
      const work = load(await cluster.ready(2), { count, blows });
      const restarts: Promise<unknown>[] = [];
      for (let change = 0; change < blows; change++) {
        const leader = await cluster.nextLeader();
        await pause(Math.random() * 300);
        cluster.coordinators[leader]!.kill(change % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
        work.next();
        await cluster.coordinators[leader]!.ended;
        // Before it is back: it might lead again.
        await cluster.nextLeader(leader);
        restarts.push(cluster.startCoordinator(leader));
      }
      await Promise.all(restarts);
      expect(await work.results).toEqual(work.expected);
    },
  };
}

export const stopped: Fault<Pick<Setting, 'cluster'>> = {
  title: 'a leader that stood still is followed; when it goes on, with work in its hands, it says nothing with effect (C04, C07)',
  async run({ cluster }) {
    const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
    const leader = cluster.coordinators[await cluster.nextLeader()]!;
    const before = leader.stderr.length;
    leader.kill('SIGSTOP');
    work.next();
    await cluster.nextLeader(cluster.coordinators.indexOf(leader));
    leader.kill('SIGCONT');
    await leader.said(/it leads no more: /, before);
    expect(await work.results).toEqual(work.expected);
  },
};

export const stoppedForThirtySeconds: Fault = {
  title:
    'a leader that stood still for thirty seconds, in which the next one was killed and the journal’s server restarted and away, ' +
    'says nothing with effect when it goes on (C04, C05, C07, S09)',
  async run({ cluster, server }) {
    const work = load(await cluster.ready(2), { count: 6_000, blows: 5 });
    const first = await cluster.nextLeader();
    const leader = cluster.coordinators[first]!;
    leader.kill('SIGSTOP');
    const over = pause(30_000);
    work.next();
    const second = await cluster.nextLeader(first);
    cluster.coordinators[second]!.kill('SIGKILL');
    work.next();
    await cluster.coordinators[second]!.ended;
    await cluster.nextLeader(second);
    await cluster.startCoordinator(second);
    await restartAndLeave({ cluster, server }, work, 10_000);
    await over;
    work.next();
    leader.kill('SIGCONT');
    await leader.said(/it leads no more: /);
    expect(await work.results).toEqual(work.expected);
  },
};

export const restartedInTurn: Fault<Pick<Setting, 'cluster'>> = {
  title: 'all of them restarted one after another under load: each leaves in order, no task is tried twice (C10)',
  async run({ cluster }) {
    const work = load(await cluster.ready(2), { count: 6_000, blows: 3 });
    for (let at = 0; at < 3; at++) {
      await cluster.nextLeader();
      const old = cluster.coordinators[at]!;
      old.kill('SIGTERM');
      work.next();
      expect(await old.ended).toMatchObject({ code: 0 });
      await cluster.startCoordinator(at);
    }
    expect(await work.results).toEqual(work.expected);
    expect(work.attemptsMax).toBe(1);
  },
};

export const cutOff: Fault = {
  title: 'a leader that no longer reaches its journal lets another lead, though its election is well (S10, C11)',
  async run({ cluster, lines }) {
    const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
    const leader = await cluster.nextLeader();
    lines[leader]!.silence();
    work.next();
    await cluster.nextLeader(leader);
    expect(await work.results).toEqual(work.expected);
    lines[leader]!.silence(false);
  },
};

export const cutOffFromElection: Fault = {
  title: 'a leader that no longer reaches its election stops by its own clock, though its journal is well (C07)',
  async run({ cluster, electionLines }) {
    const work = load(await cluster.ready(2), { count: 3_000, blows: 1 });
    const at = await cluster.nextLeader();
    const leader = cluster.coordinators[at]!;
    const before = leader.stderr.length;
    electionLines[at]!.silence();
    work.next();
    await leader.said(/it leads no more: /, before);
    await cluster.nextLeader(at);
    expect(await work.results).toEqual(work.expected);
    electionLines[at]!.silence(false);
  },
};

/** Debian's folder is named after the processor, other systems' are not. */
const faketime = ['/usr/lib64', '/usr/lib', ...readdirSync('/usr/lib').map((folder) => join('/usr/lib', folder))]
  .map((folder) => join(folder, 'faketime', 'libfaketimeMT.so.1'))
  .find((file) => existsSync(file));

export const clocksApart: Fault<Pick<Setting, 'cluster'>> = {
  title: 'coordinators whose clocks are an hour apart, either way, follow each other: no lease is read off a clock (K01, K04)',
  async run({ cluster }, { skip }) {
    if (faketime === undefined) return skip('libfaketime is not installed');
    const work = load(await cluster.ready(2), { count: 6_000, blows: 3 });
    for (const offset of ['+1h', '-1h', '+0']) {
      const at = await cluster.nextLeader();
      const leader = cluster.coordinators[at]!;
      leader.kill('SIGKILL');
      work.next();
      await leader.ended;
      await cluster.startCoordinator(at, { LD_PRELOAD: faketime, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' });
    }
    expect(await work.results).toEqual(work.expected);
  },
};

export function serverAwayFor(ms: number): Fault {
  return {
    title: `the journal’s server restarted, then killed and away for ${ms / 1_000} s: nothing that was confirmed is missing (S09)`,
    async run(setting) {
      const work = load(await setting.cluster.ready(2), { count: 6_000, blows: 2 });
      await setting.cluster.nextLeader();
      await restartAndLeave(setting, work, ms);
      expect(await work.results).toEqual(work.expected);
    },
  };
}

/** Two blows. */
async function restartAndLeave({ cluster, server }: Pick<Setting, 'cluster' | 'server'>, work: Load, awayMs: number): Promise<void> {
  work.next();
  await server.restart();
  await cluster.nextLeader();
  await server.kill();
  work.next();
  await pause(awayMs);
  await server.restart();
}
