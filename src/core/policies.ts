/**
 * Which of the workers that could run a stage, and want more, is served first. Pure, and blind to single tasks: a policy sees what a
 * worker holds and what it last said of itself. How much each is given at a time is the same for all (placement.ts).
 */
import type { Worker } from './state.ts';

/** The lowest is served first; of equals the one that joined first. */
export type Policy = (worker: Worker) => number;

export const policyNames = ['adaptive', 'least-loaded', 'least-cpu', 'round-robin'] as const;
export type PolicyName = (typeof policyNames)[number];

/** How tasks are spread over workers. */
export interface Dealing {
  /** Default adaptive. */
  policy?: PolicyName;
  /** Tasks that wait behind longer ones are asked back for workers with a free slot (steal.ts); default true. */
  stealing?: boolean;
}

export const policies: Readonly<Record<PolicyName, Policy>> = {
  /** Those with a free slot by the share of slots that are taken, then by milliseconds of work for each slot, as measured. */
  adaptive: (worker) =>
    worker.heldSlots < worker.slots ? tasksPerSlot(worker) : 1 + worker.heldMs / worker.slots + 1e-3 * tasksPerSlot(worker),

  /** Tasks for each lane of a slot, however long they are. */
  'least-loaded': tasksPerSlot,

  /**
   * The share of its machine that is in use, whoever uses it: for workers that are not alone on their machines. What it was given since
   * it last said so is counted on to use a slot each, and decides between equals.
   */
  'least-cpu': (worker) => Math.max(worker.cpu ?? 0, Math.min(1, tasksPerSlot(worker))) + 1e-3 * tasksPerSlot(worker),

  /** Whoever was served longest ago. */
  'round-robin': ({ lastServed }) => lastServed,
};

/** Those that share a slot in lanes count as parts of one. */
function tasksPerSlot({ heldSlots, slots }: Worker): number {
  return heldSlots / slots;
}
