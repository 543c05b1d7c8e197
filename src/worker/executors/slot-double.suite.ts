/**
 * An executor with everything it tells written down, and the contract checked at each word: every index once, nothing
 * after `finished`, nothing after `close`. Tests wait for what was told, never for time to pass.
 */
import { expect } from 'vitest';
import { msgpackCodec } from '../../codecs/msgpack.ts';
import { indicesOf } from '../../core/ranges.ts';
import { ByteSink } from '../../lib/bytes.ts';
import type { ErrorRecord, Executor, ExecutorOptions, LogLine, Ranges, Work, WorkEvents } from './executor.ts';

const fixtures = new URL('./fixtures/tasks.mjs', import.meta.url).href;

export interface Failed {
  error: ErrorRecord;
  verdict: string;
  afterMs?: number;
  durationUs: number;
}

/** What became of one work. */
class Told {
  readonly values = new Map<number, unknown>();
  readonly durations = new Map<number, number>();
  readonly partials: { indices: number[]; value: unknown }[] = [];
  readonly failed = new Map<number, Failed>();
  readonly crashed = new Map<number, { how: string; error: ErrorRecord }>();
  readonly released = new Map<number, string>();
  refused: ErrorRecord | undefined;
  isFinished = false;
  /** Messages that carried results. */
  reports = 0;
  readonly seen = new Set<number>();

  get summary(): Record<string, unknown> {
    return {
      values: [...this.values],
      failed: [...this.failed].map(([index, { error, verdict }]) => [index, error.code ?? error.name, verdict]),
      crashed: [...this.crashed].map(([index, { how }]) => [index, how]),
      released: [...this.released],
    };
  }
}

export type Make = (options: ExecutorOptions) => Executor;

export class SlotDouble {
  readonly executor: Executor;
  readonly logs: LogLine[] = [];
  /** Messages that carried them. */
  logParts = 0;
  readonly notes: { index: number; done: number; total: number | undefined; note: string | undefined }[] = [];
  readonly replaced: string[] = [];
  private readonly told = new Map<Work, Told>();
  private isClosed = false;
  private works = 0;
  private changed: (() => void)[] = [];

  constructor(make: Make, options: Partial<ExecutorOptions> = {}) {
    this.executor = make({ graceMs: 2000, name: 'test', ...options, events: this.events() });
  }

  /** Runs a task of the fixtures over these inputs. */
  run(name: string, inputs: readonly unknown[], more: Partial<Work> = {}): { work: Work; told: Told } {
    const { lengths, body } = encodeAll(inputs);
    const work: Work = {
      id: ++this.works,
      job: 'job1',
      jobName: 'a job',
      stage: 2,
      definition: { name, module: fixtures },
      attempt: 1,
      attemptsMax: 3,
      input: { kind: 'value' },
      ranges: Uint32Array.of(0, inputs.length),
      lengths,
      body,
      ...more,
    };
    const told = new Told();
    this.told.set(work, told);
    this.executor.run(work);
    return { work, told };
  }

  /** Runs it to its end. */
  async whole(name: string, inputs: readonly unknown[], more: Partial<Work> = {}): Promise<Told> {
    const { told } = this.run(name, inputs, more);
    await this.until(() => told.isFinished);
    return told;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.changed.push(resolve));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.executor.close();
  }

  private events(): WorkEvents {
    const at = (work: Work, indices: Iterable<number>): Told => {
      expect(this.isClosed, 'a closed executor tells nothing').toBe(false);
      const told = this.told.get(work)!;
      expect(told.isFinished, 'nothing is told after finished').toBe(false);
      for (const index of indices) {
        expect(told.seen.has(index), `index ${index} is told once`).toBe(false);
        told.seen.add(index);
      }
      this.wake();
      return told;
    };
    return {
      results: (work, done) => {
        const told = at(work, indicesOf(done.ranges));
        told.reports += 1;
        let frame = 0;
        let offset = 0;
        const next = (): unknown => {
          const from = offset;
          offset += done.lengths[frame++]!;
          return msgpackCodec.decode(done.body.subarray(from, offset));
        };
        let task = 0;
        for (const index of indicesOf(done.ranges)) {
          told.values.set(index, done.counts ? Array.from({ length: done.counts[task]! }, next) : next());
          told.durations.set(index, done.durations[task]!);
          task += 1;
        }
        expect(offset).toBe(done.body.length);
        expect(done.durations.length).toBe(task);
      },
      partial: (work, done) => {
        const indices = [...indicesOf(done.ranges)];
        expect(done.durations.length).toBe(indices.length);
        at(work, indices).partials.push({ indices, value: msgpackCodec.decode(done.body) });
      },
      failed: (work, index, failure) => void at(work, [index]).failed.set(index, failure),
      crashed: (work, index, how, error) => void at(work, [index]).crashed.set(index, { how, error }),
      released: (work, ranges, why) => {
        const told = at(work, indicesOf(ranges));
        for (const index of indicesOf(ranges)) told.released.set(index, why);
      },
      refused: (work, error) => {
        const told = at(work, []);
        for (const index of indicesOf(work.ranges)) told.seen.add(index);
        told.refused = error;
      },
      finished: (work) => {
        const told = at(work, []);
        expect(told.seen).toEqual(new Set(indicesOf(work.ranges)));
        told.isFinished = true;
      },
      logs: (lines) => {
        for (const line of lines) this.logs.push(line);
        this.logParts += 1;
        this.wake();
      },
      note: (work, index, done, total, note) => {
        expect(this.told.has(work)).toBe(true);
        this.notes.push({ index, done, total, note });
        this.wake();
      },
      replaced: (why) => {
        this.replaced.push(why);
        this.wake();
      },
    };
  }

  private wake(): void {
    const { changed } = this;
    this.changed = [];
    for (const each of changed) each();
  }
}

export function encodeAll(values: readonly unknown[]): { lengths: Uint32Array<ArrayBuffer>; body: Uint8Array<ArrayBuffer> } {
  const sink = new ByteSink();
  const lengths = Uint32Array.from(values, (value) => {
    const before = sink.length;
    msgpackCodec.encode(value, sink);
    return sink.length - before;
  });
  return { lengths, body: sink.take() };
}

export const range = (from: number, count: number): Ranges => Uint32Array.of(from, count);
