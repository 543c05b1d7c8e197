/**
 * The job of a `map`. It opens in the next microtask, so that a `reduce` in the same turn becomes part of it; then the
 * feeder sends inputs while readers read.
 *
 * What ends it from this side (an input that cannot travel, an iterator that throws, the caller's signal) is kept as
 * `#problem`, cancels the job, and is what every reader gets in place of the cancellation.
 */
import type { JobView } from '../core/answers.ts';
import { ShoalError } from '../lib/errors.ts';
import type { ClusterHandle } from './cluster.ts';
import type { Codecs, DeliveryCursor } from './delivery.ts';
import { Feeder } from './feeder.ts';
import { type InputSource, inputSource } from './input-source.ts';
import { JobHandle, readResult, throwIfUnsuccessful } from './job.ts';
import { type AnyOptions, type JobTerms, jobTerms, type MapTerms, mapTerms } from './options.ts';
import { type Plan, singlePlanOf } from './plan.ts';
import { ProgressMeter, startDrawing } from './progress.ts';
import { nothing, openedLater, ResultStream } from './result-stream.ts';
import { settledItems } from './settled.ts';
import { type BuiltSpec, buildFoldSpec, buildSpec, type Fold } from './spec-builder.ts';
import { automaticKey, type OpenJob, openJob, refuseInsideTask } from './submission.ts';
import { isStopped, TaskError } from './task-error.ts';
import type { MapJob, Progress, ReduceOptions, Settled, Task } from './types.ts';

export interface MapRequest {
  cluster: ClusterHandle;
  plan: Plan;
  /** Options of the call, over those of the task. */
  over: AnyOptions;
  /** All options that concern the job as a whole. */
  options: AnyOptions;
}

export class MapHandle<I, O> extends JobHandle<O[]> implements MapJob<I, O> {
  readonly #request: MapRequest;
  readonly #inputs: Iterable<unknown> | AsyncIterable<unknown>;
  readonly #source: InputSource;
  readonly #terms: JobTerms;
  readonly #map: MapTerms;
  readonly #autoKey: string | undefined;
  readonly #opening: Promise<OpenJob>;
  #opened: OpenJob | undefined;
  #built: BuiltSpec | undefined;
  #feeder: Feeder | undefined;
  #fold: Fold | undefined;
  #problem: { error: unknown } | undefined;
  /** Somebody wants the results one by one, so a later reduce is a job of its own. */
  #isRead = false;
  /** Somebody hears how it ends. */
  #isAsked = false;
  #drawing: Promise<void> = Promise.resolve();
  #feeding: Promise<void> = Promise.resolve();
  /** Inputs of tasks whose outcome is still to come, where `settled()` will tell them. */
  #retained: Map<number, unknown> | undefined;
  #isRetainedTaken = false;
  #labels: Map<number, string> | undefined;

  constructor(request: MapRequest, inputs: Iterable<unknown> | AsyncIterable<unknown>) {
    super(request.plan.name);
    const { plan, options, cluster } = request;
    refuseInsideTask(plan.name);
    this.#request = request;
    this.#inputs = inputs;
    this.#terms = jobTerms(plan.name, options);
    this.#map = mapTerms(plan.name, options);
    options.signal?.throwIfAborted();
    this.#source = inputSource(plan.name, inputs);
    this.#autoKey = automaticKey(cluster, plan.name, this.#terms);
    this.#opening = Promise.resolve().then(() => this.#open());
    // Whoever reads is told; a job that nobody reads must not end the process.
    this.#opening.catch((error: unknown) => this.#left(error));
  }

  /** It has an error that may never be asked for; what its caller has called off is none. */
  #left(error: unknown): void {
    const { cluster, options } = this.#request;
    const isCalledOff = options.signal?.aborted === true || (error as { code?: unknown } | undefined)?.code === 'SH2005';
    if (!this.#isAsked && !isCalledOff) cluster.unread.failed(this, this.who, error);
  }

