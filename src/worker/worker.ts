/**
 * The worker's shell: it does what protocol.ts decides. It owns the broker's listener, one executor a slot, the
 * tick, and the ids of its incarnations; it decides nothing about tasks.
 *
 * A round: something comes in (messages, a slot's event, a tick) → protocol → `fill` → its effects, in order.
 * All of it is synchronous, so that a message becomes a running task, and a result a message, within the same
 * microtask. An executor may report from within `run` (inline): that joins the round under way.
 */
import { availableParallelism, hostname, totalmem } from 'node:os';
import { type Broker, BrokerUnavailableError, type Listener } from '../brokers/broker.ts';
import { listen, post } from '../brokers/post.ts';
import { payloadBytesMax } from '../core/limits.ts';
import type { FromWorker, MemoryReading, ToWorker } from '../core/messages.ts';
import { concatBytes } from '../lib/bytes.ts';
import { type Outside, realOutside, type Timer } from '../lib/outside.ts';
import { ulid } from '../lib/ulid.ts';
import { version } from '../lib/version.ts';
import { identityDefinition } from '../tasks/internal.ts';
import type { BundleStore } from './bundles.ts';
import { CpuMeter } from './cpu.ts';
import { ByCode, type RuntimeCode } from './executors/by-code.ts';
import type { Executor, ExecutorOptions, Work, WorkEvents } from './executors/executor.ts';
import { inlineExecutor } from './executors/inline.ts';
import { processExecutor } from './executors/process.ts';
import { threadExecutor } from './executors/thread.ts';
import { MemoryGuard } from './memory-guard.ts';
import { doubtMs, type WorkerEffect, WorkerProtocol, workerAddress } from './protocol.ts';
import { messageHeaderBytes } from './reports.ts';

export type Isolation = 'thread' | 'process' | 'inline';

export interface WorkerOptions {
  /** Its name; unique in a cluster at any time. */
  worker: string;
  broker: Broker;
  slots: number;
  isolation: Isolation;
  queues?: readonly string[];
  labels?: Readonly<Record<string, string>>;
  /** Absent: the CPUs and memory of this machine. */
  resources?: Readonly<Record<string, number>>;
  /** After a signal, before a thread or process is terminated. */
  graceMs?: number;
  /** Heap of a thread or child. */
  heapMiB?: number;
  /** Where tasks come from; absent: whatever module a task's definition names (one machine). */
  code?: WorkerCodeOptions;
  /** The processes of this worker together may use this much memory, bytes; default: what the container or machine has. */
  memoryBytesMax?: number;
  /** Threads alone have used too much: this process has to end, or the kernel ends it. */
  onOutOfMemory?: (text: string) => void;
  /** Another incarnation has begun. */
  onIncarnation?: (incarnation: string) => void;
  /** How often time is looked at: beats, repeats, leases. */
  tickMs?: number;
  /** One line for the log of this process: replaced slots, frames that make no sense. */
  onWarning?: (line: string) => void;
  /** Stands in for the executors of `isolation`; for tests. */
  executors?: (options: ExecutorOptions, slot: number) => Executor;
  /** Stands in for the guard over this process's memory; for tests. */
  memory?: Pick<MemoryGuard, 'read' | 'look'>;
  /** Time and chance; the simulator's, or those of this process. */
  outside?: Outside;
}

export interface WorkerCodeOptions {
  /** File URLs of modules, and the names of the tasks in them (see discover.ts). */
  modules: readonly string[];
  names: readonly string[];
  /** Absent: this worker runs no uploaded programs. */
  bundles?: Pick<BundleStore, 'has' | 'store' | 'urlOf' | 'isThere'>;
}

export interface WorkerHandle {
  readonly worker: string;
  /** Tasks held and not acknowledged. */
  readonly heldTasks: number;
  readonly memory: MemoryReading | undefined;
  /** Starts the threads or processes of all slots now, so that the first result comes soon. */
  warm(): void;
  /** Takes nothing more, finishes what runs, and ends (W10). The same promise as `drained`. */
  drain(): Promise<void>;
  /** Settles when the worker has ended, whoever asked for it. */
  readonly drained: Promise<void>;
  /** Ends now: what runs is stopped and goes back with everything else, no attempt charged. */
  stop(): Promise<void>;
}

const tickMsDefault = 250;
const graceMsDefault = 5_000;
/** Every thread has our own tasks. */
const ownTasks = [identityDefinition.module!];

const executorsOf: Record<Isolation, (options: ExecutorOptions) => Executor> = {
  thread: threadExecutor,
  process: processExecutor,
  inline: inlineExecutor,
};

