/** Reading without iterating: everything into one array, or the one value that a job gives. */
import type { TaskFailure } from '../core/answers.ts';
import type { DeliverMessage } from '../core/messages.ts';
import type { ShoalError } from '../lib/errors.ts';
import type { Connection, ReadAlong } from './connection.ts';
import { type Codecs, DeliveryCursor, placeValues } from './delivery.ts';

const credit = 32_768;
/** Where an array has no result (yet). */
const hole = Symbol('hole');

/**
 * All results by index; what failed or was skipped is left out. Read in order of completion, because the array puts
 * them in place and nothing has to wait for its turn. `after` runs before the job may be dropped.
 */
export function collectAll(connection: Connection, job: string, codecs: Codecs, after: () => Promise<void>): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const values: unknown[] = [];
    let placed = 0;
    let used = 0;
    let problem: unknown;
    const reader = connection.read(
      job,
      {
        deliver(message) {
          try {
            if (problem === undefined) placed += place(message, codecs, values);
            used += message.statuses.length;
            // In good portions: each costs the coordinator a turn.
            if (message.done || used < credit / 16) return;
            connection.readCredit(reader, used);
            used = 0;
          } catch (error) {
            problem = error;
          }
        },
        end(error) {
          if (error) return reject(error);
          after()
            .then(() => {
              if (problem !== undefined) throw problem;
              resolve(placed === values.length ? values : values.filter((value) => value !== hole));
            })
            .catch(reject)
            .finally(() => connection.unread(reader));
        },
      },
      { order: 'completion', credit, inputs: false },
    );
  });
}

/** Returns how many values it placed. */
function place(message: DeliverMessage, codecs: Codecs, values: unknown[]): number {
  if (message.failures.length === 0 && !message.counts) {
    placeValues(message, codecs, values, hole);
    return message.statuses.length;
  }
  let placed = 0;
  const cursor = new DeliveryCursor(message, codecs);
  while (cursor.next()) {
    while (values.length <= cursor.index) values.push(hole);
    if (cursor.failure) continue;
    values[cursor.index] = cursor.value();
    placed++;
  }
  return placed;
}

/** The one value of a job that is there: see OneValue. */
export function readOne(connection: Connection, job: string, one: OneValue): Promise<unknown> {
  const reader = connection.read(job, one, one.how);
  one.close = () => connection.unread(reader);
  return one.value;
}

/**
 * The job's one value. `without` says what to do if there is none: with the failure in its place, or without one (the
 * job was cancelled, or there was nothing to fold).
 */
export class OneValue implements ReadAlong {
  readonly value: Promise<unknown>;
  readonly how = { order: 'input', credit: 1, inputs: false } as const;
  close = (): void => undefined;
  readonly #codecs: Codecs;
  readonly #without: (failure: TaskFailure | undefined) => Promise<unknown>;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;
  #one: { value: unknown } | undefined;
  #failure: TaskFailure | undefined;
  #problem: unknown;

  constructor(codecs: Codecs, without: (failure: TaskFailure | undefined) => Promise<unknown>) {
    this.#codecs = codecs;
    this.#without = without;
    this.value = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  deliver(message: DeliverMessage): void {
    try {
      const cursor = new DeliveryCursor(message, this.#codecs);
      if (!cursor.next()) return;
      this.#failure = cursor.failure;
      if (!this.#failure) this.#one = { value: cursor.value() };
    } catch (error) {
      this.#problem = error;
    }
  }

  end(error: ShoalError | undefined): void {
    const problem = error ?? this.#problem;
    if (problem === undefined && !this.#one) {
      this.#without(this.#failure)
        .then(this.#resolve, this.#reject)
        .finally(() => this.close());
      return;
    }
    this.close();
    if (problem === undefined) this.#resolve(this.#one!.value);
    else this.#reject(problem);
  }
}
