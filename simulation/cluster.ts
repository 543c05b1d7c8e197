/** One simulated cluster: coordinators and workers as nodes, booted, killed and booted again, with the watch at every door. */
import type { Broker } from '../src/brokers/broker.ts';
import { Candidacy } from '../src/coordinator/candidacy.ts';
import type { Coordinator } from '../src/coordinator/coordinator.ts';
import type { Fact } from '../src/core/facts.ts';
import { checkInvariants } from '../src/core/invariants.ts';
import type { FromWorker, MemoryReading, ToWorker } from '../src/core/messages.ts';
import { policyNames } from '../src/core/policies.ts';
import type { State } from '../src/core/state.ts';
import type { Draft } from '../src/core/turn.ts';
import { leaseElection } from '../src/elections/lease.ts';
import { noElection } from '../src/elections/none.ts';
import { decodeMessage, encodeMessage } from '../src/wire/frame.ts';
import { startWorker, type WorkerHandle, type WorkerOptions } from '../src/worker/worker.ts';
import { Dice } from './chance.ts';
import { SimClient } from './client.ts';
import { compareMemory, type Leader } from './compare.ts';
import { Disk } from './disk.ts';
import { Elections, ttlMs } from './election.ts';
import type { Faults } from './faults.ts';
import { judgeGrowth } from './growth.ts';
import { drawJobs } from './jobs.ts';
import { judgeLeases } from './leases.ts';
import { Network } from './network.ts';
import type { Plan } from './plan.ts';
import { reached } from './probes.ts';
import { Programs } from './programs.ts';
import { judgeRoom } from './room.ts';
import type { Port } from './session.ts';
import { SimSlot, type SlotOptions } from './slot.ts';
import { Violation } from './violation.ts';
import { Watch } from './watch.ts';
import type { SimNode, World } from './world.ts';

export interface CoordinatorNode {
  node: SimNode;
  candidacy: Candidacy | undefined;
}

export interface WorkerNode {
  node: SimNode;
  handle: WorkerHandle | undefined;
  queues: readonly string[];
  /** Undefined: it runs no uploaded programs. */
  programs: Programs | undefined;
  resources: Readonly<Record<string, number>>;
}

/** What the compiler keeps from us and a checker has to see. */
interface Inner {
  state: State;
  /** Facts that ride with the next commit. */
  carried: ReadonlyMap<string, Draft>;
  isPumping: boolean;
  inbox: { length: number };
}

/** Small, so that the registry rolls, and workers are forgotten, in most runs; later than any word of them is repeated. */
export const bounds = { rollFactsMin: 24, goneMs: 10_000, goneMax: 0 };

export class Cluster {
  readonly world: World;
  readonly plan: Plan;
  readonly faults: Faults;
  readonly network: Network;
  readonly disk: Disk;
  readonly elections: Elections;
  readonly watch: Watch;
  readonly coordinators: CoordinatorNode[];
  readonly workers: WorkerNode[];
  readonly clients: SimClient[];
  readonly dice: Dice;
  /** The leadership behind each term. */
  private readonly leaderships = new Map<number, { node: SimNode; id: string }>();
  private readonly latestTerms = new Map<SimNode, number>();
  private readonly byNode = new Map<SimNode, 'coordinator' | 'worker'>();

  constructor(world: World, faults: Faults) {
    const { plan } = faults;
    this.world = world;
    this.faults = faults;
    this.plan = plan;
    this.dice = new Dice(plan.seed, 'cluster');
    this.network = new Network(world, faults);
    this.disk = new Disk(world, faults);
    this.elections = new Elections(world, faults);
    this.disk.onHalfStored = (node) => {
      const each = this.coordinators.find((other) => other.node === node);
      if (each && node.isUp) this.killCoordinator(each, this.dice.between(1, 1_000));
    };
    this.watch = new Watch(world, this.disk);
    this.watch.isTimeKept = plan.rates.jump === 0 && plan.rates.drift === 0;
    const drift = plan.rates.drift * 0.02;
    const nodes = (prefix: string, count: number): SimNode[] =>
      Array.from({ length: count }, (_, at) => world.node(`${prefix}${at + 1}`, drift));
    this.coordinators = nodes('k', plan.coordinators).map((node) => ({ node, candidacy: undefined }));
    this.workers = nodes('w', plan.workers).map((node, at) => {
      // The first one can run anything, or there would be nobody to finish the work.
      const isPlain = at > 0 && this.dice.chance(0.3);
      const queues = at > 0 && this.dice.chance(0.3) ? ['default'] : ['default', 'other'];
      const resources = {
        cpu: plan.slots,
        memory: 1e9,
        ...(at === 0 || new Dice(plan.seed, `device/${at}`).chance(0.5) ? { device: 1 } : {}),
      };
      return { node, handle: undefined, queues, programs: isPlain ? undefined : new Programs(world, node), resources };
    });
    this.watch.queuesOf = (name) => this.workers.find(({ node }) => node.name === name)?.queues ?? [];
    for (const { node } of this.coordinators) {
      this.byNode.set(node, 'coordinator');
      // Machines do not agree about the time of day (K04).
      const skew = faults.gate('jump', `${node.name} from the start`, 1).stroke();
      if (skew) node.wallSkewMs = skew.between(-3_600_000, 3_600_000);
    }
    for (const { node } of this.workers) {
      this.byNode.set(node, 'worker');
      node.drainTurns = workerTurns;
    }
    const ports = this.coordinators.map((each) => this.portOf(each));
    this.clients = nodes('c', plan.clients).map(
      (node) =>
        new SimClient({ world, network: this.network, watch: this.watch, node, ports: () => ports, jobs: drawJobs(faults, node.name) }),
    );
    for (const { node } of this.clients) node.drainTurns = clientTurns;
    this.network.nameOf = kindOf;
    this.network.onSend = (from, address, message) => this.watch.guard(() => this.onSend(from, address, message));
  }