/** Resolves when the worker listens; it says hello by itself until a coordinator answers. */
export async function startWorker(options: WorkerOptions): Promise<WorkerHandle> {
  const shell = new WorkerShell(options);
  await shell.start();
  return {
    worker: options.worker,
    get heldTasks() {
      return shell.heldTasks;
    },
    get memory() {
      return shell.memory;
    },
    warm: () => shell.warm(),
    drain: () => shell.drain(),
    drained: shell.drained,
    stop: () => shell.stop(),
  };
}

class WorkerShell {
  readonly drained: Promise<void>;
  private readonly options: WorkerOptions;
  private readonly outside: Outside;
  private readonly protocol: WorkerProtocol;
  private readonly executors: (Executor | undefined)[] = [];
  /** Executors of tasks that ran alone, on their way out. */
  private readonly closing = new Set<Promise<void>>();
  /** Sends that are waited for before this worker ends. */
  private readonly lastSends: Promise<void>[] = [];
  private listener: Listener | undefined;
  private timer: Timer | undefined;
  private readonly guard: WorkerOptions['memory'];
  private readonly cpu: CpuMeter | undefined;
  /** Whoever has its name, as it was told last. */
  private namesake = '';
  private isInRound = false;
  private ending: Promise<void> | undefined;
  private resolveDrained: () => void = () => undefined;
  private rejectDrained: (error: unknown) => void = () => undefined;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.outside = options.outside ?? realOutside;
    this.drained = new Promise((resolve, reject) => {
      this.resolveDrained = resolve;
      this.rejectDrained = reject;
    });
    // Whoever waits for it hears of a failure; nobody has to.
    this.drained.catch(() => undefined);
    // In a user's own process there are children that are none of our business, and under stand-ins there are none.
    const isGuarded = options.code !== undefined && options.executors === undefined;
    this.guard = isGuarded
      ? new MemoryGuard({
          bytesMax: options.memoryBytesMax,
          onOutOfMemory: options.onOutOfMemory,
          onWarning: (line) => this.warn(line),
        })
      : options.memory;
    this.cpu = isGuarded ? new CpuMeter() : undefined;
    this.protocol = new WorkerProtocol({
      worker: options.worker,
      slots: options.slots,
      labels: { ...options.labels },
      resources: { ...(options.resources ?? { cpu: availableParallelism(), memory: totalmem() }) },
      queues: [...(options.queues ?? ['default'])],
      host: hostname(),
      pid: process.pid,
      life: Buffer.from(this.outside.randomBytes(8)).toString('hex'),
      version,
      code: options.code ? { kind: 'named', names: [...options.code.names], bundles: options.code.bundles !== undefined } : { kind: 'any' },
      // One value may have so much; several are cut into messages.
      messageBytesMax: Math.min(options.broker.maxMessageBytes, payloadBytesMax + messageHeaderBytes),
      hasAloneSlot: options.isolation !== 'inline',
      seed: this.outside.randomBelow(2 ** 31),
    });
  }

  get heldTasks(): number {
    return this.protocol.heldTasks;
  }

  get memory(): MemoryReading | undefined {
    return this.protocol.memory;
  }

  async start(): Promise<void> {
    this.protocol.memory = this.guard?.read();
    await this.listen();
    this.timer = this.outside.every(this.options.tickMs ?? tickMsDefault, this.tick);
    this.timer.unref();
    this.options.broker.onState((state) => {
      if (state !== 'up') return;
      this.round(() => this.protocol.onBrokerUp(this.outside.nowMs()));
      // Who leads now is found out without waiting for the next ticks.
      this.tick();
      this.outside.after(doubtMs, this.tick).unref();
    });
  }

  warm(): void {
    const { code, slots } = this.options;
    for (let slot = 0; !this.ending && slot < slots; slot++) {
      const executor = this.executor(slot);
      if (executor instanceof ByCode && code && code.modules.length > 0) executor.warm(this.ownCode(code));
    }
  }

  drain(): Promise<void> {
    this.round(() => this.protocol.drain(this.outside.nowMs()));
    return this.drained;
  }

  stop(): Promise<void> {
    if (!this.ending) {
      // Nothing more is started; what waits goes back at once, what runs when its slot is gone (W10: no overlap).
      this.round(() => this.protocol.drain(this.outside.nowMs()));
      this.end();
    }
    return this.drained;
  }

  /** Once. After `drained` there is nothing left that `leave` could hand back. */
  private end(): void {
    if (this.ending) return;
    this.timer?.cancel();
    this.ending = this.close().then(this.resolveDrained, this.rejectDrained);
  }

  private async close(): Promise<void> {
    const closed = await Promise.allSettled([...this.executors.map((executor) => executor?.close()), ...this.closing]);
    for (const result of closed) if (result.status === 'rejected') this.warn(`a slot did not close: ${textOf(result.reason)}`);
    this.round(() => this.protocol.leave('the worker stops', this.outside.nowMs()));
    await Promise.all(this.lastSends);
    await this.listener?.close();
  }

  // ---- rounds -----------------------------------------------------------------

  private round(input: () => void): void {
    input();
    if (this.isInRound) return;
    this.isInRound = true;
    try {
      for (;;) {
        this.protocol.fill(this.outside.nowMs());
        const effects = this.protocol.takeEffects();
        if (effects.length === 0) return;
        for (const effect of effects) this.attempt(effect);
      }
    } finally {
      this.isInRound = false;
    }
  }

  /** After the messages that came in meanwhile, which the event loop hands over between a timer and this (K05). */
  private readonly tick = (): void => {
    if (this.ending) return;
    if (this.guard) this.protocol.memory = this.guard.look();
    this.protocol.cpu = this.cpu?.look();
    this.round(() => this.protocol.tick(this.outside.nowMs()));
  };

  /** One that can't be done does not take the others with it. */
  private attempt(effect: WorkerEffect): void {
    try {
      this.perform(effect);
    } catch (error) {
      this.warn(`${effect.effect} was not possible: ${textOf(error)}`);
    }
  }

  private perform(effect: WorkerEffect): void {
    switch (effect.effect) {
      case 'send':
        return this.send(effect.address, effect.message);
      case 'run':
        return this.executor(effect.slot).run(effect.work);
      case 'abort':
        return this.executors[effect.slot]?.abort(effect.work, effect.ranges, effect.reason);
      case 'revoke':
        return this.executors[effect.slot]?.revoke(effect.work, effect.ranges, effect.why);
      case 'closeAlone':
        return this.closeAlone(effect.slot);
      case 'findBundle':
        return this.findBundle(effect.hash);
      case 'storeBundle':
        return this.storeBundle(effect.hash, effect.body);
      case 'newIncarnation':
        void this.listen().catch((error: unknown) => this.warn(`cannot listen as a new incarnation: ${textOf(error)}`));
        return;
      case 'nameTaken':
        return this.onNameTaken(`process ${effect.pid} on ${effect.host}`);
      case 'drained':
        return this.end();
    }
  }

  private findBundle(hash: string): void {
    void this.options.code?.bundles?.has(hash).then(
      (isHere) => this.round(() => (isHere ? this.protocol.onBundleHere(hash) : this.protocol.onBundleMissing(hash, this.outside.nowMs()))),
      (error: unknown) => this.refuseBundle(hash, error),
    );
  }

  private storeBundle(hash: string, body: readonly Uint8Array[]): void {
    void this.options.code?.bundles?.store(hash, concatBytes(body)).then(
      () => this.round(() => this.protocol.onBundleHere(hash)),
      (error: unknown) => this.refuseBundle(hash, error),
    );
  }

  private refuseBundle(hash: string, error: unknown): void {
    this.warn(textOf(error));
    this.round(() => this.protocol.onBundleRefused(hash, textOf(error), this.outside.nowMs()));
  }

  /** Its program was here and is not any more: it goes back, and the next assignment fetches the program again. */
  private hasLostBundle({ definition: { bundle } }: Work): boolean {
    if (bundle === undefined || this.options.code?.bundles?.isThere(bundle) !== false) return false;
    this.protocol.bundles.forget(bundle);
    return true;
  }

  private send(address: string, message: FromWorker): void {
    if (message.kind === 'logs' && this.options.broker.state === 'down') return this.protocol.reports.unsaid.add(message.lines);
    // What was not taken is said again: by the outbox, the next beat, the next hello.
    const sent = this.post(address, message);
    if (this.ending || message.kind === 'goodbye') this.lastSends.push(sent);
  }

  /** Never rejects: a message that can't be written is no reason to end. */
  private async post(address: string, message: FromWorker): Promise<void> {
    try {
      await post(this.options.broker, address, message);
    } catch (error) {
      // That its line is down the broker tells by itself, once; here it would be a line a message.
      if (!(error instanceof BrokerUnavailableError)) this.warn(`${message.kind} was not sent: ${textOf(error)}`);
    }
  }

  // ---- listening ----------------------------------------------------------------

  /** As a new incarnation, on an address of its own (rule 9): words for an older one are not heard any more. */
  private async listen(): Promise<void> {
    const incarnation = ulid(this.outside.wallMs(), this.outside.randomBytes(10));
    const address = workerAddress(this.options.worker, incarnation);
    const nonsense = (why: string): void => this.warn(`a message makes no sense: ${why}`);
    const listener = await listen<ToWorker>(this.options.broker, address, this.onMessages, nonsense);
    const older = this.listener;
    this.listener = listener;
    this.options.onIncarnation?.(incarnation);
    this.round(() => this.protocol.begin(incarnation, this.outside.nowMs()));
    if (this.ending) await listener.close();
    await older?.close();
  }

  private readonly onMessages = (messages: readonly ToWorker[]): void => {
    this.round(() => {
      const nowMs = this.outside.nowMs();
      for (const message of messages) this.protocol.onMessage(message, nowMs);
    });
  };

  // ---- slots ----------------------------------------------------------------------

  private executor(slot: number): Executor {
    return (this.executors[slot] ??= this.openExecutor(slot));
  }

  private openExecutor(slot: number): Executor {
    const { isolation, slots, worker, heapMiB, code, graceMs = graceMsDefault } = this.options;
    const isAlone = slot >= slots;
    const options: ExecutorOptions = {
      events: this.eventsOf(slot),
      graceMs,
      isAlone,
      name: isAlone ? `${worker}-alone-${slot - slots}` : `${worker}-${slot}`,
      ...(heapMiB === undefined ? {} : { heapMiB }),
    };
    if (this.options.executors) return this.options.executors(options, slot);
    // A task that may kill its process runs in one of its own, so that the blame is its own too (rule 7).
    const open = executorsOf[isAlone ? 'process' : isolation];
    if (!code) return open(options);
    return new ByCode({
      events: options.events,
      codeOf: (work) => this.codeOf(code, work),
      open: ({ modules }, events) => open({ ...options, events, modules, sourceMaps: true }),
    });
  }

  private codeOf(code: WorkerCodeOptions, { definition }: Work): RuntimeCode {
    const { bundle } = definition;
    if (bundle === undefined || !code.bundles) return this.ownCode(code);
    return { key: bundle, modules: [code.bundles.urlOf(bundle), ...ownTasks] };
  }

  private ownCode({ modules }: WorkerCodeOptions): RuntimeCode {
    return { key: '', modules: [...modules, ...ownTasks] };
  }

  private closeAlone(slot: number): void {
    const executor = this.executors[slot];
    if (!executor) return;
    this.executors[slot] = undefined;
    const closed = executor
      .close()
      .catch((error: unknown) => this.warn(`the process of a task that ran alone did not close: ${textOf(error)}`))
      .finally(() => this.closing.delete(closed));
    this.closing.add(closed);
  }

  private eventsOf(slot: number): WorkEvents {
    const { protocol } = this;
    const { reports } = protocol;
    const now = (): number => this.outside.nowMs();
    return {
      results: (work, done) => this.round(() => reports.onResults(work.id, done, now())),
      partial: (work, done) => this.round(() => reports.onPartial(work.id, done, now())),
      failed: (work, index, failure) => this.round(() => reports.onFailed(work.id, index, failure, now())),
      crashed: (work, index, how, error) => this.round(() => reports.onCrashed(work.id, index, how, error, now())),
      released: (work, ranges, why) => this.round(() => reports.onReleased(work.id, ranges, why, now())),
      refused: (work, error) => {
        // On one machine its job ends with this very error.
        if (this.options.code) this.warn(`the task "${work.definition.name}" goes back: ${error.message}`);
        if (this.hasLostBundle(work)) this.round(() => reports.onReleased(work.id, work.ranges, error.message, now()));
        else this.round(() => reports.onRefused(work.id, error, now()));
      },
      finished: (work) => this.round(() => protocol.onFinished(work.id, now())),
      logs: (lines) => this.round(() => reports.onLogs(lines)),
      note: (work, index, done, total, note) => this.round(() => reports.onNote(work.id, index, done, total, note)),
      replaced: (why) => {
        this.warn(`slot ${slot} was replaced: ${why}`);
        this.round(() => protocol.onReplaced(slot, now()));
      },
    };
  }

  private onNameTaken(owner: string): void {
    if (owner !== this.namesake)
      this.warn(`there is a worker of this name already, ${owner}: this one waits until that has ended; names are unique`);
    this.namesake = owner;
  }

  private warn(line: string): void {
    this.options.onWarning?.(`worker ${this.options.worker}: ${line}`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
