/** Graphs: `dag` runs the user's description once and keeps what it said; nothing is executed by it. */
import { ShoalError } from '../lib/errors.ts';
import { type AnyOptions, checkOptionNames, mergeOptions, reduceTerms, stageTerms } from './options.ts';
import { type GraphNode, type GraphPlan, type GraphRef, planOf, singlePlanOf } from './plan.ts';
import type { GraphBuilder, MapOptions, ReduceOptions, Ref, Task, TaskOptions } from './types.ts';

/** What a `Ref` is at run time: node and path within one graph. */
export class RefHandle implements GraphRef {
  readonly graph: object;
  readonly node: number;
  readonly path: readonly string[];

  constructor(graph: object, node: number, path: readonly string[] = []) {
    this.graph = graph;
    this.node = node;
    this.path = path;
  }

  get id(): string {
    return [this.node < 0 ? 'input' : `node ${this.node}`, ...this.path].join('.');
  }

  get(key: string): RefHandle {
    if (typeof key !== 'string') throw new ShoalError('SH1102', `a property is taken from a reference by its name, not by a ${typeof key}`);
    return new RefHandle(this.graph, this.node, [...this.path, key]);
  }
}

/** The two are one at run time; the type parameter exists only for the compiler. */
function asRef<T>(handle: RefHandle): Ref<T> {
  return handle as unknown as Ref<T>;
}

export function recordGraph<I, O>(name: string, build: (g: GraphBuilder, input: Ref<I>) => Ref<O>, defaults: AnyOptions): GraphPlan {
  const recorder = new Recorder(name);
  const output = recorder.refOf(`the result of ${name}`, build(recorder, asRef<I>(new RefHandle(recorder, -1))));
  return { kind: 'graph', name, nodes: recorder.nodes, output, defaults, options: {} };
}

class Recorder implements GraphBuilder {
  readonly nodes: GraphNode[] = [];
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  call<I, O>(task: Task<I, O>, input: unknown, options: TaskOptions & { after?: readonly Ref<unknown>[] } = {}): Ref<O> {
    const plan = planOf(`${this.#name}: call`, task);
    const { after = [], ...rest } = options ?? {};
    checkTerms(plan.name, 'call', options === null ? options : rest);
    this.#checkRefs(`the input of ${plan.name}`, input);
    const gates = after.map((ref) => this.refOf(`after of ${plan.name}`, ref));
    return this.#add({ kind: 'call', task: plan, input, after: gates, options: rest });
  }

  map<I, O>(task: Task<I, O>, inputs: unknown, options: MapOptions<I> = {}): Ref<O[]> {
    const plan = planOf(`${this.#name}: map`, task);
    checkTerms(plan.name, 'map', options as AnyOptions);
    if (!(inputs instanceof RefHandle) && !Array.isArray(inputs)) {
      throw new ShoalError(
        'SH1102',
        `${this.#name}: ${plan.name} is mapped over a reference to an array or an array, not over a ${typeof inputs}`,
      );
    }
    this.#checkRefs(`the inputs of ${plan.name}`, inputs);
    return this.#add({ kind: 'map', task: plan, inputs: inputs as RefHandle | unknown[], options: options as AnyOptions });
  }

  reduce<O>(combine: Task<O[], O>, items: Ref<O[]>, options: ReduceOptions = {}): Ref<O> {
    const plan = singlePlanOf(`${this.#name}: reduce`, combine);
    reduceTerms(plan.name, options);
    return this.#add({ kind: 'reduce', combine: plan, items: this.refOf(`what ${plan.name} combines`, items), options });
  }

  refOf(what: string, value: unknown): RefHandle {
    if (value instanceof RefHandle && value.graph === this) return value;
    const problem = value instanceof RefHandle ? 'is a reference of another graph' : 'is no reference';
    throw new ShoalError('SH1102', `${this.#name}: ${what} ${problem}`, { hint: 'use the input and what call, map and reduce return' });
  }

  #add<T>(node: GraphNode): Ref<T> {
    return asRef<T>(new RefHandle(this, this.nodes.push(node) - 1));
  }

  /** References anywhere in a value are this graph's own. */
  #checkRefs(what: string, value: unknown, above: readonly object[] = []): void {
    if (value instanceof RefHandle) this.refOf(what, value);
    else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !above.includes(value)) {
      for (const part of Object.values(value)) this.#checkRefs(what, part, [...above, value]);
    }
  }
}

/** Wrong options are told where they are written, not where the graph is first used. */
function checkTerms(who: string, place: 'call' | 'map', options: AnyOptions): void {
  checkOptionNames(who, place, options);
  stageTerms(who, mergeOptions(options));
}
