/**
 * `shoal worker`: a small process that starts the one that runs tasks, starts it again when it dies, and then tells the
 * coordinator what it saw: exit code, signal, the last memory reading. So a death is known in milliseconds rather than by a
 * lease that ends, and running out of memory reads differently from being killed.
 *
 * 1. The child ends with this process, whatever ends it.
 * 2. A child that ended by itself after a drain, or could not start at all, is not started again.
 * 3. The first signal drains, for `drainTimeoutMs` at most; then, or at a second one, what runs is aborted and goes back
 *    uncharged.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Broker, BrokerPlace } from '../brokers/broker.ts';
import type { MemoryReading, WorkerDeath } from '../core/messages.ts';
import { ShoalError } from '../lib/errors.ts';
import { encodeMessage } from '../wire/frame.ts';
import type { ClusterWorkerOptions } from './cluster-worker.ts';
import { memoryLimit, outOfMemoryKills } from './memory.ts';

/** A worker that its own memory guard has ended. */
export const outOfMemoryExitCode = 70;

/** To the child; `start` is the first. */
export type ToChild = { say: 'start'; options: ClusterWorkerOptions; place: BrokerPlace } | { say: 'drain' } | { say: 'stop' };

export type FromChild =
  | { say: 'started' }
  | { say: 'incarnation'; incarnation: string }
  | { say: 'memory'; memory: MemoryReading }
  | { say: 'log'; line: string }
  | { say: 'outOfMemory'; text: string }
  /** It can't start: there is no use in trying again. */
  | { say: 'failed'; problem: { code: string; message: string; why?: string; hint?: string } }
  | { say: 'ended' };

export interface SupervisorOptions {
  worker: ClusterWorkerOptions;
  place: BrokerPlace;
  drainTimeoutMs: number;
  childFile: string;
  openBroker: () => Promise<Broker>;
  onLog: (line: string) => void;
}

const restartMsFirst = 500;
const restartMsMax = 30_000;
const healthyMs = 60_000;
const stderrTailChars = 8_192;
const obituaryTries = 5;

export class Supervisor {
  private readonly options: SupervisorOptions;
  private child: Child | undefined;
  private phase: 'working' | 'draining' | 'stopping' = 'working';
  private restartMs = restartMsFirst;
  private timer: NodeJS.Timeout | undefined;
  private wake: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.options = options;
  }

  /** Resolves after a drain; rejects if the worker cannot start. */
  async run(): Promise<void> {
    while (this.phase === 'working') {
      const startMs = performance.now();
      this.child = new Child(this.options);
      const end = await this.child.ended;
      this.child = undefined;
      if (end.failed) throw end.failed;
      if (end.isClean) break;
      await this.mourn(end);
      if (performance.now() - startMs > healthyMs) this.restartMs = restartMsFirst;
      if (this.phase === 'working') await this.pause();
    }
    clearTimeout(this.timer);
  }

  /** First: drain. Then: stop. */
  signal(): void {
    if (this.phase === 'working') {
      this.phase = 'draining';
      this.options.onLog(`draining: no new tasks; what runs may finish within ${this.options.drainTimeoutMs / 1000} s`);
      this.child?.say({ say: 'drain' });
      this.timer = setTimeout(() => this.stop('the drain timeout is over'), this.options.drainTimeoutMs);
    } else this.stop('asked again');
    this.wake?.();
  }

  private stop(why: string): void {
    if (this.phase === 'stopping') {
      this.child?.kill();
      return;
    }
    this.phase = 'stopping';
    this.options.onLog(`stopping (${why}): what runs is aborted and goes back, no attempt is charged`);
    this.child?.say({ say: 'stop' });
  }

  private async mourn({ death, incarnation, memory }: ChildEnd): Promise<void> {
    this.options.onLog(`the worker's process died: ${death.text}`);
    if (incarnation === undefined) return;
    const message = encodeMessage({
      kind: 'died',
      worker: this.options.worker.name,
      incarnation,
      how: death,
      ...(memory && { memory }),
    });
    for (let tries = 1; tries <= obituaryTries; tries++) {
      try {
        const broker = await this.options.openBroker();
        await broker.send('hello', message);
        await broker.close();
        return;
      } catch (error) {
        // The lease tells as well, only later.
        if (tries === obituaryTries) this.options.onLog(`the coordinator could not be told: ${(error as Error).message}`);
        else await new Promise((resolve) => setTimeout(resolve, 200 * tries));
      }
    }
  }

  private async pause(): Promise<void> {
    this.options.onLog(`starting it again in ${this.restartMs / 1000} s`);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.restartMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
    this.restartMs = Math.min(restartMsMax, 2 * this.restartMs);
  }
}

