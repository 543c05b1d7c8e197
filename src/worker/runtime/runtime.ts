/**
 * What runs inside a slot, the same in a thread, a child process and `inline:`: works in order, one at a time, or side by side
 * where their tasks have lanes (lanes.ts). It knows nothing of time-outs, grace and blame; those are the host's. See channel.ts for what the two owe each other.
 */

import { type ErrorRecord, toErrorRecord } from '../../lib/error-record.ts';
import { ShoalError } from '../../lib/errors.ts';
import type { Work } from '../executors/executor.ts';
import { Batch, lanesOf } from './batch.ts';
import { type Board, loadingPosition, monotonicMs } from './board.ts';
import type { RuntimeOptions, RuntimePort, ToRuntime, WorkMessage } from './channel.ts';
import { type Context, positionOf, workOf } from './context.ts';
import { Lanes } from './lanes.ts';
import { loadProgram, type Program } from './load.ts';
import { LogBuffer } from './logs.ts';

export class Runtime {
  private readonly port: RuntimePort;
  private readonly board: Board;
  private readonly options: RuntimeOptions;
  private readonly logs: LogBuffer;
  /** Runs the closers of perThread values. */
  private readonly clear: () => Promise<unknown[]>;
  private waiting: WorkMessage[] = [];
  /** What waits for its module. */
  private readonly opening = new Set<WorkMessage>();
  /** What has begun, by its work. */
  private readonly batches = new Map<number, Batch>();
  private readonly lanes: Lanes;
  private isDriving = false;
  private isClosing = false;
  private isGone = false;

  constructor(port: RuntimePort, board: Board, options: RuntimeOptions, clear: () => Promise<unknown[]>) {
    this.port = { send: (message) => void (this.isGone || port.send(message)) };
    this.board = board;
    this.options = options;
    this.clear = clear;
    this.logs = new LogBuffer(this.port);
    this.lanes = new Lanes({
      next: (taken) => this.nextBeside(taken),
      open: (message, lane) => this.open(message, lane),
      closed: (batch) => this.batches.delete(batch.id),
    });
  }

  /** All that was posted is done; this was the last. */
  onIdle: ((last: Work) => void) | undefined;

  handle(message: ToRuntime): void {
    switch (message.kind) {
      case 'work':
        this.waiting.push(message);
        if (this.isDriving) this.lanes.fill();
        else void this.drive();
        return;
      case 'abort':
        return this.abort(message);
      case 'revoke':
        return this.takeBack(message.work, message.runs, message.why);
      case 'close':
        return this.close();
    }
  }

  /** Is this task one that is waited for? */
  isRunning(context: Context): boolean {
    return this.batches.get(workOf(context).id)?.isRunning(context) === true;
  }

  get unscoped(): Context | undefined {
    if (this.batches.size !== 1) return undefined;
    return this.batches.values().next().value?.unscoped;
  }

  /** What is done is told, then why this thread ends. The caller ends it. */
  lastWords(how: string, error: ErrorRecord, guilty: Context | undefined): void {
    if (this.isGone) return;
    for (const batch of this.batches.values()) batch.report();
    this.logs.flush();
    this.port.send({ kind: 'dying', how, error, guilty: guilty && { work: workOf(guilty).id, position: positionOf(guilty) } });
    this.detach();
  }

  /** Tells nothing more, and starts nothing more. */
  detach(): void {
    this.isGone = true;
    this.waiting = [];
    for (const batch of this.batches.values()) batch.stop();
  }

  private async drive(): Promise<void> {
    this.isDriving = true;
    let ran: WorkMessage | undefined;
    for (let message = this.waiting.shift(); message && !this.isGone; message = this.waiting.shift()) {
      ran = message;
      await (lanesOf(message.work) > 1 ? this.lanes.run(message) : this.runWork(message));
    }
    this.isDriving = false;
    if (this.isClosing) await this.finish();
    else if (ran && !this.isGone) this.onIdle?.(ran.work);
  }

  private async runWork(message: WorkMessage): Promise<void> {
    const batch = await this.open(message, 0);
    if (!batch) return;
    await batch.runLane(0);
    await batch.finish(0);
    this.batches.delete(batch.id);
  }

  /** Works are begun in their order: one that has no lanes lets none past. */
  private nextBeside(taken: number): WorkMessage | undefined {
    const next = this.waiting[0];
    if (!next || this.isGone) return undefined;
    const lanes = lanesOf(next.work);
    return lanes > 1 && taken < lanes ? this.waiting.shift() : undefined;
  }

  private async open(message: WorkMessage, lane: number): Promise<Batch | undefined> {
    const { work } = message;
    this.opening.add(message);
    const program = await this.load(message, lane);
    this.opening.delete(message);
    if (!program || this.isGone || this.isClosing) return undefined;
    const surroundings = { work, port: this.port, logs: this.logs, options: this.options };
    const batch = new Batch(surroundings, this.board, message, program);
    this.batches.set(work.id, batch);
    return batch;
  }

  private async load({ work }: WorkMessage, lane: number): Promise<Program | undefined> {
    try {
      const program = loadProgram(work, this.options.modules);
      if (!(program instanceof Promise)) return program;
      this.board.begin(lane, work.id, loadingPosition, monotonicMs());
      return await program;
    } catch (thrown) {
      const error = toErrorRecord(thrown);
      if (thrown instanceof ShoalError && thrown.why) error.message = `${thrown.message} (${thrown.why})`;
      this.port.send({ kind: 'refused', work: work.id, error });
      return undefined;
    } finally {
      this.board.end(lane);
    }
  }

  private abort({ work, runs, cause, reason, ask }: ToRuntime & { kind: 'abort' }): void {
    this.takeBack(work, runs, 'aborted');
    const batch = this.batches.get(work);
    if (batch) {
      // Who asks may end this thread soon: what is done shall not be lost with it.
      for (const each of this.batches.values()) each.report();
      batch.abort(runs, new DOMException(reason, cause === 'timeout' ? 'TimeoutError' : 'AbortError'));
    }
    this.port.send({ kind: 'signalled', work, ask });
  }

  private takeBack(work: number, runs: readonly number[], why: string): void {
    const batch = this.batches.get(work);
    if (batch) {
      const taken = batch.withdraw(runs);
      if (taken.length > 0) this.port.send({ kind: 'withdrawn', work, runs: taken, why });
      return;
    }
    const message = [...this.opening, ...this.waiting].find((each) => each.work.id === work);
    if (!message) return;
    message.withdrawn = [...(message.withdrawn ?? []), ...runs];
    this.port.send({ kind: 'withdrawn', work, runs, why });
  }

  private close(): void {
    this.isClosing = true;
    this.waiting = [];
    this.port.send({ kind: 'closing' });
    for (const batch of this.batches.values()) {
      batch.abortAll(new DOMException('the worker ends', 'AbortError'));
      batch.stop();
    }
    if (!this.isDriving) void this.finish();
  }

  private async finish(): Promise<void> {
    this.logs.flush();
    for (const failure of await this.clear()) process.emitWarning(`a perThread value could not be closed: ${String(failure)}`);
    this.port.send({ kind: 'closed' });
  }
}
