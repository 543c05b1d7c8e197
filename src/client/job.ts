/**
 * Handles of jobs. What all kinds share is here: watching, cancelling, logs, replay, waiting with a limit. A handle
 * remembers its result, so that asking twice reads once.
 */
import type { Codec } from '../codecs/codec.ts';
import type { JobState, JobView, ReplayReply } from '../core/answers.ts';
import type { LogLine } from '../core/messages.ts';
import type { JobSpec } from '../core/spec.ts';
import { ShoalError } from '../lib/errors.ts';
import { collectAll, OneValue, readOne } from './collect.ts';
import type { Connection } from './connection.ts';
import { durationOption, refuseUnknown, signalOption } from './options.ts';
import { jobViews, ProgressMeter } from './progress.ts';
import type { OpenJob } from './submission.ts';
import { jobError, TaskError } from './task-error.ts';
import type { Duration, Job, Progress } from './types.ts';

export abstract class JobHandle<O> implements Job<O> {
  protected readonly who: string;
  #result: Promise<O> | undefined;

  constructor(who: string) {
    this.who = who;
  }

  /** The job once it is open; a rejection is why it could not be opened. */
  protected abstract opened(): Promise<OpenJob>;
  /** Reads the result anew. */
  protected abstract read(job: OpenJob): Promise<O>;
  protected abstract get openJob(): OpenJob | undefined;

  get id(): string {
    return this.#known('id').id;
  }

  get url(): string | undefined {
    return undefined;
  }

  get deduplicated(): boolean {
    return this.#known('deduplicated').isDeduplicated;
  }

  result(options: { signal?: AbortSignal; timeout?: Duration } = {}): Promise<O> {
    try {
      refuseUnknown(this.who, ' of result()', ['signal', 'timeout'], options);
      signalOption(this.who, options.signal);
      if (options.timeout !== undefined) durationOption(this.who, 'timeout', options.timeout, 0);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#result ??= this.opened().then((job) => this.read(job));
    return this.within(this.#result, options);
  }

  async cancel(reason = 'cancelled by the caller'): Promise<void> {
    const { connection, id } = await this.opened();
    await connection.request({ kind: 'cancel', job: id, reason });
  }

  async state(): Promise<JobState> {
    const { connection, id } = await this.opened();
    return (await connection.request<JobView>({ kind: 'query', job: id })).state;
  }

  async *progress(options: { every?: Duration } = {}): AsyncGenerator<Progress> {
    refuseUnknown(this.who, ' of progress()', ['every'], options);
    const everyMs = options.every === undefined ? 500 : durationOption(this.who, 'every', options.every, 1);
    const { connection, id } = await this.opened();
    const meter = new ProgressMeter();
    for await (const view of jobViews(connection, id, everyMs)) yield meter.of(view);
  }

  async *logs(
    options: { follow?: boolean; since?: Duration } = {},
  ): AsyncGenerator<{ time: Date; task: string; level: string; message: string }> {
    refuseUnknown(this.who, ' of logs()', ['follow', 'since'], options);
    const sinceMs = options.since === undefined ? undefined : durationOption(this.who, 'since', options.since, 0);
    const { connection, id } = await this.opened();
    const fromWallMs = sinceMs === undefined ? 0 : Date.now() - sinceMs;
    for await (const { wallMs, task, level, message } of logLines(connection, id, options.follow === true)) {
      if (wallMs >= fromWallMs) yield { time: new Date(wallMs), task, level, message };
    }
  }

  async replayFailed(): Promise<number> {
    const { connection, id } = await this.opened();
    const { replayed } = await connection.request<ReplayReply>({ kind: 'replay', job: id });
    // What was read is not what there will be.
    this.#result = undefined;
    return replayed;
  }

  /** Cancels it if it has not ended. A job that never opened has nothing to cancel. */
  async [Symbol.asyncDispose](): Promise<void> {
    const job = await this.opened().catch(() => undefined);
    if (job) await job.connection.request({ kind: 'cancel', job: job.id, reason: 'its handle was disposed of' });
  }

  /** Waits for `promise`, but not past a signal or a time; the job goes on either way. */
  protected within<T>(promise: Promise<T>, { signal, timeout }: { signal?: AbortSignal; timeout?: Duration }): Promise<T> {
    if (signal === undefined && timeout === undefined) return promise;
    const timeoutMs = timeout === undefined ? undefined : durationOption(this.who, 'timeout', timeout, 0);
    return new Promise<T>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const onAbort = () => settle(() => reject(signal?.reason));
      const settle = (act: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        act();
      };
      if (signal?.aborted) {
        // Someone else may still wait for it and look at how it ends.
        promise.catch(() => undefined);
        return reject(signal.reason);
      }
      signal?.addEventListener('abort', onAbort);
      if (timeoutMs !== undefined)
        timer = longTimer(
          timeoutMs,
          () => settle(() => reject(timedOut(this.who, timeoutMs))),
          (next) => (timer = next),
        );
      promise.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error)),
      );
    });
  }

  #known(what: string): OpenJob {
    if (this.openJob) return this.openJob;
    throw new ShoalError('SH1105', `${this.who}: the job has no ${what} yet, it opens after this turn`, {
      hint: 'await job.state() first, or any result',
    });
  }
}

