/**
 * A slot for tasks of several programs: each program runs in a thread (or child) of its own, so that two versions of one
 * task live side by side and never see each other. One works at a time, in the order of the works; who has not worked
 * for longest is closed when there are too many.
 */
import type { Executor, Ranges, Work, WorkEvents } from './executor.ts';

/** What a thread has to load: all of `modules`, found again by `key`. */
export interface RuntimeCode {
  readonly key: string;
  /** File URLs. Tasks are found by their names in these and nowhere else. */
  readonly modules: readonly string[];
}

/** A program that comes back soon finds its thread still there. */
const executorsMax = 3;

export interface ByCodeOptions {
  events: WorkEvents;
  codeOf(work: Work): RuntimeCode;
  open(code: RuntimeCode, events: WorkEvents): Executor;
}

export class ByCode implements Executor {
  private readonly options: ByCodeOptions;
  private readonly events: WorkEvents;
  /** In order of their last use. */
  private readonly executors = new Map<string, Executor>();
  /** Works of the program at work, then those that wait for it to be through. */
  private readonly running = new Map<number, string>();
  private readonly waiting: { work: Work; code: RuntimeCode }[] = [];
  private active: string | undefined;
  private readonly closing = new Set<Promise<void>>();

  constructor(options: ByCodeOptions) {
    this.options = options;
    this.events = {
      ...options.events,
      finished: (work) => {
        this.running.delete(work.id);
        options.events.finished(work);
        this.next();
      },
    };
  }

  /** Starts the thread of a program before there is work for it. */
  warm(code: RuntimeCode): void {
    this.executor(code);
  }

  run(work: Work): void {
    this.waiting.push({ work, code: this.options.codeOf(work) });
    this.next();
  }

  abort(work: Work, ranges: Ranges, reason: string): void {
    this.holderOf(work)?.abort(work, ranges, reason);
    this.withdraw(work, ranges, 'aborted');
  }

  revoke(work: Work, ranges: Ranges, why: string): void {
    this.holderOf(work)?.revoke(work, ranges, why);
    this.withdraw(work, ranges, why);
  }

  async close(): Promise<void> {
    this.waiting.length = 0;
    for (const executor of this.executors.values()) this.end(executor);
    this.executors.clear();
    await Promise.all(this.closing);
  }

  private next(): void {
    while (this.waiting.length > 0) {
      const { work, code } = this.waiting[0]!;
      if (this.running.size > 0 && code.key !== this.active) return;
      this.waiting.shift();
      this.active = code.key;
      this.running.set(work.id, code.key);
      this.executor(code).run(work);
    }
  }

  private holderOf(work: Work): Executor | undefined {
    const key = this.running.get(work.id);
    return key === undefined ? undefined : this.executors.get(key);
  }

  /** One that waits for another program is not started: all of it goes back, what was asked for and the rest. */
  private withdraw(work: Work, _ranges: Ranges, why: string): void {
    const at = this.waiting.findIndex((each) => each.work.id === work.id);
    if (at < 0) return;
    const own = this.waiting[at]!.work;
    this.waiting.splice(at, 1);
    this.options.events.released(own, own.ranges, why);
    this.options.events.finished(own);
  }

  private executor(code: RuntimeCode): Executor {
    const known = this.executors.get(code.key);
    const executor = known ?? this.options.open(code, this.events);
    this.executors.delete(code.key);
    this.executors.set(code.key, executor);
    for (const [key, oldest] of this.executors) {
      if (this.executors.size <= executorsMax) break;
      if (key === code.key || [...this.running.values()].includes(key)) continue;
      this.executors.delete(key);
      this.end(oldest);
    }
    return executor;
  }

  private end(executor: Executor): void {
    const closed = executor.close().finally(() => this.closing.delete(closed));
    this.closing.add(closed);
  }
}
