/**
 * Turns a plan into the stages of a job. Chains and graphs are inlined: what is left is a flat list of stages in
 * which each refers to earlier ones only.
 *
 * A *scope* is a set of stages whose tasks correspond by index: the job's inputs and everything called on each of
 * them. In the scope of one input (a graph that is run or submitted) there may also be maps, which open scopes of
 * their own; in the scope of many there may not, because arrays of arrays have no single index.
 */
import type { Codec } from '../codecs/codec.ts';
import { encodeTemplate, Hole } from '../codecs/template.ts';
import type { ArgSpec, JobSpec, StageSpec } from '../core/spec.ts';
import { ShoalError } from '../lib/errors.ts';
import { encodeAlone, nameInput } from './encoder.ts';
import { RefHandle } from './graph.ts';
import { identityPlan } from './identity.ts';
import { type AnyOptions, mergeOptions, reduceTerms, stageTerms } from './options.ts';
import type { GraphNode, GraphPlan, GraphRef, Plan, SinglePlan } from './plan.ts';
import type { ReduceOptions } from './types.ts';

/** Inputs that belong to the graph itself: a map over a list that is written in it. */
export interface FixedInputs {
  stage: number;
  frames: readonly Uint8Array[];
}

export interface BuiltSpec {
  stages: StageSpec[];
  output: JobSpec['output'];
  /** Encodes what is fed to stage 0. */
  inputCodec: Codec;
  /** Decodes the output. */
  outputCodec: Codec;
  fixed: readonly FixedInputs[];
}

/** `base`: the stage whose tasks give the scope its indices. */
interface Scope {
  base: number;
  isMany: boolean;
}

/** Options around a task's own: a graph's defaults below, what calls say above. */
interface Layers {
  under?: AnyOptions | undefined;
  over?: AnyOptions | undefined;
}

type Source = Pick<StageSpec, 'feed' | 'args' | 'template'>;
/** An input as the builder sees it: a result as it is, or a value with results in it. */
type Bound = ArgSpec | { template: string; args: ArgSpec[] };
/** Where the values of a graph's nodes are; index 0 is its input. */
type Places = ArgSpec[];

/** Values that no definition wrote are in the default codec. */
export const defaultCodecName = 'msgpack';

export interface Fold {
  combine: SinglePlan;
  options: ReduceOptions;
}

/** `isMany`: a map, with any number of inputs; else there is one. */
export function buildSpec(plan: Plan, over: AnyOptions | undefined, isMany: boolean, fold?: Fold): BuiltSpec {
  const builder = new SpecBuilder();
  let out = builder.root(plan, over, isMany);
  if (fold) out = builder.fold(fold, out.stage);
  return builder.finish(out, isMany);
}

/** Stages of a job that only combines values which the client has. */
export function buildFoldSpec(fold: Fold): BuiltSpec {
  const builder = new SpecBuilder();
  const base = builder.addInputs(fold.combine);
  return builder.finish(builder.fold(fold, base), true);
}

class SpecBuilder {
  readonly #stages: StageSpec[] = [];
  readonly #codecs: Codec[] = [];
  readonly #fixed: FixedInputs[] = [];

  root(plan: Plan, over: AnyOptions | undefined, isMany: boolean): ArgSpec {
    const scope = { base: 0, isMany };
    switch (plan.kind) {
      case 'single':
        return same(this.#task(plan, { feed: { kind: 'inputs' } }, { over }));
      case 'pipe': {
        const inner = mergeOptions(plan.options, over);
        const first = this.root(plan.first, inner, isMany);
        return this.#whole(scope, this.#inline(scope, plan.next, first, { over: inner }));
      }
      case 'graph':
        this.addInputs(identityPlan);
        return this.#whole(scope, this.#graph(scope, plan, same(0), { over }));
    }
  }

  /** A stage whose inputs are its results, for stages that read them with this task's codec. */
  addInputs(reader: SinglePlan): number {
    return this.#push({ feed: { kind: 'inputs' }, ...stageTerms(reader.name, {}) }, reader.definition().codec);
  }

  fold(fold: Fold, from: number): ArgSpec {
    const { name } = fold.combine;
    const stage = this.#task(fold.combine, { feed: { kind: 'fold', from, ...reduceTerms(name, fold.options) } }, {});
    return { stage, take: 'one', path: [] };
  }

  finish(out: ArgSpec, isMany: boolean): BuiltSpec {
    const isAll = out.take === 'all' || (out.take === 'same' && isMany);
    const base = this.#stages[0]!;
    if (base.definition === undefined && this.#isBaseForeign()) this.#stages[0] = { ...base, definition: identityPlan.definition().ref };
    return {
      stages: this.#stages,
      output: { stage: out.stage, take: isAll ? 'all' : 'one' },
      inputCodec: this.#codecs[0]!,
      outputCodec: this.#codecs[out.stage]!,
      fixed: this.#fixed,
    };
  }

  /** Does a task with another codec take what is in stage 0? Then somebody has to have written it whose codec is known. */
  #isBaseForeign(): boolean {
    if (this.#codecs[0]!.name !== defaultCodecName) return false;
    return this.#stages.some(({ feed, args }, index) => {
      const takesBase = (feed.kind !== 'inputs' && feed.from === 0) || args?.some((arg) => arg.stage === 0);
      return takesBase && this.#codecs[index]!.name !== defaultCodecName;
    });
  }

