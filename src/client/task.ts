/** The typed face of tasks: what users define, run, map and put together. */
import { pathToFileURL } from 'node:url';
import type { Codec } from '../codecs/codec.ts';
import { msgpackCodec } from '../codecs/msgpack.ts';
import { codecNamed } from '../codecs/named.ts';
import { ShoalError } from '../lib/errors.ts';
import type { TaskContext } from '../tasks/context.ts';
import { type Definition, findDefinition, registerDefinition } from '../tasks/definition.ts';
import { type ClusterHandle, clusterHandleOf, defaultCluster } from './cluster.ts';
import type { ReadAlong } from './connection.ts';
import { encodeAlone } from './encoder.ts';
import { recordGraph } from './graph.ts';
import { OpenedJob, oneValue, readResult } from './job.ts';
import { MapHandle } from './map-job.ts';
import { callerUrl } from './module-url.ts';
import {
  type AnyOptions,
  checkOptionNames,
  type JobTerms,
  jobTerms,
  keepMsNormal,
  mergeOptions,
  optionError,
  stageTerms,
} from './options.ts';
import { type Plan, Planned, planOf, type SinglePlan } from './plan.ts';
import { type BuiltSpec, buildSpec } from './spec-builder.ts';
import { automaticKey, feedFrames, type OpenJob, openJob, refuseInsideTask } from './submission.ts';
import type { AnySchema, Cluster, Def, GraphBuilder, InOf, Job, MapJob, MapOptions, OutOf, Ref, Task, TaskOptions } from './types.ts';

interface Prepared {
  built: BuiltSpec;
  terms: JobTerms;
  signal: AbortSignal | undefined;
  /** The caller said how long the job is to be kept. */
  isKept: boolean;
}

class TaskHandle<I, O> extends Planned {
  readonly #plan: Plan;
  readonly #cluster: ClusterHandle | undefined;
  /** What a run without options needs, made once. */
  #built: BuiltSpec | undefined;
  #options: AnyOptions | undefined;

  constructor(plan: Plan, cluster?: ClusterHandle) {
    super(plan);
    this.#plan = plan;
    this.#cluster = cluster;
  }

  get name(): string {
    return this.#plan.name;
  }

  async run(input?: unknown, options?: TaskOptions): Promise<O> {
    // Its result is handed out here and now; nobody comes back for it, unless by a key.
    const prepared = this.#prepare(options, options?.idempotencyKey === undefined ? 0 : keepMsNormal);
    const { built, signal } = prepared;
    const { take } = built.output;
    const abortReason = (): unknown => signal?.reason;
    // Not where more inputs follow: they wait for the answer, which would wait for a result.
    const goesAlong = take === 'one' && built.fixed.length === 0;
    const one = goesAlong ? oneValue(() => opening, built.outputCodec, abortReason) : undefined;
    const opening = this.#start(input, prepared, one);
    const job = await opening;
    const unlink = cancelOnAbort(job, signal);
    try {
      const value = one && !job.isKeyed ? one.value : readResult(job, take, built.outputCodec, abortReason);
      return (await value) as O;
    } finally {
      unlink?.();
      job.cluster.ended(job.id);
    }
  }

  async submit(input?: unknown, options?: TaskOptions): Promise<Job<O>> {
    const prepared = this.#prepare(options, keepMsNormal);
    const job = await this.#start(input, prepared);
    const { built, signal, isKept } = prepared;
    const unlink = cancelOnAbort(job, signal);
    const handle = new OpenedJob<O>(job, built.output.take, built.outputCodec, () => signal?.reason);
    const ended = () => {
      unlink?.();
      job.cluster.ended(job.id);
      if (!job.isKeyed && !isKept) job.cluster.releaseWith(handle, job.id);
    };
    job.connection.ended(job.id).then(ended, ended);
    return handle;
  }