interface ChildEnd {
  isClean: boolean;
  failed: ShoalError | undefined;
  death: WorkerDeath;
  incarnation: string | undefined;
  memory: MemoryReading | undefined;
}

/** One process that runs tasks, from its start to its end. */
class Child {
  readonly ended: Promise<ChildEnd>;
  private readonly process: ChildProcess;
  private readonly onLog: (line: string) => void;
  private readonly killsBefore = outOfMemoryKills();
  private incarnation: string | undefined;
  private memory: MemoryReading | undefined;
  private outOfMemory: string | undefined;
  private failed: ShoalError | undefined;
  private isClean = false;
  private stderrTail = '';

  constructor({ worker, place, childFile, onLog }: SupervisorOptions) {
    this.onLog = onLog;
    this.process = fork(childFile, [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: process.execArgv });
    this.process.on('message', (message) => this.hear(message as FromChild));
    this.process.stderr!.on('data', (chunk: Buffer) => {
      process.stderr.write(chunk);
      this.stderrTail = (this.stderrTail + chunk.toString()).slice(-stderrTailChars);
    });
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => {
        this.failed ??= new ShoalError('SH5013', 'the process that runs the tasks could not be started', { why: error.message });
        if (this.process.pid === undefined) resolve(this.end(null, null));
      });
      // Not `close`: what a task has started may hold its stderr open for ever.
      this.process.once('exit', (code, signal) => setImmediate(() => resolve(this.end(code, signal))));
    });
    this.say({ say: 'start', options: worker, place });
  }

  say(message: ToChild): void {
    if (this.process.connected) this.process.send(message, () => undefined);
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }

  private hear(message: FromChild): void {
    switch (message.say) {
      case 'incarnation':
        this.incarnation = message.incarnation;
        return;
      case 'memory':
        this.memory = message.memory;
        return;
      case 'log':
        return this.onLog(message.line);
      case 'outOfMemory':
        this.outOfMemory = message.text;
        return;
      case 'failed': {
        const { code, message: text, why, hint } = message.problem;
        this.failed = new ShoalError(code, text, { why, hint });
        return;
      }
      case 'started':
        return;
      case 'ended':
        this.isClean = true;
        return;
    }
  }

  private end(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
    const death: WorkerDeath = {
      ...(code !== null && { exitCode: code }),
      ...(signal !== null && { signal }),
      ...this.cause(code, signal),
    };
    return { isClean: this.isClean, failed: this.failed, death, incarnation: this.incarnation, memory: this.memory };
  }

  private cause(code: number | null, signal: NodeJS.Signals | null): { isOutOfMemory: boolean; text: string } {
    if (this.outOfMemory !== undefined) return { isOutOfMemory: true, text: `out of memory: ${this.outOfMemory}` };
    if (/heap out of memory|Reached heap limit/.test(this.stderrTail)) {
      return { isOutOfMemory: true, text: 'out of memory: its own heap reached its limit' };
    }
    const bytesMax = this.memory?.bytesMax ?? memoryLimit();
    if (signal === 'SIGKILL' && outOfMemoryKills() > this.killsBefore) {
      return { isOutOfMemory: true, text: `out of memory: killed by the kernel, limit ${Math.round(bytesMax / 2 ** 20)} MiB` };
    }
    if (signal === 'SIGKILL') return { isOutOfMemory: false, text: 'killed from outside by SIGKILL' };
    return { isOutOfMemory: false, text: signal === null ? `exit code ${code}` : `ended by ${signal}` };
  }
}
