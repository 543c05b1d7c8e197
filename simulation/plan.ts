/**
 * What happens in one schedule, drawn from its seed: how large the cluster is, what is asked of it, and how often each
 * kind of fault strikes. Each rate is zero in a third of all seeds (swarm testing: A. Groce et al., ISSTA 2012), so that no
 * fault hides what another one would show. `off` takes whole kinds away, for shrinking.
 */
import { Dice } from './chance.ts';

export const faultKinds = [
  'drop',
  'duplicate',
  'reorder',
  'clog',
  'cut',
  'garble',
  'brokerDown',
  'lineBreak',
  'lineGone',
  'unknown',
  'stall',
  'full',
  'hostCrash',
  'halfUpload',
  'twoLeaders',
  'electionDown',
  'crashCoordinator',
  'stopCoordinator',
  'crashWorker',
  'pauseCoordinator',
  'pauseWorker',
  'pauseElected',
  'slow',
  'drain',
  'drift',
  'jump',
  'throws',
  'dies',
  'kills',
  'hangs',
  'slowTasks',
  'cancel',
  'replay',
  'clientCrash',
  'ask',
  // Less of a fault than of a need that not everybody has.
  'graphs',
  'programs',
  'ttl',
  'deadline',
  'delay',
  'pauseQueue',
  'drainAsked',
  'purge',
  'compete',
  'needs',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Plan {
  seed: number;
  stormMs: number;
  coordinators: number;
  /** Several may lead: else there is one coordinator and nothing to elect. */
  isElected: boolean;
  workers: number;
  slots: number;
  clients: number;
  jobs: number;
  tasksMax: number;
  /** More are left out, which changes nothing else. */
  tasksKept: number;
  linkMs: number;
  diskMs: number;
  /** In [0, 1]: what it means is said where it is used. */
  rates: Record<FaultKind, number>;
}

export interface Limits {
  off?: ReadonlySet<FaultKind>;
  tasksMax?: number;
  jobsMax?: number;
  clientsMax?: number;
  workersMax?: number;
  slotsMax?: number;
  coordinatorsMax?: number;
  stormMs?: number;
  /** Only these single faults strike, by name (faults.ts). */
  only?: ReadonlySet<string>;
}

export function drawPlan(seed: number, limits: Limits = {}): Plan {
  const dice = new Dice(seed, 'plan');
  const rates = {} as Record<FaultKind, number>;
  for (const kind of faultKinds) {
    const own = new Dice(seed, `rate/${kind}`);
    rates[kind] = own.chance(0.35) || limits.off?.has(kind) ? 0 : own.next();
  }
  // Many schedules are almost calm, so that the median one finishes its work in the storm already.
  if (dice.chance(0.25)) for (const kind of faultKinds) rates[kind] *= 0.15;
  const stormMs = dice.chance(0.8) ? dice.between(1_500, 8_000) : dice.between(8_000, 30_000);
  const draw = (least: number, most: number, max: number | undefined): number =>
    Math.min(least + dice.below(most - least + 1), max ?? Number.POSITIVE_INFINITY);
  const coordinators = Math.min(dice.chance(0.4) ? 1 : 2 + dice.below(2), limits.coordinatorsMax ?? Number.POSITIVE_INFINITY);
  return {
    seed,
    stormMs: Math.min(stormMs, limits.stormMs ?? Number.POSITIVE_INFINITY),
    coordinators,
    isElected: coordinators > 1 || new Dice(seed, 'elected').chance(0.5),
    workers: draw(1, 4, limits.workersMax),
    slots: draw(1, 3, limits.slotsMax),
    clients: draw(1, 2, limits.clientsMax),
    jobs: draw(1, 2, limits.jobsMax),
    tasksMax: draw(1, 36, undefined),
    tasksKept: limits.tasksMax ?? Number.POSITIVE_INFINITY,
    linkMs: dice.pick([0.5, 2, 10, 60]),
    diskMs: dice.pick([0.5, 2, 10, 40]),
    rates,
  };
}
