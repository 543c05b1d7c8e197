/** The storm: what befalls nodes, links, disk and election while it lasts, and the quiet after it. */
import { Dice } from './chance.ts';
import type { Cluster } from './cluster.ts';
import type { FaultKind } from './plan.ts';
import { reached } from './probes.ts';
import type { SimNode } from './world.ts';

const gustMs = 200;

export class Weather {
  private readonly cluster: Cluster;
  private readonly dice = new Map<FaultKind, Dice>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    const { elections, world } = cluster;
    elections.onElected = (node) => {
      // Where the danger is: elected, and then for a while not there (C04).
      if (elections.isCalm || !this.strikes('pauseElected', 0.5)) return;
      const own = this.of('pauseElected');
      world.after(own.exponential(40), undefined, () => this.pause(node, own.between(1_500, 6_000)));
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

  private of(kind: FaultKind): Dice {
    let dice = this.dice.get(kind);
    if (!dice) this.dice.set(kind, (dice = new Dice(this.cluster.plan.seed, `weather/${kind}`)));
    return dice;
  }

  private strikes(kind: FaultKind, share: number): boolean {
    return this.of(kind).chance(this.cluster.plan.rates[kind] * share);
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
    const { world, network, disk, elections } = cluster;
    for (const each of cluster.workers) {
      if (this.strikes('crashWorker', 0.03)) {
        // A third is back at once, while words of its last life are still on their way (W11).
        const own = this.of('crashWorker');
        cluster.killWorker(each, own.chance(0.35) ? own.between(1, 40) : own.exponential(1_500));
      }
      if (this.strikes('pauseWorker', 0.03)) this.pause(each.node, this.of('pauseWorker').between(100, 9_000));
      if (this.strikes('drain', 0.02)) cluster.drain(each);
      if (this.strikes('lineGone', 0.03) && each.node.isUp) cluster.tellClosed(network.addressesOf(each.node));
    }
    for (const each of cluster.coordinators) {
      if (this.strikes('crashCoordinator', 0.03) && each.node.isUp) {
        world.log(`${each.node.name} is killed`);
        cluster.killCoordinator(each, this.of('crashCoordinator').exponential(800));
      }
      if (this.strikes('pauseCoordinator', 0.03)) this.pause(each.node, this.of('pauseCoordinator').between(50, 7_000));
    }
    for (const client of cluster.clients) {
      if (this.strikes('clientCrash', 0.01) && !client.isDone) this.restart(client);
    }
    for (const node of world.nodes.values()) {
      if (this.strikes('slow', 0.02)) this.slow(node);
      if (this.strikes('jump', 0.01)) node.wallSkewMs += this.of('jump').between(-3_600_000, 3_600_000);
    }
    this.blowLinks();
    if (this.strikes('brokerDown', 0.02)) network.brokerDown(this.of('brokerDown').between(100, 6_000));
    if (this.strikes('lineBreak', 0.05)) for (const line of network.lines) if (this.of('lineBreak').chance(0.5)) line.break();
    if (this.strikes('full', 0.02)) disk.fullUntilMs = world.nowMs + this.of('full').between(200, 4_000);
    if (this.strikes('electionDown', 0.02)) elections.downUntilMs = world.nowMs + this.of('electionDown').between(200, 5_000);
    if (this.strikes('hostCrash', 0.01)) this.hostDies();
  }

  private restart(client: Cluster['clients'][number]): void {
    const { world, network } = this.cluster;
    const { node } = client;
    if (!node.isUp) return;
    world.kill(node);
    reached('a client is killed');
    for (const line of network.lines) if (line.touches(node)) line.break();
    world.after(this.of('clientCrash').exponential(600), undefined, () => void (node.isUp || client.boot()));
  }

  private slow(node: SimNode): void {
    node.slowness = 10;
    this.cluster.world.after(this.of('slow').between(500, 5_000), undefined, () => void (node.slowness = 1));
  }

  private blowLinks(): void {
    const { world, network } = this.cluster;
    const nodes = [...world.nodes.values()];
    for (const kind of ['cut', 'clog'] as const) {
      if (!this.strikes(kind, 0.08)) continue;
      const dice = this.of(kind);
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
  private hostDies(): void {
    const { cluster } = this;
    const dice = this.of('hostCrash');
    cluster.world.log('the host of the journal dies');
    for (const each of cluster.coordinators) if (each.node.isUp) cluster.killCoordinator(each, dice.between(100, 2_000));
    cluster.disk.crash(dice);
  }
}
