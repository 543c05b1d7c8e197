/** One schedule: a seed's cluster in its storm and in the quiet after it, until all clients have what they came for. */
import { Cluster } from './cluster.ts';
import { Faults } from './faults.ts';
import { judgeRest } from './growth.ts';
import { drawPlan, type Limits, type Plan } from './plan.ts';
import { Violation } from './violation.ts';
import { Weather } from './weather.ts';
import { World } from './world.ts';

/** After the storm everything has to come to its end within this (I15). */
const quietMs = 240_000;
const msPerTask = 1_000;
/** After the last client has left: acknowledgements, beats, reclaimed streams. */
const restMs = 3_000;
const restMsMax = 60_000;
const compareEveryEvents = 400;

export interface Outcome {
  seed: number;
  plan: Plan;
  error: Error | undefined;
  /** The violated invariant, or what kind of error it was. */
  invariant: string | undefined;
  events: number;
  virtualMs: number;
  hash: number;
  tasks: number;
  /** Single faults that struck, by name. */
  faults: ReadonlySet<string>;
}

export interface Look {
  /** For people, line by line. */
  onStep?: (line: string) => void;
  /** Gets the hash after each event: of all (time, node, kind, head of the journal) so far. */
  chain?: number[];
}

export async function runSchedule(seed: number, limits: Limits = {}, { onStep, chain }: Look = {}): Promise<Outcome> {
  const plan = drawPlan(seed, limits);
  const world = new World(seed);
  world.onStep = onStep;
  const faults = new Faults(plan, limits.only);
  const cluster = new Cluster(world, faults);
  const weather = new Weather(cluster);
  let error: Error | undefined;
  try {
    cluster.boot();
    weather.begin();
    world.onEvent = () => {
      world.mix(cluster.disk.hash ^ cluster.disk.durable);
      chain?.push(world.hash >>> 0);
      if (world.events % compareEveryEvents === 0) cluster.compare();
    };
    const untilMs = plan.stormMs + quietMs;
    const isOver = (): boolean => world.nowMs >= plan.stormMs && cluster.clients.every((client) => client.isDone);
    let moreMs = 0;
    while ((await world.run(isOver, untilMs + moreMs)) === 'late') {
      // A graph may multiply its tasks, again and again; a worker alone needs its time for hundreds that hang.
      const wantedMs = msPerTask * tasksOf(cluster);
      if (wantedMs <= moreMs) throw new Violation('I15', unfinished(cluster));
      moreMs = wantedMs;
    }
    const atMs = world.nowMs + restMs;
    const isAtRest = (): boolean => {
      const state = cluster.leader()?.state;
      // What a worker that stands still was given is its until its lease has ended.
      return cluster.isIdle && state?.orphans.size === 0 && state.assignments.size === 0;
    };
    await world.run(() => world.nowMs >= atMs && isAtRest(), atMs + restMsMax);
    judgeEnd(cluster);
    cluster.compare();
    await world.run(() => false, world.nowMs + 1);
  } catch (caught) {
    error = caught as Error;
  }
  const invariant = error instanceof Violation ? error.invariant : error?.name;
  return {
    seed,
    plan,
    error,
    invariant,
    events: world.events,
    virtualMs: world.nowMs,
    hash: world.hash >>> 0,
    tasks: tasksOf(cluster),
    faults: faults.struck,
  };
}

function tasksOf({ watch }: Cluster): number {
  let tasks = 0;
  for (const { stages } of watch.model.jobs.values()) for (const stage of stages) tasks += stage.tasks.length;
  return tasks;
}

function unfinished(cluster: Cluster): string {
  const { clients, watch, workers } = cluster;
  const open = [...watch.model.jobs.values()].filter((job) => job.outcome === undefined && !job.isDropped);
  const lines = open.map((job) => {
    const stages = job.stages.map(({ tasks, added }) => `${tasks.filter((task) => task.final).length} of ${Math.max(added, tasks.length)}`);
    return `${job.id} (${stages.join(', ')} final)`;
  });
  const waiting = clients.filter((client) => !client.isDone).map(({ node }) => node.name);
  const holds = workers.map(({ handle, node }) => `${node.name} holds ${handle?.heldTasks ?? 'nothing, it is down'}`);
  const leader = cluster.leader();
  const assigned = [...(leader?.state.assignments.values() ?? [])].map(
    ({ term, serial, worker, ranges, open }) => `${term}:${serial} of ${worker.name}, ${open} of [${ranges.join(' ')}] open`,
  );
  return `no end: ${waiting.join(', ')} still waits; open: ${lines.join('; ') || 'no job'}; ${holds.join(', ')}; ${leader?.node.name ?? 'nobody'} leads; assigned: ${assigned.join('; ') || 'nothing'}`;
}

/** I3 and I14, at the end of all. */
function judgeEnd(cluster: Cluster): void {
  const { model } = cluster.watch;
  for (const client of cluster.clients) {
    for (const { id } of client.jobs) {
      if (id !== undefined && !model.jobs.has(id)) throw new Violation('I3', `${id} was confirmed and is gone`);
    }
  }
  const leader = cluster.leader();
  if (!leader) throw new Violation('I15', 'nobody leads in the end');
  judgeRest(leader.state);
  cluster.watch.logs.judgeRest(model.jobs);
  const { assignments, jobs } = leader.state;
  for (const { job, worker } of assignments.values()) throw new Violation('I14', `${job.id} is over and still assigned to ${worker.name}`);
  for (const job of jobs.values())
    if (job.outcome === undefined && model.jobs.get(job.id)?.outcome !== undefined) throw new Violation('I8', job.id);
  for (const { handle, node } of cluster.workers) {
    if (handle && handle.heldTasks > 0)
      throw new Violation('I14', `${node.name} still holds ${handle.heldTasks} tasks of jobs that are over`);
  }
}