  #inline(scope: Scope, plan: Plan, input: Bound, layers: Layers, after: readonly number[] = []): ArgSpec {
    switch (plan.kind) {
      case 'single':
        return same(this.#task(plan, sourceOf(scope, input), layers, after));
      case 'pipe': {
        const inner = { under: layers.under, over: mergeOptions(plan.options, layers.over) };
        return this.#inline(scope, plan.next, this.#inline(scope, plan.first, input, inner, after), inner);
      }
      case 'graph': {
        // Each of its calls may use the input, so it has to be somewhere.
        const place = 'template' in input ? this.#inline(scope, identityPlan, input, {}, after) : input;
        return this.#graph(scope, plan, place, layers, after);
      }
    }
  }

  #graph(scope: Scope, plan: GraphPlan, input: ArgSpec, layers: Layers, after: readonly number[] = []): ArgSpec {
    const inner = { under: mergeOptions(layers.under, plan.defaults), over: mergeOptions(plan.options, layers.over) };
    const places: Places = [input];
    for (const node of plan.nodes) {
      if (scope.isMany && node.kind !== 'call') {
        throw new ShoalError('SH1103', `${plan.name} can't be mapped: it has a ${node.kind} inside`, {
          why: 'each of its inputs would be an array of tasks by itself',
          hint: `submit it for each input: for (const input of inputs) await ${plan.name}.submit(input)`,
        });
      }
      places.push(this.#node(scope, plan.name, node, places, inner, after));
    }
    return placeOf(places, plan.output);
  }