  boot(): void {
    for (const each of this.coordinators) this.bootCoordinator(each);
    for (const each of this.workers) this.bootWorker(each);
    for (const each of this.clients) each.boot();
  }

  // ---- coordinators ----

  bootCoordinator(each: CoordinatorNode): void {
    const { world, network, disk, elections, plan } = this;
    const { node } = each;
    world.start(node);
    const { life } = node;
    const outside = world.outside(node);
    const ended = (error: unknown): void => {
      if (node.life !== life) return;
      world.log(`${node.name} ends: ${String(error)}`);
      if (isDefect(error)) world.fail(error as Error);
      // What it says in its last moments still goes out.
      world.after(0.01, node, () => this.killCoordinator(each, this.dice.between(50, 1_000)));
    };
    const candidacy = new Candidacy({
      broker: this.overheard(network.broker(node), node),
      // Where only one can ever lead nobody proves that it does.
      election: plan.isElected ? leaseElection(elections.store(node), { cluster: 'simulated', ttlMs, outside }) : noElection(),
      openJournal: () => Promise.resolve(disk.journal(node)),
      bounds,
      dealing: { policy: policyNames[plan.seed % policyNames.length]! },
      outside,
      // A word of a life that is over comes when the next has begun.
      onChange: (standing) => void (node.life === life && this.onStanding(each, standing)),
      onWarning: (line) => world.log(`${node.name}: ${line}`),
      onFailed: ended,
    });
    each.candidacy = candidacy;
    candidacy.start().catch(ended);
  }

  private onStanding({ node, candidacy }: CoordinatorNode, standing: 'leads' | 'standby'): void {
    if (standing === 'standby') return reached('a leader stands by again');
    const { term, writer } = (candidacy!.coordinator as unknown as Inner).state;
    this.watch.leases.onWriter(writer, node);
    const id = this.elections.latestOf(node);
    if (id !== undefined) this.leaderships.set(term, { node, id });
    this.latestTerms.set(node, term);
    reached('a coordinator takes over');
    this.world.log(`${node.name} leads in term ${term}`);
  }

  killCoordinator(each: CoordinatorNode, downMs: number): void {
    const { world } = this;
    world.kill(each.node);
    this.elections.leaving.delete(each.node);
    each.candidacy = undefined;
    for (const line of this.network.lines) if (line.touches(each.node)) line.break();
    world.after(downMs, undefined, () => void (each.node.isUp || this.bootCoordinator(each)));
  }

  /** In good order, as for an update: it resigns, and the next one leads at once. */
  stopCoordinator(each: CoordinatorNode, downMs: number): void {
    const { node, candidacy } = each;
    if (!candidacy || !node.isUp || this.elections.leaving.has(node)) return;
    const { life } = node;
    this.elections.leaving.add(node);
    this.world.log(`${node.name} is asked to stop`);
    void candidacy.stop().then(() => {
      if (node.life !== life) return;
      reached('a coordinator stops in good order');
      this.killCoordinator(each, downMs);
    });
  }

  private portOf(each: CoordinatorNode): Port {
    return {
      node: each.node,
      accept: () => {
        const leading = each.candidacy?.coordinator;
        return leading && { session: leading.session(), term: (leading as unknown as Inner).state.term };
      },
      onAsked: (message) => this.watch.onAsked(message),
      onTold: (term, message, about) => {
        const isLost = this.isLost(term);
        this.watch.guard(() => this.watch.onTold(each.node, isLost, message, about));
      },
    };
  }

