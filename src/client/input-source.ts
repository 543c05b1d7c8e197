/**
 * Where inputs come from, behind one face: fill a batch with as many encoded inputs as it takes. Arrays and sync
 * iterables are pulled in a tight loop without a promise per item; async ones one by one.
 */
import type { Codec } from '../codecs/codec.ts';
import { payloadBytesMax } from '../core/limits.ts';
import { ByteSink } from '../lib/bytes.ts';
import { ShoalError } from '../lib/errors.ts';
import { nameInput, tooLarge } from './encoder.ts';

const batchTasksMax = 16_384;
const batchBytesMax = 1024 * 1024;
/** A slow generator holds the thread; what it gave so far should run meanwhile. */
const pullMsMax = 10;

/** Inputs on their way into one message. */
export class InputBatch {
  readonly #codec: Codec;
  readonly #who: string;
  readonly #sink = new ByteSink(64 * 1024);
  readonly #lengths = new Uint32Array(batchTasksMax);
  readonly #onInput: ((input: unknown, index: number) => void) | undefined;
  count = 0;
  /** Index of the first input in the batch. */
  from = 0;

  /** `onInput` sees each input that was taken. */
  constructor(codec: Codec, who: string, onInput?: (input: unknown, index: number) => void) {
    this.#codec = codec;
    this.#who = who;
    this.#onInput = onInput;
  }

  get isFull(): boolean {
    return this.count === batchTasksMax || this.#sink.length >= batchBytesMax;
  }

  add(input: unknown): void {
    const sink = this.#sink;
    const before = sink.length;
    const index = this.from + this.count;
    try {
      this.#codec.encode(input, sink);
    } catch (error) {
      throw nameInput(error, this.#who, index);
    }
    const bytes = sink.length - before;
    if (bytes > payloadBytesMax) throw tooLarge(this.#who, index, bytes);
    this.#lengths[this.count++] = bytes;
    this.#onInput?.(input, index);
  }

  /** Empties the batch. */
  take(): { from: number; lengths: Uint32Array; body: Uint8Array } {
    const taken = { from: this.from, lengths: this.#lengths.slice(0, this.count), body: this.#sink.take() };
    this.from += this.count;
    this.count = 0;
    return taken;
  }
}

export interface InputSource {
  /** Adds inputs up to `limit` in the batch; false when there are no more. Async sources call `idle` when they wait. */
  fill(batch: InputBatch, limit: () => number, idle: () => void): boolean | Promise<boolean>;
  /** Tells an iterator that nobody will take the rest. */
  close(): void;
}

export function inputSource(who: string, inputs: Iterable<unknown> | AsyncIterable<unknown>): InputSource {
  if (Array.isArray(inputs)) return arraySource(inputs);
  if (typeof inputs === 'object' && inputs !== null) {
    if (Symbol.asyncIterator in inputs) return asyncSource(inputs[Symbol.asyncIterator]());
    if (Symbol.iterator in inputs) return syncSource(inputs[Symbol.iterator]());
  }
  const isPromise = typeof (inputs as { then?: unknown } | null)?.then === 'function';
  const given = inputs === null || inputs === undefined ? String(inputs) : isPromise ? 'a promise' : `of type ${typeof inputs}`;
  throw new ShoalError('SH1102', `${who}: map takes an array, an iterable or an async iterable, not ${given}`, {
    hint: isPromise ? 'await it first' : `for one input: ${who}.run(input)`,
  });
}

function arraySource(inputs: readonly unknown[]): InputSource {
  let at = 0;
  return {
    fill(batch, limit) {
      for (const most = limit(); at < inputs.length && batch.count < most && !batch.isFull; ) batch.add(inputs[at++]);
      return at < inputs.length;
    },
    close() {},
  };
}

function syncSource(iterator: Iterator<unknown>): InputSource {
  let isDone = false;
  return {
    fill(batch, limit) {
      const most = limit();
      const until = performance.now() + pullMsMax;
      while (batch.count < most && !batch.isFull) {
        const step = iterator.next();
        if (step.done) {
          isDone = true;
          return false;
        }
        batch.add(step.value);
        if ((batch.count & 15) === 0 && performance.now() > until) break;
      }
      return true;
    },
    close() {
      if (isDone) return;
      isDone = true;
      try {
        iterator.return?.();
      } catch {
        // Whatever it thinks of being closed, the job has ended for another reason.
      }
    },
  };
}

function asyncSource(iterator: AsyncIterator<unknown>): InputSource {
  let isDone = false;
  return {
    async fill(batch, limit, idle) {
      while (batch.count < limit() && !batch.isFull) {
        const next = iterator.next();
        idle();
        const step = await next;
        // Closed while it waited: what came is nobody's any more.
        if (isDone) return false;
        if (step.done) {
          isDone = true;
          return false;
        }
        batch.add(step.value);
      }
      return true;
    },
    close() {
      if (isDone) return;
      isDone = true;
      // What it gives need be no promise, whatever its type says, and it may throw.
      Promise.resolve()
        .then(() => iterator.return?.())
        .catch(() => undefined);
    },
  };
}
