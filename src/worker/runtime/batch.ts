/**
 * Runs the tasks of one work: decode, run, encode, in a loop that makes no promise, timer or message a task.
 *
 * - `concurrency` lanes share one place in the work (lanes.ts). A lane runs synchronous tasks in a row (`runInRow`) and waits
 *   only where a task returned a promise.
 * - Time is read once a group of tasks; tiny tasks share what their group took.
 * - The loop lets the thread's event loop turn every few milliseconds, so that messages, timers and connections live.
 * - A report goes out at 64 KiB, at the work's end, and at latest `reportMs` after the one before while tasks still run.
 */
import type { TaskContext } from '../../tasks/context.ts';
import type { Definition } from '../../tasks/definition.ts';
import type { Work } from '../executors/executor.ts';
import { type Board, claim, lanesMax, monotonicMs } from './board.ts';
import type { Runs, WorkMessage } from './channel.ts';
import { Combiner } from './combiner.ts';
import { abortContext, Context, endContext, positionOf, type TaskSurroundings, writeLog } from './context.ts';
import { scope, setCurrent } from './current.ts';
import { type InputReader, inputReader } from './inputs.ts';
import type { Program } from './load.ts';
import { Outbox, RunList, reportBytesMax } from './outbox.ts';
import { finalError, isThenable, judge, validate } from './verdict.ts';

/** Results wait this long for company, which is longer than most works take. Each report costs host and coordinator time, on cores that tasks want. */
const reportMs = 60;
/** Where a lane has nothing left to start, what is told brings the next task. */
const reportSoonMs = 5;
/** The event loop turns at least this often, if tasks are shorter. */
const turnMs = 10;
/** Tasks a clock reading: doubled while they take less than 5 µs each. */
const groupTasksMax = 32;
const tinyTaskMs = 0.005;

/** Definitions that are async functions, or have returned a promise: their tasks run in scopes (see current.ts). */
const asynchronous = new WeakSet<Definition>();
const AsyncFunction = (async () => undefined).constructor;

interface Pending {
  position: number;
  context: Context;
  value: PromiseLike<unknown>;
  startMs: number;
}

export class Batch {
  /** So many tasks may run side by side with those of this work. */
  readonly lanes: number;
  private readonly surroundings: TaskSurroundings;
  private readonly board: Board;
  private readonly program: Program;
  private readonly reader: InputReader;
  private readonly outbox: Outbox;
  private readonly combiner: Combiner | undefined;
  private readonly claims: Uint8Array;
  private readonly claimsAt: number;
  private readonly count: number;
  private readonly isTimed: boolean;
  private place = 0;
  /** Tasks that are waited for. */
  private readonly running = new Map<number, Context>();
  private isStopped = false;
  private isCombining = false;
  private groupStartMs = 0;
  private groupTasks = 0;
  private groupResults = 0;
  private groupSize = 1;
  private reportedMs: number;
  private turnedMs: number;
  private reportTimer: NodeJS.Timeout | undefined;
  private isReportNear = false;

  constructor(surroundings: TaskSurroundings, board: Board, message: WorkMessage, program: Program) {
    const { work } = message;
    this.surroundings = surroundings;
    this.board = board;
    this.program = program;
    this.reader = inputReader(work, program.codecs);
    this.count = 0;
    for (let i = 1; i < work.ranges.length; i += 2) this.count += work.ranges[i]!;
    const { claims, at } = board.claimsOf(message);
    this.claims = claims;
    this.claimsAt = at;
    this.withdraw(message.withdrawn ?? []);
    this.outbox = new Outbox(work.definition.name, program.definition.codec, work.spread === true, this.count);
    this.combiner = program.combine && new Combiner(program.combine, work.combine!.ordered, work.ranges);
    this.isTimed = work.timeoutMs !== undefined;
    this.lanes = lanesOf(work);
    if (this.lanes > 1 || program.definition.run instanceof AsyncFunction) asynchronous.add(program.definition);
    this.reportedMs = monotonicMs();
    this.turnedMs = this.reportedMs;
  }

  get id(): number {
    return this.surroundings.work.id;
  }

  /** Some of its tasks are left to start. */
  get hasMore(): boolean {
    return !this.isStopped && this.place < this.count;
  }

  /** All lanes have come to their end. Resolves when each position was told, and the last report is out. */
  async finish(lane: number): Promise<void> {
    if (this.isStopped) return;
    if (this.combiner) await this.combine(this.combiner, lane);
    this.report(true);
    this.outbox.release();
  }

  /** Takes back what has not started; answers with those. */
  withdraw(runs: Runs): Runs {
    const taken = new RunList();
    for (let i = 0; i < runs.length; i += 2) {
      const end = runs[i]! + runs[i + 1]!;
      for (let position = runs[i]!; position < end; position++) {
        if (Atomics.compareExchange(this.claims, this.claimsAt + position, claim.open, claim.withdrawn) === claim.open) taken.add(position);
      }
    }
    return taken.take();
  }

