/** What is done to a cluster of real processes, several things at a time. Each blow heals by itself, or the next one finds it as it is. */
import type { Dice } from '../../simulation/chance.ts';
import type { TestCluster } from '../cluster/harness.ts';
import type { TcpProxy } from '../cluster/proxy.ts';

export interface Scene {
  cluster: TestCluster;
  /** Between workers, or clients, and a coordinator. */
  roads: readonly TcpProxy[];
  /** A worker on one of those roads, or on none. */
  hire(): void;
  /** Coordinators that something is being done to. */
  taken: Set<number>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const workersMax = 5;

/** Longer than a lease at times. */
const standstillMs = (dice: Dice): number => dice.pick([300, 3_000, 14_000]);

export const blows: ((scene: Scene, dice: Dice) => Promise<void>)[] = [
  async function killTasks({ cluster }, dice) {
    const worker = dice.pick(living(cluster));
    const pid = await Promise.race([cluster.startedChildOf(worker), worker.ended]);
    if (typeof pid === 'number') signal(pid, 'SIGKILL');
  },
  async function killWorker({ cluster, hire }, dice) {
    dice.pick(living(cluster)).kill('SIGKILL');
    hire();
  },
  async function drainWorker({ cluster, hire }, dice) {
    dice.pick(living(cluster)).kill('SIGTERM');
    hire();
  },
  async function oneMore({ cluster, hire }, dice) {
    if (living(cluster).length < workersMax) return hire();
    dice.pick(living(cluster)).kill('SIGTERM');
  },
  async function stopTasks({ cluster }, dice) {
    const worker = dice.pick(living(cluster));
    const pid = await Promise.race([cluster.startedChildOf(worker), worker.ended]);
    if (typeof pid === 'number') await stand(pid, standstillMs(dice));
  },
  async function cut({ roads }, dice) {
    dice.pick(roads).cut();
  },
  async function silence({ roads }, dice) {
    const road = dice.pick(roads);
    road.silence();
    await pause(standstillMs(dice));
    road.silence(false);
  },
  async function delay({ roads }, dice) {
    const road = dice.pick(roads);
    road.delay(dice.pick([5, 50, 400]));
    await pause(3_000);
    road.delay(0);
  },
  async function restartCoordinator({ cluster, taken }, dice) {
    const at = dice.below(cluster.coordinators.length);
    await one(taken, at, async () => {
      const coordinator = cluster.coordinators[at]!;
      coordinator.kill(dice.pick(['SIGKILL', 'SIGKILL', 'SIGTERM'] as const));
      await coordinator.ended;
      await pause(dice.pick([0, 500, 6_000]));
      await cluster.startCoordinator(at);
    });
  },
  async function stopCoordinator({ cluster, taken }, dice) {
    const at = dice.below(cluster.coordinators.length);
    await one(taken, at, () => stand(cluster.coordinators[at]!.pid, standstillMs(dice)));
  },
];

/** Unless another blow has that coordinator already. */
async function one(taken: Set<number>, at: number, blow: () => Promise<void>): Promise<void> {
  if (taken.has(at)) return;
  taken.add(at);
  await blow();
  taken.delete(at);
}

export function living({ workers }: TestCluster): TestCluster['workers'] {
  return workers.filter((worker) => !worker.isOver);
}

async function stand(pid: number, ms: number): Promise<void> {
  signal(pid, 'SIGSTOP');
  await pause(ms);
  signal(pid, 'SIGCONT');
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Somebody else was quicker.
  }
}
