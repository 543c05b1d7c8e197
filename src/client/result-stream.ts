/**
 * Results as an async iterator. The coordinator sends as far as the credit goes; credit grows back as results are
 * taken, so that a slow loop holds a bounded number of results (and about `bytesMax` of bytes) in memory.
 *
 * `next()` gives a result without waiting as long as one is here; nothing is decoded ahead. Calls that don't wait for
 * each other are answered in their order.
 */
import type { DeliverMessage } from '../core/messages.ts';
import type { ShoalError } from '../lib/errors.ts';
import type { Connection } from './connection.ts';
import { type Codecs, DeliveryCursor } from './delivery.ts';

const creditMax = 32_768;
const creditMin = 64;
/** Until the size of results is known. */
const creditFirst = 1_024;
const bytesMax = 64 * 1024 * 1024;

/** A task that gives no item. */
export const nothing = Symbol('nothing');

export interface StreamOptions<T> {
  connection: Connection;
  job: string;
  codecs: Codecs;
  order: 'input' | 'completion';
  inputs: boolean;
  /** The item of a fulfilled task. */
  value(cursor: DeliveryCursor): T;
  /** The item of a rejected task; a throw ends the stream. */
  failure(cursor: DeliveryCursor): Promise<T | typeof nothing>;
  /** After the last delivery: further items, or a throw. */
  rest(): Promise<readonly T[]>;
  /** How many tasks were taken so far; `undefined`: the stream is over. */
  taken(count: number | undefined): void;
}

export class ResultStream<T> implements AsyncIterableIterator<T> {
  readonly #options: StreamOptions<T>;
  readonly #reader: number;
  readonly #deliveries: DeliverMessage[] = [];
  #cursor: DeliveryCursor | undefined;
  #isAtFailure = false;
  #isAtEnd = false;
  #isOver = false;
  #error: ShoalError | undefined;
  #rest: Iterator<T> | undefined;
  #item: T | undefined;
  #wake: (() => void) | undefined;
  #pending: Promise<unknown> | undefined;
  #outstanding = creditFirst;
  #taken = 0;
  #arrivedTasks = 0;
  #arrivedBytes = 0;

  constructor(options: StreamOptions<T>) {
    this.#options = options;
    const { connection, job, order, inputs } = options;
    const sink = {
      deliver: (message: DeliverMessage) => this.#arrive(message),
      end: (error: ShoalError | undefined) => {
        this.#isAtEnd = true;
        this.#error = error;
        this.#wake?.();
      },
    };
    this.#reader = connection.read(job, sink, { order, credit: creditFirst, inputs });
    options.taken(0);
  }

  /** Ends it with an error, whatever may still be on the way. */
  fail(error: ShoalError): void {
    if (this.#isOver) return;
    this.#error = error;
    this.#isAtEnd = true;
    this.#isAtFailure = false;
    this.#deliveries.length = 0;
    this.#cursor = undefined;
    this.#wake?.();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#pending) return this.#slow(this.#pending);
    try {
      if (this.#advance()) return Promise.resolve({ done: false, value: this.#item as T });
    } catch (error) {
      this.#finish();
      return Promise.reject(error);
    }
    return this.#slow(undefined);
  }

  return(): Promise<IteratorResult<T>> {
    this.#finish();
    return Promise.resolve({ done: true, value: undefined });
  }

  #slow(before: Promise<unknown> | undefined): Promise<IteratorResult<T>> {
    const result = (before ? before.then(ignore, ignore) : Promise.resolve()).then(() => this.#wait());
    this.#pending = result;
    const settled = () => {
      if (this.#pending === result) this.#pending = undefined;
    };
    result.then(settled, settled);
    return result;
  }

  async #wait(): Promise<IteratorResult<T>> {
    try {
      while (!this.#isOver) {
        if (this.#isAtFailure) {
          this.#isAtFailure = false;
          const item = await this.#options.failure(this.#cursor!);
          if (item !== nothing) return { done: false, value: item };
        } else if (this.#advance()) {
          return { done: false, value: this.#item as T };
        } else if (!this.#isAtFailure && !this.#isOver) {
          if (!this.#isAtEnd) {
            await new Promise<void>((resolve) => {
              this.#wake = resolve;
            });
            this.#wake = undefined;
          } else if (await this.#isRestEmpty()) {
            break;
          } else {
            return { done: false, value: this.#item as T };
          }
        }
      }
    } catch (error) {
      this.#finish();
      throw error;
    }
    this.#finish();
    return { done: true, value: undefined };
  }

  /** True with the next item in `#item`; false when nothing is here, or at a failure. */
  #advance(): boolean {
    while (!this.#isOver && !this.#isAtFailure) {
      if (!this.#cursor) {
        const message = this.#deliveries.shift();
        if (!message) return false;
        this.#cursor = new DeliveryCursor(message, this.#options.codecs);
      }
      const cursor = this.#cursor;
      if (!cursor.next()) {
        this.#cursor = undefined;
        this.#pass(cursor.taskCount);
      } else if (cursor.failure) {
        this.#isAtFailure = true;
      } else {
        this.#item = this.#options.value(cursor);
        return true;
      }
    }
    return false;
  }

  async #isRestEmpty(): Promise<boolean> {
    if (this.#error) throw this.#error;
    this.#rest ??= (await this.#options.rest())[Symbol.iterator]();
    const step = this.#rest.next();
    this.#item = step.value;
    return step.done === true;
  }

  #arrive(message: DeliverMessage): void {
    if (this.#isAtEnd) return;
    this.#deliveries.push(message);
    this.#arrivedTasks += message.statuses.length;
    for (const chunk of message.body) this.#arrivedBytes += chunk.length;
    this.#grant(0);
    this.#wake?.();
  }

  #pass(count: number): void {
    this.#taken += count;
    this.#options.taken(this.#taken);
    this.#grant(count);
  }

  /** Gives credit in good portions, not task by task. */
  #grant(passed: number): void {
    this.#outstanding -= passed;
    if (this.#isAtEnd || this.#isOver || this.#arrivedTasks === 0) return;
    const bytesPerTask = Math.max(1, this.#arrivedBytes / this.#arrivedTasks);
    const most = Math.max(creditMin, Math.min(creditMax, Math.floor(bytesMax / bytesPerTask)));
    const credit = most - this.#outstanding;
    if (credit < most / 4) return;
    this.#outstanding += credit;
    this.#options.connection.readCredit(this.#reader, credit);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deliveries.length = 0;
    this.#cursor = undefined;
    this.#options.connection.unread(this.#reader);
    this.#options.taken(undefined);
    this.#wake?.();
  }
}

function ignore(): void {}

/** A stream that is opened by its first `next()`. */
export function openedLater<T>(open: () => Promise<ResultStream<T>>): AsyncIterableIterator<T> {
  let stream: ResultStream<T> | undefined;
  let opening: Promise<ResultStream<T>> | undefined;
  let isClosed = false;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      if (stream) return stream.next();
      if (isClosed) return Promise.resolve({ done: true, value: undefined });
      opening ??= open().then((opened) => (stream = opened));
      return opening.then((opened) => opened.next());
    },
    async return() {
      isClosed = true;
      if (opening) await opening.then((opened) => opened.return(), ignore);
      return { done: true, value: undefined };
    },
  };
}
