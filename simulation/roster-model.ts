/** The checker's view of the roster: who has joined, left, and is forgotten. */
import type { RegistryFact } from '../src/core/facts.ts';
import { reached } from './probes.ts';
import { check } from './violation.ts';

type Of<K extends RegistryFact['fact']> = Extract<RegistryFact, { fact: K }>;

export class RosterModel {
  /** By index. */
  private readonly workers = new Map<number, { worker: string; incarnation: string; isIn: boolean }>();
  /** Incarnations, and the term in which each joined last. */
  private readonly terms = new Map<string, number>();
  /** Incarnations, each with the last term whose leader it has answered to. */
  private readonly greeted = new Map<string, number>();

  joined({ worker, incarnation, index }: Of<'worker-joined'>, term: number): void {
    const known = this.workers.get(index);
    check(known === undefined || known.worker === worker, 'I2', () => `${worker} gets the index ${index}, which is ${known?.worker}’s`);
    // Its reports to one leader are numbered from 1, once. Who never heard that it was welcome has made none.
    const life = `${worker}/${incarnation}`;
    const isGreeted = this.greeted.get(life) === term;
    check(!isGreeted || this.terms.get(life) !== term, 'I2', () => `${life} joins again in term ${term}`);
    if (this.terms.has(life)) reached('a worker that was forgotten is new to the next leader');
    this.terms.set(life, term);
    this.workers.set(index, { worker, incarnation, isIn: true });
  }

  spoke(worker: string, incarnation: string, term: number): void {
    this.greeted.set(`${worker}/${incarnation}`, term);
  }

  left({ worker, incarnation }: Of<'worker-left'>): void {
    for (const known of this.workers.values()) if (known.worker === worker && known.incarnation === incarnation) known.isIn = false;
  }

  forgotten({ index }: Of<'worker-forgotten'>): void {
    const known = this.workers.get(index);
    check(known !== undefined, 'I2', () => `worker ${index} is forgotten, and nobody knows it`);
    check(!known!.isIn, 'I7', () => `${known!.worker} is forgotten, and has not left`);
    this.workers.delete(index);
    reached('a worker that has left is forgotten');
  }

  /** One line each. */
  *told(): Generator<string> {
    for (const [index, { worker, incarnation, isIn }] of this.workers) yield `${index} ${worker}/${incarnation} ${isIn ? 'in' : 'left'}`;
  }
}
