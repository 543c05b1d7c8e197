/**
 * Outcomes of all tasks, with their inputs. A task that was skipped because of another's failure never reaches a reader;
 * its outcome is told here, so that each input has one.
 */
import type { JobView, LetterPage, TaskFailure } from '../core/answers.ts';
import type { Codecs, DeliveryCursor } from './delivery.ts';
import { ResultStream } from './result-stream.ts';
import type { OpenJob } from './submission.ts';
import { jobError, TaskError } from './task-error.ts';
import type { Settled } from './types.ts';

export interface SettledOptions {
  job: OpenJob;
  codecs: Codecs;
  order: 'input' | 'completion';
  /** The inputs themselves, where they are an array. */
  inputs: readonly unknown[] | undefined;
  /** Inputs by index, where they came from an iterable and were kept. */
  retained: Map<number, unknown> | undefined;
  label(index: number): string | undefined;
  /** Were all inputs taken? */
  isComplete(): boolean;
  /** How the job ended. */
  end(): Promise<JobView>;
  taken(count: number | undefined): void;
}

export function settledItems<I, O>(options: SettledOptions): ResultStream<Settled<I, O>> {
  const { job, codecs, order, inputs, retained } = options;
  const told = inputs && new Uint8Array(inputs.length);
  const inputOf = (cursor: DeliveryCursor): I => {
    const { index } = cursor;
    if (inputs) {
      told![index] = 1;
      return inputs[index] as I;
    }
    if (!retained?.has(index)) return cursor.input() as I;
    const input = retained.get(index);
    retained.delete(index);
    return input as I;
  };
  return new ResultStream<Settled<I, O>>({
    connection: job.connection,
    job: job.id,
    codecs,
    order,
    inputs: inputs === undefined && retained === undefined,
    value: (cursor) => ({
      status: 'fulfilled',
      index: cursor.index,
      input: inputOf(cursor),
      value: cursor.value() as O,
      attempts: cursor.attempts,
      durationMs: cursor.durationMs,
      worker: cursor.worker,
    }),
    failure: async (cursor) => rejected<I>(job.id, cursor.failure!, inputOf(cursor), options.label(cursor.index), cursor),
    rest: async () => {
      const view = await options.end();
      const missing = missingInputs(options, told);
      const error = jobError(view, ({ index }) => options.label(index));
      // Inputs that nobody has seen can't be told of one by one.
      if (error && missing === undefined) throw error;
      if (!missing || missing.length === 0) return [];
      const failures = await upstreamFailures(job);
      return missing.map(([index, input]) =>
        rejected<I>(job.id, failures.get(index) ?? skipped(view, index, job.name), input as I, options.label(index)),
      );
    },
    taken: options.taken,
  });
}

/** Inputs without an outcome; undefined if there may be some that are not known. */
function missingInputs({ inputs, retained, isComplete }: SettledOptions, told: Uint8Array | undefined): [number, unknown][] | undefined {
  if (inputs) return [...inputs.entries()].filter(([index]) => told![index] !== 1);
  return isComplete() && retained ? [...retained] : undefined;
}

/** In a chain a task is skipped because of the one before it: that one's failure is the reason. */
async function upstreamFailures({ connection, id }: OpenJob): Promise<Map<number, TaskFailure>> {
  const failures = new Map<number, TaskFailure>();
  for (let after: string | undefined; ; ) {
    const page = await connection.request<LetterPage>({ kind: 'deadLetters', job: id, ...(after !== undefined && { after }) });
    for (const { history: _history, ...failure } of page.letters) failures.set(failure.index, failure);
    after = page.next;
    if (after === undefined) return failures;
  }
}

function skipped(view: JobView, index: number, task: string): TaskFailure {
  const [code, message] =
    view.state === 'cancelled'
      ? ['SH2005', view.reason ?? 'the job was cancelled']
      : view.state === 'expired'
        ? ['SH2006', view.reason ?? 'the job expired']
        : ['SH2004', 'another task failed for good'];
  return { stage: view.error?.stage ?? 0, index, task, attempts: 0, worker: '', code, error: { name: 'Error', message } };
}

function rejected<I>(
  job: string,
  failure: TaskFailure,
  input: I,
  label: string | undefined,
  { attempts, durationMs, worker }: Pick<DeliveryCursor, 'attempts' | 'durationMs' | 'worker'> = {
    attempts: failure.attempts,
    durationMs: 0,
    worker: failure.worker,
  },
): Settled<I, never> {
  return { status: 'rejected', index: failure.index, input, reason: new TaskError(job, failure, label), attempts, durationMs, worker };
}
