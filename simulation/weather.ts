/** The storm: what befalls nodes, links, disk and election while it lasts, and the quiet after it. */
import type { Dice } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { Gate } from './faults.ts';
import type { FaultKind } from './plan.ts';
import { reached } from './probes.ts';
import type { SimNode } from './world.ts';

const gustMs = 200;

export class Weather {
  private readonly cluster: Cluster;
  private readonly gates = new Map<string, Gate>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    const { elections, world } = cluster;
    elections.onElected = (node) => {
      if (elections.isCalm) return;
      // Where the danger is: elected, and then for a while not there (C04).
      const stroke = this.stroke('pauseElected', node.name, 0.5);
      if (stroke) world.after(stroke.exponential(40), undefined, () => this.pause(node, stroke.between(1_500, 6_000)));
    };
  }

  begin(): void {
    const { world, plan } = this.cluster;
    const gust = (): void => {
      if (world.nowMs >= plan.stormMs) return this.end();
      this.blow();
      world.after(gustMs, undefined, gust);
    };
    gust();
  }

  private stroke(kind: FaultKind, where: string, share: number): Dice | undefined {
    const key = `${kind}@${where}`;
    let gate = this.gates.get(key);
    if (!gate) this.gates.set(key, (gate = this.cluster.faults.gate(kind, where, share)));
    return gate.stroke();
  }

  private end(): void {
    const { network, disk, elections, world } = this.cluster;
    network.calm();
    disk.isCalm = true;
    disk.fullUntilMs = 0;
    elections.isCalm = true;
    elections.downUntilMs = 0;
    for (const node of world.nodes.values()) node.slowness = 1;
    world.log('the storm is over');
  }

  private pause(node: SimNode, ms: number): void {
    if (!node.isUp) return;
    node.pausedUntilMs = Math.max(node.pausedUntilMs, this.cluster.world.nowMs + ms);
    this.cluster.world.log(`${node.name} stands still for ${ms.toFixed(0)} ms`);
    reached('a node stands still');
  }

  private blow(): void {
    const { cluster } = this;
    this.blowWorkers();
    this.blowCoordinators();
    for (const client of cluster.clients) {
      const crash = this.stroke('clientCrash', client.node.name, 0.01);
      if (crash && !client.isDone) this.restart(client, crash.exponential(600));
    }
    for (const node of cluster.world.nodes.values()) {
      const slow = this.stroke('slow', node.name, 0.02);
      if (slow) this.slow(node, slow.between(500, 5_000));
      const jump = this.stroke('jump', node.name, 0.01);
      if (jump) node.wallSkewMs += jump.between(-3_600_000, 3_600_000);
    }
    this.blowLinks();
    this.blowServices();
  }

  private blowWorkers(): void {
    const { cluster } = this;
    for (const each of cluster.workers) {
      const { node } = each;
      const crash = this.stroke('crashWorker', node.name, 0.03);
      // A third is back at once, while words of its last life are still on their way (W11).
      if (crash) cluster.killWorker(each, crash.chance(0.35) ? crash.between(1, 40) : crash.exponential(1_500));
      const pause = this.stroke('pauseWorker', node.name, 0.03);
      if (pause) this.pause(node, pause.between(100, 9_000));
      if (this.stroke('drain', node.name, 0.02)) cluster.drain(each);
      if (this.stroke('lineGone', node.name, 0.03) && node.isUp) cluster.tellClosed(cluster.network.addressesOf(node));
    }
  }

  private blowCoordinators(): void {
    const { cluster } = this;
    for (const each of cluster.coordinators) {
      const { node } = each;
      const crash = this.stroke('crashCoordinator', node.name, 0.03);
      if (crash && node.isUp) {
        cluster.world.log(`${node.name} is killed`);
        cluster.killCoordinator(each, crash.exponential(800));
      }
      const stop = this.stroke('stopCoordinator', node.name, 0.02);
      if (stop) cluster.stopCoordinator(each, stop.exponential(800));
      const pause = this.stroke('pauseCoordinator', node.name, 0.03);
      if (pause) this.pause(node, pause.between(50, 7_000));
    }
  }

  private blowServices(): void {
    const { network, disk, elections, world } = this.cluster;
    const down = this.stroke('brokerDown', 'broker', 0.02);
    if (down) network.brokerDown(down.between(100, 6_000));
    const broken = this.stroke('lineBreak', 'lines', 0.05);
    if (broken) for (const line of network.lines) if (broken.chance(0.5)) line.break();
    const full = this.stroke('full', 'disk', 0.02);
    if (full) disk.fullUntilMs = world.nowMs + full.between(200, 4_000);
    const away = this.stroke('electionDown', 'election', 0.02);
    if (away) elections.downUntilMs = world.nowMs + away.between(200, 5_000);
    const dies = this.stroke('hostCrash', 'disk', 0.01);
    if (dies) this.hostDies(dies);
  }

  private restart(client: Cluster['clients'][number], downMs: number): void {
    const { world, network } = this.cluster;
    const { node } = client;
    if (!node.isUp) return;
    world.kill(node);
    reached('a client is killed');
    for (const line of network.lines) if (line.touches(node)) line.break();
    world.after(downMs, undefined, () => void (node.isUp || client.boot()));
  }

  private slow(node: SimNode, ms: number): void {
    node.slowness = 10;
    this.cluster.world.after(ms, undefined, () => void (node.slowness = 1));
  }

  private blowLinks(): void {
    const { world, network } = this.cluster;
    const nodes = [...world.nodes.values()];
    for (const kind of ['cut', 'clog'] as const) {
      const dice = this.stroke(kind, 'links', 0.08);
      if (!dice) continue;
      const from = dice.pick(nodes);
      const to = dice.pick(nodes);
      const untilMs = world.nowMs + dice.between(200, kind === 'cut' ? 9_000 : 3_000);
      const isOneWay = dice.chance(0.5);
      for (const direction of isOneWay ? [network.direction(from, to)] : [network.direction(from, to), network.direction(to, from)]) {
        if (kind === 'cut') direction.cutUntilMs = untilMs;
        else direction.clogUntilMs = untilMs;
      }
    }
  }

  /** The machine of the journal, and all coordinators on it. */
  private hostDies(dice: Dice): void {
    const { cluster } = this;
    cluster.world.log('the host of the journal dies');
    for (const each of cluster.coordinators) if (each.node.isUp) cluster.killCoordinator(each, dice.between(100, 2_000));
    cluster.disk.crash(dice);
  }
}
