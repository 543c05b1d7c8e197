/**
 * Does a leader's every loop go on? One that has work and has made no step between two looks is stuck for a look; after
 * as many as it has (`looksMax`) it is given up (C11). Looks are counted and not seconds, so that a process that stood still as a whole is
 * not blamed for that (K05).
 */
import { ShoalError } from '../lib/errors.ts';

/** `steps` only ever grows; `isDue`: it has work, so it should. */
export interface Loop {
  name: string;
  steps: number;
  isDue: boolean;
  looksMax?: number;
}

const looksMaxDefault = 5;

export class Watchdog {
  private readonly onStuck: (error: ShoalError) => void;
  private readonly seen = new Map<string, { steps: number; looks: number }>();

  constructor(onStuck: (error: ShoalError) => void) {
    this.onStuck = onStuck;
  }

  look(loops: readonly Loop[]): void {
    for (const { name, steps, isDue, looksMax = looksMaxDefault } of loops) {
      const before = this.seen.get(name);
      const isStuck = isDue && before?.steps === steps;
      const looks = isStuck ? before.looks + 1 : 0;
      this.seen.set(name, { steps, looks });
      if (looks < looksMax) continue;
      return this.onStuck(new ShoalError('SH3021', `a part of the leader hangs: its ${name}`, { hint: 'another coordinator takes over' }));
    }
  }
}