  /** The signal of those that run; what is done already stays done. */
  abort(runs: Runs, reason: Error): void {
    for (const [position, context] of this.running) {
      for (let i = 0; i < runs.length; i += 2) {
        if (position >= runs[i]! && position < runs[i]! + runs[i + 1]!) abortContext(context, reason);
      }
    }
  }

  abortAll(reason: Error): void {
    for (const context of this.running.values()) abortContext(context, reason);
  }

  isRunning(context: Context): boolean {
    return this.running.get(positionOf(context)) === context;
  }

  /** The task that must be the one, if no scope says whose code runs: the only one, and without a scope of its own. */
  get unscoped(): Context | undefined {
    if (this.running.size !== 1 || (asynchronous.has(this.program.definition) && !this.isCombining)) return undefined;
    return this.running.values().next().value;
  }

  /** Nothing more is started or told. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.reportTimer);
  }

  /** What is done so far goes to the host. */
  report(finished = false): void {
    this.closeGroup(monotonicMs());
    clearTimeout(this.reportTimer);
    this.reportTimer = undefined;
    this.reportedMs = this.groupStartMs;
    if (this.isStopped || (this.outbox.isEmpty && !finished)) return;
    // What tasks printed goes before their results: with the last of these the job ends, and nobody listens any more.
    this.surroundings.logs.flush();
    this.surroundings.port.send(this.outbox.take(this.surroundings.work.id, finished));
  }

  /** For the time in which all lanes wait: then no task that ends looks at the clock. */
  private reportSoon(): void {
    if (this.outbox.isEmpty) return;
    const isHungry = this.lanes > 1 && !this.hasMore;
    if (isHungry && !this.isReportNear) {
      clearTimeout(this.reportTimer);
      this.reportTimer = undefined;
    }
    this.isReportNear = isHungry;
    this.reportTimer ??= setTimeout(() => this.report(), isHungry ? reportSoonMs : reportMs);
  }

  /** Runs tasks one after another until none is left to start. */
  async runLane(lane: number): Promise<void> {
    while (!this.isStopped) {
      const next = this.runInRow(lane);
      if (next === 'end') return;
      if (next !== 'turn') {
        this.running.set(next.position, next.context);
        await this.settle(next, lane);
        // A promise need not have waited for anything: async functions may compute, too.
        if (monotonicMs() - this.turnedMs < turnMs) continue;
      }
      await new Promise(setImmediate);
      this.turnedMs = monotonicMs();
    }
  }

  /** Runs tasks until one of them has to be waited for. */
  private runInRow(lane: number): Pending | 'turn' | 'end' {
    const { work } = this.surroundings;
    this.groupStartMs = monotonicMs();
    while (this.place < this.count) {
      if (this.groupTasks >= this.groupSize && this.endGroup()) return this.rest(lane, 'turn');
      const position = this.place++;
      if (Atomics.compareExchange(this.claims, this.claimsAt + position, claim.open, claim.started) !== claim.open) {
        this.reader.skip();
        continue;
      }
      this.groupTasks += 1;
      const context = new Context(this.surroundings, position);
      // Not the group's start: whoever is blamed for its time must have had it.
      this.board.begin(lane, work.id, position, this.isTimed ? monotonicMs() : 0);
      setCurrent(context);
      try {
        const value = this.start(context);
        const ending = isThenable(value) ? value : this.cleared(context, value);
        if (ending) return this.waitFor(position, context, ending);
        this.settled(position, value);
      } catch (error) {
        const ending = this.cleared(context, undefined);
        if (ending)
          return this.waitFor(
            position,
            context,
            ending.then(() => Promise.reject(error)),
          );
        this.failed(position, error, (monotonicMs() - this.groupStartMs) * 1000);
      }
    }
    this.closeGroup(monotonicMs());
    if (this.running.size > 0) this.reportSoon();
    return this.rest(lane, 'end');
  }

  /** Only now is the last task's mark taken away: those before it were overwritten, and a mark may cost a system call. */
  private rest<T>(lane: number, next: T): T {
    setCurrent(undefined);
    this.board.end(lane);
    return next;
  }

  private start(context: Context): unknown {
    const { definition } = this.program;
    let input: unknown;
    try {
      input = this.reader.next();
    } catch (error) {
      throw finalError(definition.name, 'its input', error);
    }
    if (asynchronous.has(definition)) return scope.run(context, call, definition, input, context);
    return definition.schema ? call(definition, input, context) : definition.run(input, context);
  }

  private waitFor(position: number, context: Context, value: PromiseLike<unknown>): Pending {
    const { definition } = this.program;
    // Within a scope it is told by the scope whose code runs; else this one task is the current one until it settles.
    if (asynchronous.has(definition)) setCurrent(undefined);
    const startMs = this.groupStartMs;
    this.closeGroup(startMs);
    this.reportSoon();
    return { position, context, value, startMs };
  }

