/**
 * The election: a lease of a shared service, held by whoever asked first, told apart by ids. It may grant a second
 * leadership while the first holder still believes in its own, and it may be out of reach. Each holder counts on its own
 * drifting clock: it gives up after two thirds of the time that it was granted, from when it asked.
 */
import type { Candidate, Election, Leadership } from '../src/elections/election.ts';
import { Dice } from './chance.ts';
import type { Faults, Gate } from './faults.ts';
import type { Plan } from './plan.ts';
import { reached } from './probes.ts';
import type { SimNode, World } from './world.ts';

const ttlMs = 2_000;

export class Elections {
  readonly world: World;
  readonly plan: Plan;
  isCalm = false;
  downUntilMs = 0;
  private holder: string | undefined;
  private untilMs = 0;
  private readonly dice: Dice;
  private readonly twoLeaders: Gate;
  /** `node/life` of those whose leadership was taken from them. */
  readonly lostLives = new Set<string>();
  onElected: (node: SimNode) => void = () => undefined;

  constructor(world: World, faults: Faults) {
    this.world = world;
    this.plan = faults.plan;
    this.dice = new Dice(faults.plan.seed, 'election');
    this.twoLeaders = faults.gate('twoLeaders', 'election', 0.05);
  }

  election(node: SimNode): Election {
    return {
      campaign: (me) => this.campaign(node, node.life, me),
      leader: () => Promise.resolve(undefined),
      close: () => Promise.resolve(),
    };
  }

  /** A round trip to the service; `act` decides there, `then` hears here. */
  private ask<T>(node: SimNode, act: () => T, then: (answer: T) => void): void {
    const { world } = this;
    const { life } = node;
    world.after(this.dice.exponential(this.plan.linkMs), undefined, () => {
      if (world.nowMs < this.downUntilMs) return;
      const answer = act();
      // Whoever asked may be gone, and its successor has asked nothing.
      if (node.life !== life) return;
      world.after(this.dice.exponential(this.plan.linkMs), node, () => then(answer));
    });
  }

  private grant(id: string, isRenewal: boolean): boolean {
    const { world } = this;
    const isFree = this.holder === undefined || world.nowMs >= this.untilMs || this.holder === id;
    if (!isFree) {
      if (isRenewal || this.isCalm || !this.twoLeaders.strikes()) return false;
      reached('two leaders are granted at once');
    } else if (isRenewal && this.holder !== id) return false;
    this.holder = id;
    if (!isRenewal) world.log(`${id} is elected`);
    this.untilMs = world.nowMs + ttlMs;
    return true;
  }

  private campaign(node: SimNode, life: number, me: Candidate): Promise<Leadership> {
    return new Promise((resolve) => {
      const outside = this.world.outside(node);
      let isDone = false;
      const attempt = (): void => {
        if (isDone || node.life !== life) return;
        const askedMs = outside.nowMs();
        this.ask(
          node,
          () => this.grant(me.id, false),
          (granted) => {
            if (isDone || !granted || outside.nowMs() - askedMs > (ttlMs * 2) / 3) return;
            isDone = true;
            resolve(this.lead(node, me, askedMs));
            this.onElected(node);
          },
        );
        outside.after(ttlMs / 4 + outside.randomBelow(200), attempt);
      };
      attempt();
    });
  }

  private lead(node: SimNode, me: Candidate, askedMs: number): Leadership {
    const outside = this.world.outside(node);
    const lost = new AbortController();
    let deadlineMs = askedMs + (ttlMs * 2) / 3;
    let isOver = false;
    const watch = (): void => {
      if (isOver) return;
      if (outside.nowMs() >= deadlineMs) {
        isOver = true;
        reached('a leadership is lost');
        this.lostLives.add(`${node.name}/${node.life}`);
        lost.abort();
        return;
      }
      outside.after(deadlineMs - outside.nowMs(), watch);
    };
    const renew = (): void => {
      if (isOver) return;
      const sentMs = outside.nowMs();
      this.ask(
        node,
        () => this.grant(me.id, true),
        (granted) => {
          if (granted) deadlineMs = Math.max(deadlineMs, sentMs + (ttlMs * 2) / 3);
        },
      );
      outside.after(ttlMs / 4, renew);
    };
    watch();
    renew();
    return {
      lost: lost.signal,
      ttlMs,
      resign: async () => {
        isOver = true;
        this.ask(
          node,
          () => {
            if (this.holder === me.id) this.holder = undefined;
          },
          () => undefined,
        );
      },
    };
  }
}