  #asked(): void {
    this.#isAsked = true;
    this.#request.cluster.unread.read(this);
  }

  [Symbol.asyncIterator](): AsyncIterator<O> {
    this.#refuseReduced();
    this.#asked();
    return openedLater(async () => this.#stream(await this.#opening));
  }

  toArray(): Promise<O[]> {
    return this.result();
  }

  override result(options: Parameters<JobHandle<O[]>['result']>[0] = {}): Promise<O[]> {
    try {
      this.#refuseReduced();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#asked();
    return super.result(options);
  }

  settled(): AsyncIterable<Settled<I, O>> {
    this.#refuseReduced();
    this.#asked();
    if (!this.#feeder && !Array.isArray(this.#inputs)) this.#retained ??= new Map();
    return openedLater(async () => this.#settledStream(await this.#opening));
  }

  async reduce(combine: Task<O[], O>, options: ReduceOptions = {}): Promise<O> {
    const plan = singlePlanOf(`${this.who}: reduce`, combine);
    if (this.#fold) this.#refuseReduced();
    this.#asked();
    const fold = { combine: plan, options };
    if (!this.#built && !this.#isRead) {
      this.#fold = fold;
      const job = await this.#opening;
      return (await this.#readFold(job)) as O;
    }
    return this.#reduceApart(fold);
  }

  async done(): Promise<Progress> {
    this.#asked();
    const job = await this.#opening;
    const view = await job.connection.ended(job.id);
    await this.#drawing;
    await this.#throwProblem(job);
    return new ProgressMeter().of(view);
  }

  protected override get openJob(): OpenJob | undefined {
    return this.#opened;
  }

  protected override opened(): Promise<OpenJob> {
    return this.#opening;
  }

  protected override async read(job: OpenJob): Promise<O[]> {
    const values = await readResult(job, 'all', this.#codecs.output, () => this.#problem?.error, this.#label);
    await this.#throwConflict(job);
    await this.#drawing;
    return values as O[];
  }

  async #open(): Promise<OpenJob> {
    const { cluster, plan, over, options } = this.#request;
    try {
      this.#built = buildSpec(plan, over, true, this.#fold);
      const job = await openJob(cluster, plan.name, this.#built, this.#terms, this.#autoKey);
      this.#feeder = this.#newFeeder(job, this.#built);
      await this.#feeder.verify().catch((error: unknown) => {
        // Not our job: it stays as it is.
        this.#source.close();
        throw error;
      });
      this.#opened = job;
      this.#watch(job, options.signal);
      return job;
    } catch (error) {
      this.#source.close();
      throw error;
    }
  }

  #newFeeder(job: OpenJob, built: BuiltSpec): Feeder {
    const { label, inFlightMax } = this.#map;
    const isArray = Array.isArray(this.#inputs);
    if (label && !isArray) this.#labels = new Map();
    const sees = this.#labels ?? this.#retained;
    return new Feeder({
      connection: job.connection,
      job: job.id,
      stage: 0,
      who: this.who,
      codec: built.inputCodec,
      source: this.#source,
      inFlightMax,
      known: job.isDeduplicated ? job.stages.find(({ stage }) => stage === 0) : undefined,
      isKeyed: job.isKeyed,
      onConflict: (error) => job.conflict?.found(error),
      onInput: sees && ((input, index) => this.#remember(input, index)),
    });
  }

  #remember(input: unknown, index: number): void {
    this.#retained?.set(index, input);
    if (this.#labels) this.#labels.set(index, this.#map.label!(input, index));
  }

  /** Feeds, and sees to it that feeding and job end together. */
  #watch(job: OpenJob, signal: AbortSignal | undefined): void {
    const { connection, id } = job;
    const feeder = this.#feeder!;
    this.#drawing = startDrawing(connection, id, this.who, this.#map.progressTitle);
    const onAbort = () => this.#fail(job, signal?.reason, 'the signal of the caller was aborted');
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const ended = (view?: JobView) => {
      if (job.isKeyed && view?.state === 'succeeded') feeder.letGo();
      else feeder.stop();
      signal?.removeEventListener('abort', onAbort);
      job.cluster.ended(id);
      if (!job.isKeyed && this.#request.options.keepResults === undefined) job.cluster.releaseWith(this, id);
    };
    connection.ended(id).then(
      (view) => {
        ended(view);
        if (!this.#isAsked) this.#throwProblem(job).catch((error: unknown) => this.#left(error));
      },
      (error: unknown) => {
        ended();
        // Elsewhere the job goes on without this process.
        if (!job.cluster.isRemote && !job.cluster.wasViewed(id)) this.#left(error);
      },
    );
    this.#feeding = feeder.feed().catch((error: unknown) => this.#fail(job, error, `its inputs ended with an error: ${String(error)}`));
  }

  #fail(job: OpenJob, error: unknown, reason: string): void {
    this.#problem ??= { error };
    this.#feeder?.stop();
    // If the connection is gone as well, the readers are told that.
    job.connection.request({ kind: 'cancel', job: job.id, reason }).catch(() => undefined);
  }

  /** A job that another has fed to its end has results before all inputs that were given here were held against its own (A02). */
  async #compared(job: OpenJob): Promise<void> {
    if (!job.isKeyed) return;
    const view = await job.connection.ended(job.id).catch(() => undefined);
    if (view?.state !== 'succeeded') return;
    this.#feeder!.letGo();
    await this.#feeding;
  }

  /** Where the job may be gone with its last reader. */
  async #throwConflict(job: OpenJob): Promise<void> {
    if (!job.conflict) return;
    await this.#compared(job);
    // Its answer comes behind what there was to say of the inputs.
    await job.connection.request({ kind: 'query', job: job.id }).catch(() => undefined);
    if (job.conflict.error) throw job.conflict.error;
  }

  get #codecs(): Codecs {
    return { output: this.#built!.outputCodec, input: this.#built!.inputCodec };
  }

  /** Throws why the job has no (complete) result. */
  async #throwProblem(job: OpenJob): Promise<void> {
    await this.#compared(job);
    return throwIfUnsuccessful(job, () => this.#problem?.error, this.#label);
  }

  readonly #label = (index: number): string | undefined => {
    const { label } = this.#map;
    if (!label) return undefined;
    if (!Array.isArray(this.#inputs)) return this.#labels?.get(index);
    return index < this.#inputs.length ? label(this.#inputs[index], index) : undefined;
  };

  #stream(job: OpenJob): ResultStream<O> {
    this.#isRead = true;
    const stream = new ResultStream<O>({
      connection: job.connection,
      job: job.id,
      codecs: this.#codecs,
      order: this.#map.order,
      inputs: false,
      value: (cursor) => {
        this.#labels?.delete(cursor.index);
        return cursor.value() as O;
      },
      failure: (cursor) => this.#throwIfFatal(job, cursor),
      rest: async () => {
        await this.#drawing;
        await this.#throwProblem(job);
        return [];
      },
      taken: (count) => this.#feeder?.taken(count),
    });
    job.conflict?.watch((error) => stream.fail(error));
    return stream;
  }

  /** A failure that the job tolerates gives no item; any other is the end of the results. */
  async #throwIfFatal(job: OpenJob, cursor: DeliveryCursor): Promise<typeof nothing> {
    const failure = cursor.failure!;
    const tolerated = this.#request.options.maxFailures ?? 0;
    const isNone = tolerated === 0 || tolerated === '0%';
    if (!isNone && !isStopped(failure)) return nothing;
    // Of several failures the job names the one that ended it.
    await this.#throwProblem(job);
    if (isNone) throw new TaskError(job.id, failure, this.#label(failure.index));
    return nothing;
  }

  #settledStream(job: OpenJob): ResultStream<Settled<I, O>> {
    this.#isRead = true;
    // Each is let go of as it is told: they are the first stream's, and any other one is sent them with the results.
    const retained = this.#isRetainedTaken ? undefined : this.#retained;
    this.#isRetainedTaken = true;
    const stream = settledItems<I, O>({
      job,
      codecs: this.#codecs,
      order: this.#map.order,
      inputs: Array.isArray(this.#inputs) ? this.#inputs : undefined,
      retained,
      label: this.#label,
      isComplete: () => this.#feeder?.isComplete === true,
      end: async () => {
        await this.#drawing;
        await this.#compared(job);
        if (this.#problem) throw this.#problem.error;
        const view = await job.connection.request<JobView>({ kind: 'query', job: job.id });
        if (job.conflict?.error) throw job.conflict.error;
        return view;
      },
      taken: (count) => {
        if (count === undefined && retained) this.#retained = undefined;
        this.#feeder?.taken(count);
      },
    });
    job.conflict?.watch((error) => stream.fail(error));
    return stream;
  }

  async #readFold(job: OpenJob): Promise<unknown> {
    const value = await readResult(job, 'one', this.#codecs.output, () => this.#problem?.error, this.#label);
    await this.#throwConflict(job);
    await this.#drawing;
    return value;
  }

  /** The results are fetched by readers already: they are combined by another job, fed with them. */
  async #reduceApart(fold: Fold): Promise<O> {
    const { cluster } = this.#request;
    const values = await this.toArray();
    const built = buildFoldSpec(fold);
    const { key: _key, delayMs: _delayMs, ...terms } = this.#terms;
    const job = await openJob(cluster, fold.combine.name, built, { ...terms, keepMs: 0 });
    const feeder = new Feeder({
      connection: job.connection,
      job: job.id,
      stage: 0,
      who: fold.combine.name,
      codec: built.inputCodec,
      source: inputSource(fold.combine.name, values),
      inFlightMax: this.#map.inFlightMax,
      isKeyed: false,
    });
    const read = readResult(job, 'one', built.outputCodec, () => undefined);
    const stop = () => feeder.stop();
    read.then(stop, stop);
    const [value] = await Promise.all([read, feeder.feed()]);
    job.cluster.ended(job.id);
    return value as O;
  }

  #refuseReduced(): void {
    if (!this.#fold) return;
    throw new ShoalError('SH1106', `${this.who}: the results of this map go into its reduce and are not kept apart`, {
      hint: 'call map() again for the results themselves, or read them first and reduce then',
    });
  }
}
