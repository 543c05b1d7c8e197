/**
 * Results of a work on their way to the host: values are encoded into one buffer, one after another, until it is worth
 * a message. For a work whose results are combined the values themselves are kept instead, so that they need not be
 * decoded again; a task that changes an object after it returned it changes what is combined.
 *
 * Owns the columns between two reports; what to report when is the batch's business.
 */
import type { Codec } from '../../codecs/codec.ts';
import { ByteSink } from '../../lib/bytes.ts';
import type { Failure, FromRuntime, Partial, Runs } from './channel.ts';
import { FinalError, finalError } from './verdict.ts';

/** A report of this size is worth its message. */
export const reportBytesMax = 65_536;

/** Shared by all works of a thread: one at a time runs, and a report takes a copy of exact size. */
const sinks: ByteSink[] = [];

export class Outbox {
  private readonly name: string;
  private readonly codec: Codec;
  private readonly isSpread: boolean;
  private readonly sink = sinks.pop() ?? new ByteSink(reportBytesMax);
  private readonly runs = new RunList();
  private readonly lengths: U32List;
  private readonly counts: U32List;
  private readonly durations: U32List;
  private partials: Partial[] = [];
  private failures: Failure[] = [];

  constructor(name: string, codec: Codec, isSpread: boolean, capacity: number) {
    this.name = name;
    this.codec = codec;
    this.isSpread = isSpread;
    this.lengths = new U32List(capacity);
    this.counts = new U32List(isSpread ? capacity : 0);
    this.durations = new U32List(capacity);
  }

  get isEmpty(): boolean {
    return this.durations.length === 0 && this.partials.length === 0 && this.failures.length === 0;
  }

  get bytes(): number {
    return this.sink.length;
  }

  /** Throws what makes the task fail for good; nothing of it is left behind then. */
  add(position: number, value: unknown, durationUs: number): void {
    if (this.isSpread) this.addElements(value);
    else this.lengths.push(this.encode(value));
    this.runs.add(position);
    this.durations.push(durationUs);
  }

  /** Shares a measured time out among the last `count` values. */
  setDurations(count: number, totalUs: number): void {
    const { length } = this.durations;
    let left = Math.round(totalUs);
    for (let i = count; i > 0; i--) {
      const share = Math.floor(left / i);
      this.durations.items[length - i] = share;
      left -= share;
    }
  }

  addFailure(failure: Failure): void {
    this.failures.push(failure);
  }

  addPartial(partial: Partial): void {
    this.partials.push(partial);
  }

  take(work: number, finished: boolean): FromRuntime & { kind: 'report' } {
    const report: FromRuntime & { kind: 'report' } = { kind: 'report', work, finished };
    if (this.durations.length > 0) {
      report.values = { runs: this.runs.take(), lengths: this.lengths.take(), durations: this.durations.take(), body: this.sink.take() };
      if (this.isSpread) report.values.counts = this.counts.take();
    }
    if (this.partials.length > 0) report.partials = this.partials;
    if (this.failures.length > 0) report.failures = this.failures;
    this.partials = [];
    this.failures = [];
    return report;
  }

  /** After the last report: the buffer goes to the next work. */
  release(): void {
    if (this.sink.buffer.length <= 16 * reportBytesMax) sinks.push(this.sink);
  }

  private addElements(value: unknown): void {
    if (!Array.isArray(value)) {
      const kind = value === null ? 'null' : typeof value === 'object' ? `a ${value.constructor?.name ?? 'plain object'}` : typeof value;
      throw new FinalError('SH1205', `${this.name}: its result is ${kind}, and must be an array: one task is made of each element`, {
        hint: 'return an array, or use call() instead of map()',
      });
    }
    const bytes = this.sink.length;
    const frames = this.lengths.length;
    try {
      for (let i = 0; i < value.length; i++) this.lengths.push(this.encode(value[i], i));
    } catch (error) {
      this.sink.length = bytes;
      this.lengths.length = frames;
      throw error;
    }
    this.counts.push(value.length);
  }

  private encode(value: unknown, element?: number): number {
    const before = this.sink.length;
    try {
      this.codec.encode(value, this.sink);
    } catch (error) {
      this.sink.length = before;
      throw finalError(this.name, element === undefined ? 'its result' : `element ${element} of its result`, error);
    }
    return this.sink.length - before;
  }
}

/** Numbers of a column that grows. */
class U32List {
  items: Uint32Array<ArrayBuffer>;
  length = 0;

  constructor(capacity: number) {
    this.items = new Uint32Array(capacity);
  }

  push(item: number): void {
    if (this.length === this.items.length) {
      const grown = new Uint32Array(Math.max(64, this.length * 2));
      grown.set(this.items);
      this.items = grown;
    }
    this.items[this.length++] = item;
  }

  take(): Uint32Array<ArrayBuffer> {
    const taken = this.items.slice(0, this.length);
    this.length = 0;
    return taken;
  }
}

/** Positions as pairs [from, count, …] in the order in which they were added. */
export class RunList {
  private pairs: number[] = [];
  private end = -1;

  add(position: number): void {
    if (position === this.end) this.pairs[this.pairs.length - 1]! += 1;
    else this.pairs.push(position, 1);
    this.end = position + 1;
  }

  get isEmpty(): boolean {
    return this.pairs.length === 0;
  }

  take(): Runs {
    const taken = this.pairs;
    this.pairs = [];
    this.end = -1;
    return taken;
  }
}
