/**
 * Every stroke of a fault goes through a gate and has a name: its kind, where it strikes, and the how-manieth chance it was
 * there. A run lists those that struck, and can be had again with some of them only: that is how a failure is shrunk to the
 * few that it needs. What a stroke does (how long, to whom) is drawn from its name, so that it stays the same then.
 */
import { Dice } from './chance.ts';
import type { FaultKind, Plan } from './plan.ts';

export class Faults {
  /** Names, in the order in which they struck. */
  readonly struck = new Set<string>();
  readonly plan: Plan;
  readonly only: ReadonlySet<string> | undefined;

  constructor(plan: Plan, only?: ReadonlySet<string>) {
    this.plan = plan;
    this.only = only;
  }

  /** `share`: how often at most, at the highest rate. */
  gate(kind: FaultKind, where: string, share: number): Gate {
    return new Gate(this, `${kind}@${where}`, this.plan.rates[kind] * share);
  }

  /** One that somebody's own dice has decided on: a task of a user that always fails. */
  allows(name: string): boolean {
    if (this.only && !this.only.has(name)) return false;
    this.struck.add(name);
    return true;
  }
}

export class Gate {
  private readonly faults: Faults;
  private readonly name: string;
  private readonly share: number;
  private readonly dice: Dice;
  private chances = 0;

  constructor(faults: Faults, name: string, share: number) {
    this.faults = faults;
    this.name = name;
    this.share = share;
    this.dice = new Dice(faults.plan.seed, name);
  }

  /** Does it strike now? */
  strikes(): boolean {
    if (this.share <= 0) return false;
    this.chances++;
    return this.dice.next() < this.share && this.faults.allows(`${this.name}#${this.chances}`);
  }

  /** The same, and what its stroke is drawn from. */
  stroke(): Dice | undefined {
    return this.strikes() ? new Dice(this.faults.plan.seed, `${this.name}#${this.chances}`) : undefined;
  }
}