  private async settle({ position, context, value, startMs }: Pending, lane: number): Promise<void> {
    let outcome: { value: unknown } | { error: unknown };
    try {
      outcome = { value: await value };
    } catch (error) {
      outcome = { error };
    }
    await this.cleared(context, undefined);
    setCurrent(undefined);
    this.running.delete(position);
    this.board.end(lane);
    if (this.isStopped) return;
    asynchronous.add(this.program.definition);
    const durationUs = (monotonicMs() - startMs) * 1000;
    this.groupTasks = 0;
    if ('error' in outcome) this.failed(position, outcome.error, durationUs);
    else this.add(position, outcome.value, durationUs);
    if (monotonicMs() - this.reportedMs >= reportMs || this.outbox.bytes >= reportBytesMax) this.report();
    else if (this.running.size > 0) this.reportSoon();
  }

  /** The attempt ended: a promise only where something of it has to be cleared away. */
  private cleared(context: Context, value: unknown): Promise<unknown> | undefined {
    return endContext(context)?.then(
      () => value,
      (error: unknown) => {
        writeLog(context, 'warn', `what the task left behind could not be removed: ${String(error)}`);
        return value;
      },
    );
  }

  private settled(position: number, value: unknown): void {
    this.add(position, value, 0);
    this.groupResults += 1;
  }

  private add(position: number, value: unknown, durationUs: number): void {
    if (this.combiner) this.combiner.add(position, value, durationUs);
    else this.encode(position, value, durationUs);
  }

  private encode(position: number, value: unknown, durationUs: number): void {
    try {
      this.outbox.add(position, value, durationUs);
    } catch (error) {
      this.failed(position, error, durationUs);
    }
  }

  private failed(position: number, thrown: unknown, durationUs: number): void {
    const { definition } = this.program;
    const judgement = judge(definition, thrown, this.surroundings.work.attempt);
    this.outbox.addFailure({ position, durationUs: Math.round(durationUs), ...judgement });
  }

  /** Says whether the event loop should turn now. */
  private endGroup(): boolean {
    const nowMs = monotonicMs();
    const taskMs = (nowMs - this.groupStartMs) / this.groupTasks;
    this.groupSize = taskMs < tinyTaskMs ? Math.min(groupTasksMax, this.groupSize * 2) : 1;
    this.closeGroup(nowMs);
    if (this.outbox.bytes >= reportBytesMax || nowMs - this.reportedMs >= reportMs) this.report();
    return nowMs - this.turnedMs >= turnMs;
  }

  private closeGroup(nowMs: number): void {
    if (this.groupResults > 0) {
      const elapsedUs = (nowMs - this.groupStartMs) * 1000;
      if (this.combiner) this.combiner.setDurations(this.groupResults, elapsedUs);
      else this.outbox.setDurations(this.groupResults, elapsedUs);
    }
    this.groupStartMs = nowMs;
    this.groupTasks = 0;
    this.groupResults = 0;
  }

  /** The combine task runs in place of those that it covers: their first one is blamed for what it does to the thread. */
  private async combine(combiner: Combiner, lane: number): Promise<void> {
    const { work } = this.surroundings;
    this.isCombining = true;
    for (const group of combiner.groups()) {
      const first = group.positions[0]!;
      const context = new Context(this.surroundings, first);
      // Without a start: the time-out is that of the tasks, and theirs is over.
      this.board.begin(lane, work.id, first, 0);
      this.running.set(first, context);
      // Beside others it is told by its scope whose code runs.
      const isBeside = this.lanes > 1;
      if (!isBeside) setCurrent(context);
      const combined = (): ReturnType<Combiner['combine']> => combiner.combine(group, context as TaskContext);
      const partial = await (isBeside ? scope.run(context, combined) : combined());
      await this.cleared(context, undefined);
      setCurrent(undefined);
      this.running.delete(first);
      this.board.end(lane);
      if (this.isStopped) return;
      // What can't be combined goes as it is: the coordinator's own combine task will show the failure.
      if (partial) this.outbox.addPartial(partial);
      else group.positions.forEach((position, at) => this.encode(position, group.values[at], group.durations[at]!));
      if (this.outbox.bytes >= reportBytesMax) this.report();
    }
  }
}

/** Tasks of the work that may run at a time. */
export function lanesOf({ concurrency = 1 }: Work): number {
  return Math.min(concurrency, lanesMax);
}

function call(definition: Definition, input: unknown, context: Context): unknown {
  const { schema, run, name } = definition;
  if (!schema) return run(input, context);
  const checked = validate(name, schema, input);
  return isThenable(checked) ? checked.then((value) => run(value, context)) : run(checked, context);
}