  /** By the clock of its node, or by what the election has told it. */
  private isLost(term: number): boolean {
    const leadership = this.leaderships.get(term);
    return leadership !== undefined && this.elections.isOver(leadership.node, leadership.id);
  }

  /** The coordinator that the journal belongs to, if it is serving and at rest. */
  leader(): Leader | undefined {
    for (const { candidacy, node } of this.coordinators) {
      const coordinator: Coordinator | undefined = candidacy?.coordinator;
      if (!coordinator || !node.isUp) continue;
      const { state, isPumping, inbox, carried } = coordinator as unknown as Inner;
      const isAtRest = state.leading && state.term === this.watch.model.term && !isPumping && inbox.length === 0;
      if (isAtRest) return { state, node, onTheWay: factsOf(carried) };
    }
    return undefined;
  }

  /** No worker holds anything. */
  get isIdle(): boolean {
    return this.workers.every(({ handle }) => (handle?.heldTasks ?? 0) === 0);
  }

  /** I8. */
  compare(): void {
    const leader = this.leader();
    if (!leader) return;
    this.watch.guard(() => {
      checkInvariants(leader.state);
      compareMemory(leader, this.watch.model);
      judgeLeases(this.world, leader.node, leader.state);
      this.watch.leases.judgeReadings(leader.node, leader.state);
      // One that stood still, or was kept from its journal, looks at its next tick.
      if (this.world.nowMs - leader.node.pausedUntilMs > 3_000) judgeGrowth(leader.state, this.world.monoMs(leader.node));
    });
  }

  // ---- workers ----

  bootWorker(each: WorkerNode): void {
    const { world, plan, faults } = this;
    const { node } = each;
    world.start(node);
    const { life } = node;
    const process = `${node.name}.${life}`;
    const slots: SimSlot[] = [];
    const slotOf = (options: SlotOptions): SimSlot => {
      const slot = new SimSlot(options);
      slots.push(slot);
      return slot;
    };
    startWorker({
      worker: node.name,
      broker: this.heard(this.network.broker(node), process),
      slots: plan.slots,
      queues: each.queues,
      code: { modules: [], names: ['inputs', 'each', 'spread', 'fold'], ...(each.programs ? { bundles: each.programs } : {}) },
      isolation: 'thread',
      resources: each.resources,
      outside: world.outside(node),
      memory: growingMemory(),
      onWarning: (line) => void (line.includes('makes no sense') && reached('a garbled message is refused by a worker')),
      executors: ({ events, name }, slot) =>
        slotOf({
          world,
          faults,
          node,
          name: `${name}/${slot}`,
          events,
          isAlone: slot >= plan.slots,
          onStart: (work, index) => {
            if (world.onStep) world.log(`${process} starts ${work.job}/${work.stage}/${index}, attempt ${work.attempt}`);
            const { bundle } = work.definition;
            if (bundle !== undefined && !each.programs?.isThere(bundle)) {
              world.fail(new Violation('I6', `${process} starts ${work.job}/${work.stage}/${index} without its program`));
            }
            const others = slots.flatMap(({ running }) => running ?? []);
            this.watch.guard(() => judgeRoom(process, each.resources, [{ work, index }, ...others], this.watch.model));
            return this.watch.onStarted(process, work, index);
          },
          onKill: () => this.killWorker(each, this.dice.between(20, 1_500)),
        }),
    }).then(
      (handle) => {
        if (node.life !== life) return;
        each.handle = handle;
        // Whoever asked for it.
        void handle.drained.then(() => this.onDrained(each, life));
      },
      (error: unknown) => world.fail(error as Error),
    );
  }

  private overheard(broker: Broker, node: SimNode): Broker {
    return {
      ...broker,
      listen: (address, handle) =>
        broker.listen(address, (messages) => {
          for (const bytes of messages) this.onWord(node, bytes);
          return handle(messages);
        }),
    };
  }

  private onWord(node: SimNode, bytes: Uint8Array): void {
    let message: FromWorker;
    try {
      message = decodeMessage<FromWorker>(bytes);
    } catch {
      return reached('a garbled message is refused by a coordinator');
    }
    const { kind, worker, incarnation } = message;
    if (kind === 'hello' || kind === 'died') return;
    this.watch.leases.onHeard(node, this.world.nowMs, worker, incarnation);
    if (kind !== 'beat') return;
    const leading = this.coordinators.find((each) => each.node === node)?.candidacy?.coordinator;
    const known = leading && (leading as unknown as Inner).state.workersByName.get(worker);
    if (known?.incarnation === incarnation && known.status !== 'left') this.watch.leases.onBeat(node, message);
  }

