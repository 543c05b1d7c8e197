/** What a task is underneath its typed face: one definition, a chain of tasks, or a graph of them. */
import type { Codec } from '../codecs/codec.ts';
import type { DefinitionRef } from '../core/spec.ts';
import { ShoalError } from '../lib/errors.ts';
import type { AnyOptions } from './options.ts';
import type { ReduceOptions } from './types.ts';

export interface SinglePlan {
  kind: 'single';
  name: string;
  /** Asked when a job is built, because a `taskRef` may be older than the module that defines its task. */
  definition(): { ref: DefinitionRef; codec: Codec };
  options: AnyOptions;
}

export interface PipePlan {
  kind: 'pipe';
  name: string;
  first: Plan;
  next: Plan;
  options: AnyOptions;
}

export interface GraphPlan {
  kind: 'graph';
  name: string;
  /** In the order of the calls; a node refers to earlier ones only, so there are no cycles. */
  nodes: readonly GraphNode[];
  output: GraphRef;
  /** Of the graph's definition: for tasks that don't say themselves. */
  defaults: AnyOptions;
  /** Of `with`: for all of its tasks. */
  options: AnyOptions;
}

export type Plan = SinglePlan | PipePlan | GraphPlan;

/** `node` -1 is the graph's input. Values hold references as RefHandle objects. */
export interface GraphRef {
  node: number;
  path: readonly string[];
}

export type GraphNode =
  | { kind: 'call'; task: Plan; input: unknown; after: readonly GraphRef[]; options: AnyOptions | undefined }
  | { kind: 'map'; task: Plan; inputs: GraphRef | readonly unknown[]; options: AnyOptions | undefined }
  | { kind: 'reduce'; combine: SinglePlan; items: GraphRef; options: ReduceOptions };

const planKey = Symbol.for('shoal.plan');

/** Base of everything that is a task to users; found by a symbol, so that a second copy of this package fits. */
export abstract class Planned {
  readonly [planKey]: Plan;
  constructor(plan: Plan) {
    this[planKey] = plan;
  }
}

export function planOf(who: string, task: unknown): Plan {
  const plan = typeof task === 'object' && task !== null ? (task as { [planKey]?: Plan })[planKey] : undefined;
  if (plan) return plan;
  throw new ShoalError('SH1102', `${who} needs a task, not ${task === null ? 'null' : `a ${typeof task}`}`, {
    hint: typeof task === 'function' ? "make it one: task('a.name', fn)" : 'make one with task(name, fn)',
  });
}

export function singlePlanOf(who: string, task: unknown): SinglePlan {
  const plan = planOf(who, task);
  if (plan.kind === 'single') return plan;
  throw new ShoalError('SH1103', `${who} can't combine with ${plan.name}, which is made of several tasks`, {
    hint: 'combine with a task of one function',
  });
}