  #node(scope: Scope, graph: string, node: GraphNode, places: Places, layers: Layers, after: readonly number[]): ArgSpec {
    switch (node.kind) {
      case 'call': {
        const input = bind(`${graph}: the input of ${node.task.name}`, node.input, places);
        const gates = [...after, ...node.after.map((ref) => placeOf(places, ref).stage)];
        return this.#inline(scope, node.task, input, { under: layers.under, over: mergeOptions(node.options, layers.over) }, gates);
      }
      case 'map': {
        const source = this.#elements(scope, graph, node.task, node.inputs, places);
        const stage = this.#overElements(node.task, source, { under: layers.under, over: mergeOptions(node.options, layers.over) }, after);
        return { stage, take: 'all', path: [] };
      }
      case 'reduce': {
        const source = this.#elements(scope, graph, node.combine, node.items, places);
        const from = source.feed.kind === 'each' ? source.feed.from : this.#task(identityPlan, source, {}, after);
        return this.fold(node, from);
      }
    }
  }

  /** One task per element of the source; gives the stage of the results. */
  #overElements(plan: Plan, source: Source, layers: Layers, after: readonly number[]): number {
    switch (plan.kind) {
      case 'single':
        return this.#task(plan, source, layers, after);
      case 'pipe': {
        const inner = { under: layers.under, over: mergeOptions(plan.options, layers.over) };
        const base = this.#overElements(plan.first, source, inner, after);
        const scope = { base, isMany: true };
        return this.#whole(scope, this.#inline(scope, plan.next, same(base), inner)).stage;
      }
      case 'graph': {
        const base = source.feed.kind === 'each' ? source.feed.from : this.#task(identityPlan, source, {}, after);
        const scope = { base, isMany: true };
        return this.#whole(scope, this.#graph(scope, plan, same(base), layers, after)).stage;
      }
    }
  }

  #elements(scope: Scope, graph: string, task: Plan, inputs: GraphRef | readonly unknown[], places: Places): Source {
    if (!('node' in inputs)) return this.#fixedInputs(graph, task, inputs, places);
    const place = placeOf(places, inputs);
    if (place.take === 'all' && place.path.length === 0) return { feed: { kind: 'each', from: place.stage } };
    // Only a task's whole result can be cut into elements on its way.
    const isResult = isWholeSame(place) && this.#stages[place.stage]!.definition !== undefined;
    const from = isResult ? place.stage : this.#inline(scope, identityPlan, place, {}).stage;
    return { feed: { kind: 'spread', from } };
  }

  #fixedInputs(graph: string, task: Plan, inputs: readonly unknown[], places: Places): Source {
    const args: ArgSpec[] = [];
    const values = inputs.map((input) => replaceRefs(input, places, args));
    const who = `${graph}: ${task.name}`;
    const { codec } = headOf(task).definition();
    // The source that is returned becomes the next stage.
    this.#fixed.push({
      stage: this.#stages.length,
      frames: values.map((value, index) => (args.length === 0 ? encodeAlone(codec, value, who, index) : template(who, value, index))),
    });
    // The tasks of the list don't correspond to those of the scope by index.
    const shared = args.map((arg): ArgSpec => (arg.take === 'same' ? { ...arg, take: 'one' } : arg));
    return { feed: { kind: 'inputs' }, ...(shared.length > 0 && { args: shared }) };
  }

  /** A job's output, or what a later scope stands on, is a whole result of a task. */
  #whole(scope: Scope, out: ArgSpec): ArgSpec {
    const isWhole = out.path.length === 0 && this.#stages[out.stage]!.definition !== undefined;
    return isWhole ? out : this.#inline(scope, identityPlan, out, {});
  }

  #task(plan: SinglePlan, source: Source, { under, over }: Layers, after: readonly number[] = []): number {
    const { ref, codec } = plan.definition();
    const terms = stageTerms(plan.name, mergeOptions(under, plan.options, over));
    return this.#push({ definition: ref, ...source, ...(after.length > 0 && { after: [...new Set(after)] }), ...terms }, codec);
  }

  #push(stage: StageSpec, codec: Codec): number {
    this.#codecs.push(codec);
    return this.#stages.push(stage) - 1;
  }
}

/** The task that takes a plan's inputs. */
function headOf(plan: Plan): SinglePlan {
  if (plan.kind === 'pipe') return headOf(plan.first);
  return plan.kind === 'single' ? plan : identityPlan;
}

function same(stage: number): ArgSpec {
  return { stage, take: 'same', path: [] };
}

function isWholeSame(place: ArgSpec): boolean {
  return place.take === 'same' && place.path.length === 0;
}

function placeOf(places: Places, ref: GraphRef): ArgSpec {
  const place = places[ref.node + 1]!;
  return ref.path.length === 0 ? place : { ...place, path: [...place.path, ...ref.path] };
}

function sourceOf(scope: Scope, input: Bound): Source {
  const from = scope.base;
  if ('template' in input) return { feed: { kind: 'each', from }, ...input };
  if (isWholeSame(input)) return { feed: { kind: 'each', from: input.stage } };
  return { feed: { kind: 'each', from }, args: [input], template: base64(encodeTemplate(new Hole(0))) };
}

function bind(who: string, value: unknown, places: Places): Bound {
  if (value instanceof RefHandle) return placeOf(places, value);
  const args: ArgSpec[] = [];
  const filled = replaceRefs(value, places, args);
  return { template: base64(template(who, filled)), args };
}

function template(who: string, value: unknown, index?: number): Uint8Array {
  try {
    return encodeTemplate(value);
  } catch (error) {
    throw nameInput(error, who, index);
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** A copy with numbered holes where the value has references; parts without any stay what they are. */
function replaceRefs(value: unknown, places: Places, args: ArgSpec[], above: readonly object[] = []): unknown {
  if (value instanceof RefHandle) return new Hole(args.push(placeOf(places, value)) - 1);
  if (typeof value !== 'object' || value === null || above.includes(value)) return value;
  const path = [...above, value];
  if (Array.isArray(value)) {
    const parts = value.map((part) => replaceRefs(part, places, args, path));
    return parts.some((part, index) => part !== value[index]) ? parts : value;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).map(([name, part]) => [name, replaceRefs(part, places, args, path)] as const);
  return entries.some(([name, part]) => part !== (value as Record<string, unknown>)[name]) ? Object.fromEntries(entries) : value;
}