  private heard(broker: Broker, process: string): Broker {
    return {
      ...broker,
      listen: (address, handle) =>
        broker.listen(address, (messages) => {
          for (const message of messages) this.watch.onHeard(process, message);
          return handle(messages);
        }),
    };
  }

  killWorker(each: WorkerNode, downMs: number): void {
    const { world, network, dice } = this;
    const { node } = each;
    if (!node.isUp) return;
    const addresses = network.addressesOf(node);
    world.kill(node);
    each.handle = undefined;
    reached('a worker dies');
    network.repeatLate(node);
    if (dice.chance(0.4)) this.tellClosed(addresses);
    if (dice.chance(0.4)) this.tellDied(node, addresses);
    // Some machines never come back; the first one always does, or there would be nobody to finish the work.
    if (each !== this.workers[0] && dice.chance(0.15)) return reached('a worker dies for good');
    world.after(downMs, undefined, () => void (node.isUp || this.bootWorker(each)));
  }

  /** Its line is closed, as a coordinator's own broker sees it. */
  tellClosed(addresses: readonly string[]): void {
    for (const { node, candidacy } of this.coordinators) {
      if (!candidacy?.coordinator) continue;
      this.world.after(this.dice.exponential(this.plan.linkMs), node, () => {
        for (const address of addresses) this.watch.leases.onClosed(node, this.world.nowMs, address);
        candidacy.coordinator?.connectionsClosed(addresses);
      });
    }
  }

  /** Its supervisor, on the same machine, has seen its process end. */
  private tellDied(node: SimNode, addresses: readonly string[]): void {
    const incarnation = addresses.find((address) => address.startsWith('worker.'))?.split('.')[2];
    if (incarnation === undefined) return;
    const message: FromWorker = { kind: 'died', worker: node.name, incarnation, how: { isOutOfMemory: false, text: 'it was killed' } };
    const broker = this.network.broker(node);
    void broker.send('hello', encodeMessage(message)).catch(() => undefined);
  }

  drain(each: WorkerNode): void {
    const { handle, node } = each;
    if (!handle || !node.isUp) return;
    each.handle = undefined;
    reached('a worker is drained');
    void handle.drain();
  }

  private onDrained(each: WorkerNode, life: number): void {
    const { node } = each;
    if (node.life !== life) return;
    each.handle = undefined;
    reached('a drained worker ends');
    this.world.kill(node);
    this.world.after(this.dice.between(50, 1_000), undefined, () => void (node.isUp || this.bootWorker(each)));
  }

  // ---- the watch at the brokers' doors ----

  /** The term of who says it: what is taken back may be of an earlier one's. */
  private speakerOf(from: SimNode, { kind, term }: ToWorker): number {
    return kind === 'abort' || kind === 'revoke' ? (this.latestTerms.get(from) ?? term) : term;
  }

  private onSend(from: SimNode, address: string, bytes: Uint8Array): void {
    const kind = kindOf(bytes);
    if (this.byNode.get(from) === 'worker') {
      if (kind === 'beat' || kind === 'hello' || kind === 'held') return;
      this.watch.onReported(from, address, decodeMessage<FromWorker>(bytes));
      return;
    }
    const message = decodeMessage<ToWorker>(bytes);
    this.watch.onSent(from, address.split('.')[1]!, this.world.wallMs(from), this.isLost(this.speakerOf(from, message)), message);
    if (message.kind !== 'ackResults') return;
    const [, worker, incarnation] = address.split('.');
    this.watch.onAcknowledged(`${worker}.${incarnation}`, message.term, message.number);
  }
}

/** A reading that only grows, so that of two it can be told which is the newer one. */
function growingMemory(): NonNullable<WorkerOptions['memory']> {
  let bytes = 0;
  const read = (): MemoryReading => ({ bytes: ++bytes, bytesMax: 1e9 });
  return { read, look: read };
}

function factsOf(drafts: ReadonlyMap<string, Draft>): Fact[] {
  return [...drafts.values()].flatMap(({ facts }) => facts);
}

/** A worker does all at once; only its start and its end are promises. */
const workerTurns = 4;
const clientTurns = 12;
const kindAt = '........[[{"kind":"'.length;

/** Most messages begin with their kind. */
function kindOf(bytes: Uint8Array): string {
  let end = kindAt;
  while (end < bytes.length && bytes[end] !== 34) end++;
  return Buffer.from(bytes.buffer, bytes.byteOffset + kindAt, end - kindAt).toString('latin1');
}

/** What the product throws on purpose has a code; all else is a bug, and so is a damaged journal: nobody has damaged it. */
function isDefect(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === undefined || !code.startsWith('SH') || code === 'SH4004';
}
