/**
 * The service that elections ask (the product's own lease over it): whoever asks first gets it, told apart by ids. It may grant a
 * second leadership while the first holder goes on renewing its own, for seconds, and it may be out of reach.
 *
 * What a holder may believe is counted here once more, by the node's own clock: two thirds of the time to live from the start of
 * the call that last succeeded. Who was granted it in a third of that time or more leads from the renewal that follows, if that is quick.
 */
import type { Claim, LeaseStore, Term } from '../src/elections/lease.ts';
import { Dice } from './chance.ts';
import type { Faults, Gate } from './faults.ts';
import type { Plan } from './plan.ts';
import { reached } from './probes.ts';
import type { SimNode, World } from './world.ts';

export const ttlMs = 2_000;
const believedMs = (ttlMs * 2) / 3;

interface Holder {
  id: string;
  record: string;
  untilMs: number;
}

export class Elections {
  readonly world: World;
  readonly plan: Plan;
  isCalm = false;
  downUntilMs = 0;
  private holder: Holder | undefined;
  /** Holders that were passed over and are not told: until when. */
  private readonly split = new Map<string, number>();
  private readonly dice: Dice;
  private readonly twoLeaders: Gate;
  /** By the node's own clock, the end of each leadership. */
  private readonly deadlines = new Map<string, number>();
  /** Granted so late that nobody leads by it yet. */
  private readonly unconfirmed = new Set<string>();
  /** The leadership that each node was granted last. */
  private readonly latest = new Map<SimNode, string>();
  /** They stop in good order: what they still say is durable, though another may lead. */
  readonly leaving = new Set<SimNode>();
  onElected: (node: SimNode) => void = () => undefined;

  constructor(world: World, faults: Faults) {
    this.world = world;
    this.plan = faults.plan;
    this.dice = new Dice(faults.plan.seed, 'election');
    this.twoLeaders = faults.gate('twoLeaders', 'election', 0.1);
  }

  store(node: SimNode): LeaseStore {
    return {
      name: 'the simulated election',
      claim: (term) => this.claim(node, term),
      holder: () => this.ask(node, () => this.live()?.record),
      close: () => Promise.resolve(),
    };
  }

  latestOf(node: SimNode): string | undefined {
    return this.latest.get(node);
  }

  /** Has this leadership ended by the clock of its node, or by what it was told? */
  isOver(node: SimNode, id: string): boolean {
    return this.world.monoMs(node) >= (this.deadlines.get(id) ?? Number.POSITIVE_INFINITY);
  }

  private live(): Holder | undefined {
    return this.holder && this.world.nowMs < this.holder.untilMs ? this.holder : undefined;
  }

  /** A round trip to the service. */
  private ask<T>(node: SimNode, act: () => T): Promise<T> {
    const { world } = this;
    const { life } = node;
    return new Promise((resolve) => {
      world.after(this.dice.exponential(this.plan.linkMs), undefined, () => {
        if (world.nowMs < this.downUntilMs) return;
        const answer = act();
        // Whoever asked may be gone, and its successor has asked nothing.
        if (node.life === life) world.after(this.dice.exponential(this.plan.linkMs), node, () => resolve(answer));
      });
    });
  }

  private claim(node: SimNode, { id, record }: Term): Claim {
    const { world } = this;
    return {
      take: async () => {
        const startMs = world.monoMs(node);
        if (!(await this.ask(node, () => this.take({ id, record, untilMs: 0 })))) return undefined;
        this.deadlines.set(id, startMs + believedMs);
        if (world.monoMs(node) - startMs >= ttlMs / 3) this.unconfirmed.add(id);
        this.latest.set(node, id);
        this.onElected(node);
        return ttlMs;
      },
      renew: async () => {
        const startMs = world.monoMs(node);
        const isHeld = await this.ask(node, () => this.renew(id));
        const nowMs = world.monoMs(node);
        if (this.unconfirmed.delete(id)) {
          reached('a lease that was granted late is confirmed');
          if (isHeld && nowMs - startMs < ttlMs / 3) this.deadlines.set(id, startMs + believedMs);
          return isHeld;
        }
        // Once it is over it stays over, and who has resigned in good order asks no more.
        const hasResigned = this.deadlines.get(id) === Number.POSITIVE_INFINITY;
        if (!hasResigned && !this.isOver(node, id)) this.deadlines.set(id, isHeld ? startMs + believedMs : nowMs);
        return isHeld;
      },
      release: async () => {
        this.unconfirmed.delete(id);
        const endMs = this.leaving.has(node) ? Number.POSITIVE_INFINITY : world.monoMs(node);
        if (!this.isOver(node, id)) this.deadlines.set(id, endMs);
        await this.ask(node, () => this.release(id));
      },
    };
  }

  private take(candidate: Holder): boolean {
    const { world } = this;
    const other = this.live();
    if (other && other.id !== candidate.id) {
      const stroke = this.isCalm ? undefined : this.twoLeaders.stroke();
      if (!stroke) return false;
      reached('two leaders are granted at once');
      this.split.set(other.id, world.nowMs + stroke.between(0, 6_000));
    }
    this.holder = { ...candidate, untilMs: world.nowMs + ttlMs };
    world.log(`${candidate.id} is elected`);
    return true;
  }

  private renew(id: string): boolean {
    const { nowMs } = this.world;
    const holder = this.live();
    if (holder?.id === id) {
      holder.untilMs = nowMs + ttlMs;
      return true;
    }
    return !this.isCalm && nowMs < (this.split.get(id) ?? 0);
  }

  private release(id: string): void {
    if (this.holder?.id === id) this.holder = undefined;
    this.split.delete(id);
  }
}