function timedOut(who: string, timeoutMs: number): ShoalError {
  return new ShoalError('SH1405', `${who}: no result after ${timeoutMs} ms; the job goes on`, {
    hint: 'wait longer, or cancel it: await job.cancel()',
  });
}

const timerMsMax = 2 ** 31 - 1;

/** Node's timers end at 2³¹ ms, and fire at once beyond (K02). */
function longTimer(ms: number, act: () => void, renewed: (timer: NodeJS.Timeout) => void): NodeJS.Timeout {
  if (ms <= timerMsMax) return setTimeout(act, ms);
  return setTimeout(() => renewed(longTimer(ms - timerMsMax, act, renewed)), timerMsMax);
}

async function* logLines(connection: Connection, job: string, follow: boolean): AsyncGenerator<LogLine> {
  const lines: LogLine[] = [];
  let wake: (() => void) | undefined;
  let over: { error: ShoalError | undefined } | undefined;
  const sink = {
    lines(more: readonly LogLine[]) {
      for (const line of more) lines.push(line);
      wake?.();
    },
    end(error: ShoalError | undefined) {
      over = { error };
      wake?.();
    },
  };
  const reader = connection.readLogs(job, sink, follow);
  try {
    for (;;) {
      while (lines.length > 0) yield lines.shift()!;
      if (over?.error) throw over.error;
      if (over) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    connection.unread(reader);
  }
}

/** A job that is open already: what `submit` and `cluster.job` give. */
export class OpenedJob<O> extends JobHandle<O> {
  protected override readonly openJob: OpenJob;
  readonly #take: JobSpec['output']['take'];
  readonly #codec: Codec;
  readonly #abortReason: () => unknown;

  /** `abortReason`: why the caller's own signal cancelled it, if it did. */
  constructor(job: OpenJob, take: JobSpec['output']['take'], codec: Codec, abortReason: () => unknown = () => undefined) {
    super(job.name);
    this.openJob = job;
    this.#take = take;
    this.#codec = codec;
    this.#abortReason = abortReason;
  }

  protected override opened(): Promise<OpenJob> {
    return Promise.resolve(this.openJob);
  }

  protected override read(job: OpenJob): Promise<O> {
    return readResult(job, this.#take, this.#codec, this.#abortReason) as Promise<O>;
  }
}

/** Reads what a job gives and throws why it gives nothing. */
export function readResult(
  job: OpenJob,
  take: JobSpec['output']['take'],
  codec: Codec,
  abortReason: () => unknown,
  label?: (index: number) => string | undefined,
): Promise<unknown> {
  const { connection, id } = job;
  const codecs = { output: codec, input: codec };
  const value =
    take === 'all'
      ? collectAll(connection, id, codecs, () => throwIfUnsuccessful(job, abortReason, label))
      : readOne(
          connection,
          id,
          oneValue(() => job, codec, abortReason, label),
        );
  return job.conflict ? job.conflict.orElse(value) : value;
}

/** Of a job that may be submitted only now. */
export function oneValue(
  opened: () => OpenJob | Promise<OpenJob>,
  codec: Codec,
  abortReason: () => unknown,
  label?: (index: number) => string | undefined,
): OneValue {
  return new OneValue({ output: codec, input: codec }, async (failure) => {
    const job = await opened();
    await throwIfUnsuccessful(job, abortReason, label);
    if (failure) throw new TaskError(job.id, failure);
    throw noValue(job.name);
  });
}

function noValue(name: string): ShoalError {
  return new ShoalError('SH1407', `${name}: the job ended without a value`, {
    why: 'a task that its result depends on failed, and maxFailures tolerated that',
    hint: 'tolerate failures only in maps whose results are optional',
  });
}

/** How a job that was read to its end has ended. */
export async function throwIfUnsuccessful(
  job: OpenJob,
  abortReason: () => unknown,
  label?: (index: number) => string | undefined,
): Promise<void> {
  const { connection, id } = job;
  const view = await connection.request<JobView>({ kind: 'query', job: id });
  if (job.conflict?.error) throw job.conflict.error;
  const reason = abortReason();
  if (view.state === 'cancelled' && reason !== undefined) throw reason;
  const error = jobError(view, label && (({ index }) => label(index)));
  if (error) throw error;
}