  map(inputs: Iterable<unknown> | AsyncIterable<unknown>, options: MapOptions<I> = {}): MapJob<I, O> {
    const over = options as AnyOptions;
    checkOptionNames(this.name, 'map', over);
    const cluster = this.#cluster ?? defaultCluster();
    return new MapHandle<I, O>({ cluster, plan: this.#plan, over, options: mergeOptions(ownOptions(this.#plan), over) }, inputs);
  }

  pipe<P>(next: Task<O, P>): Task<I, P> {
    const plan = planOf(`${this.name}: pipe`, next);
    return asTask<I, P>({ kind: 'pipe', name: `${this.name}|${plan.name}`, first: this.#plan, next: plan, options: {} }, this.#cluster);
  }

  with(options: TaskOptions): Task<I, O> {
    checkOptionNames(this.name, 'call', options);
    const merged = mergeOptions(this.#plan.options, options);
    stageTerms(this.name, merged);
    jobTerms(this.name, merged);
    return asTask<I, O>({ ...this.#plan, options: merged }, this.#cluster);
  }

  on(cluster: Cluster): Task<I, O> {
    return asTask<I, O>(this.#plan, clusterHandleOf(this.name, cluster));
  }

  #prepare(options: TaskOptions | undefined, keepMsDefault: number): Prepared {
    refuseInsideTask(this.name);
    if (options === undefined) {
      this.#options ??= ownOptions(this.#plan);
      const { signal, keepResults } = this.#options;
      signal?.throwIfAborted();
      const terms = jobTerms(this.name, this.#options, keepMsDefault);
      const built = this.#built ?? buildSpec(this.#plan, undefined, false);
      if (isFixed(this.#plan)) this.#built = built;
      return { built, terms, signal, isKept: keepResults !== undefined };
    }
    checkOptionNames(this.name, 'call', options);
    const merged = mergeOptions(ownOptions(this.#plan), options);
    const { signal } = merged;
    const terms = jobTerms(this.name, merged, keepMsDefault);
    signal?.throwIfAborted();
    return { built: buildSpec(this.#plan, options, false), terms, signal, isKept: merged.keepResults !== undefined };
  }

  /** `along`: reads it from the start, unless it has a key. */
  async #start(input: unknown, { built, terms }: Prepared, along?: ReadAlong): Promise<OpenJob> {
    const cluster = this.#cluster ?? defaultCluster();
    const frame = encodeAlone(built.inputCodec, input, this.name);
    const autoKey = automaticKey(cluster, this.name, terms, frame);
    // A keyed job may be there already, with other inputs or with these: then they are compared first.
    const goesAlong = autoKey === undefined && terms.key === undefined;
    const job = await openJob(cluster, this.name, built, terms, autoKey, goesAlong ? { input: frame, reader: along } : undefined);
    if (!goesAlong) feedFrames(job, 0, [frame]);
    for (const { stage, frames } of built.fixed) feedFrames(job, stage, frames);
    return job;
  }
}

/** The run-time face takes any arguments; the types that users see are stricter. */
function asTask<I, O>(plan: Plan, cluster?: ClusterHandle): Task<I, O> {
  return new TaskHandle<I, O>(plan, cluster) as unknown as Task<I, O>;
}

function ownOptions(plan: Plan): AnyOptions {
  return plan.kind === 'graph' ? mergeOptions(plan.defaults, plan.options) : plan.options;
}

/** A plan whose stages can't change any more: no reference by name in it that may come to a definition later. */
function isFixed(plan: Plan): boolean {
  return plan.kind === 'single' && findDefinition(plan.name) !== undefined;
}

function cancelOnAbort({ connection, id }: OpenJob, signal: AbortSignal | undefined): (() => void) | undefined {
  if (!signal) return undefined;
  const onAbort = () => {
    // A connection that is gone tells whoever reads; there is nobody to tell here.
    connection.request({ kind: 'cancel', job: id, reason: 'the signal of the caller was aborted' }).catch(() => undefined);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return () => signal.removeEventListener('abort', onAbort);
}

/**
 * Defines a task: a named function that workers run. The module that calls `task` is loaded by every worker thread, so
 * what starts work belongs into `main()`.
 *
 * `input`: a Standard Schema (zod, valibot, …) that checks and converts inputs on the worker. Throws SH1101 if another
 * module uses the name (where the same one does, its use throws), SH1102 for options that mean nothing.
 */
export function task<S extends AnySchema, O>(
  def: Def & { input: S; run: (input: OutOf<S>, ctx: TaskContext) => O },
): Task<InOf<S>, Awaited<O>>;
export function task<I, O>(def: Def & { input?: undefined; run: (input: I, ctx: TaskContext) => O }): Task<I, Awaited<O>>;
export function task<I, O>(name: string, run: (input: I, ctx: TaskContext) => O, options?: Omit<Def, 'name'>): Task<I, Awaited<O>>;
export function task(
  nameOrDef: string | (Def & { input?: AnySchema | undefined; run: Definition['run'] }),
  fn?: Definition['run'],
  given: Omit<Def, 'name'> = {},
): unknown {
  const { name, run, input, ...rest } =
    typeof nameOrDef === 'string' ? { ...given, name: nameOrDef, run: fn, input: undefined } : { ...nameOrDef };
  checkName(name);
  if (typeof run !== 'function') throw optionError(name, 'run', run, 'the function that workers run');
  if (input !== undefined && typeof (input as AnySchema | null)?.['~standard']?.validate !== 'function') {
    throw optionError(name, 'input', input, 'a Standard Schema: zod 4, valibot, arktype or one of your own');
  }
  const { options, retryIf } = splitRetryIf(name, rest);
  checkOptionNames(name, 'definition', Object(given) === given ? options : given);
  stageTerms(name, options);
  jobTerms(name, options);
  const definition: Definition = {
    name,
    module: rest.module === undefined ? callerUrl(task) : moduleUrl(name, rest.module),
    run,
    schema: input,
    codec: codecOption(name, rest.codec),
    retryIf,
  };
  registerDefinition(definition);
  const only = (): Definition => {
    refuseTwin(definition);
    return definition;
  };
  return asTask({ kind: 'single', name, definition: () => referTo(only()), options });
}

/** Workers find a function by its name: of two in one module they would run the last one for both. One that was loaded again is the same. */
function refuseTwin({ name, run }: Definition): void {
  const found = findDefinition(name);
  if (found === undefined || found.run === run || String(found.run) === String(run)) return;
  throw new ShoalError('SH1101', `the task name "${name}" is used twice`, {
    why: 'this program defines two functions of that name, and workers would run the last one for both',
    hint: 'give one of them another name',
  });
}

/**
 * A task by its name, for programs that call it without loading its code: `taskRef<typeof resize>('images.resize')`
 * with `import type`. Where it runs somebody must have the code.
 */
// biome-ignore lint/suspicious/noExplicitAny: any task
export function taskRef<T extends Task<any, any>>(name: string): T {
  checkName(name);
  const definition: SinglePlan['definition'] = () => {
    const known = findDefinition(name);
    return known ? referTo(known) : { ref: { name }, codec: msgpackCodec };
  };
  return asTask({ kind: 'single', name, definition, options: {} }) as unknown as T;
}

/**
 * A task that is a graph of tasks. `build` is called once, now, and says what depends on what; running the graph is one
 * job. Options are defaults for its tasks. Throws SH1102 where references are mixed up.
 */
export function dag<I, O>(name: string, build: (g: GraphBuilder, input: Ref<I>) => Ref<O>, options: Omit<Def, 'name'> = {}): Task<I, O> {
  checkName(name);
  if (typeof build !== 'function') throw optionError(name, 'build', build, 'a function of builder and input');
  checkOptionNames(name, 'definition', options);
  const split = splitRetryIf(name, options);
  if (split.retryIf) throw optionError(name, 'retries.retryIf', 'a function', 'given with the task whose failures it judges');
  stageTerms(name, split.options);
  jobTerms(name, split.options);
  return asTask<I, O>(recordGraph(name, build, split.options));
}

function referTo({ name, module, codec }: Definition): ReturnType<SinglePlan['definition']> {
  return { ref: module === undefined ? { name } : { name, module }, codec };
}

function checkName(name: unknown): asserts name is string {
  if (typeof name === 'string' && /^\P{Cc}{1,200}$/u.test(name)) return;
  throw optionError('task', 'name', name, 'a text of 1 to 200 characters, like images.resize');
}

/** `retryIf` stays with the code; the rest of the policy goes into the spec. */
function splitRetryIf(name: string, options: Omit<Def, 'name'>): { options: AnyOptions; retryIf: Definition['retryIf'] } {
  const { retries } = options;
  if (typeof retries !== 'object' || retries === null || !('retryIf' in retries))
    return { options: options as AnyOptions, retryIf: undefined };
  const { retryIf, ...policy } = retries;
  if (retryIf !== undefined && typeof retryIf !== 'function')
    throw optionError(name, 'retries.retryIf', retryIf, 'a function of error and attempt');
  return { options: { ...options, retries: policy } as AnyOptions, retryIf };
}

function moduleUrl(name: string, module: string | URL): string {
  const text = String(module);
  if (URL.canParse(text)) return text;
  if (text.startsWith('/')) return pathToFileURL(text).href;
  throw optionError(name, 'module', text, 'a URL or an absolute path, like import.meta.url');
}

function codecOption(name: string, codec: Def['codec']): Codec {
  const named = codecNamed(codec);
  if (named) return named;
  if (typeof codec === 'object' && codec !== null && typeof codec.encode === 'function' && typeof codec.decode === 'function') return codec;
  throw optionError(name, 'codec', codec, "'msgpack', 'json' or a Codec");
}
