/** Clusters as users hold them, and the default one that is opened by its first use. */

import { msgpackCodec } from '../codecs/msgpack.ts';
import { codecNamed } from '../codecs/named.ts';
import type { JobView, WorkerInfo } from '../core/answers.ts';
import { ShoalError } from '../lib/errors.ts';
import { findDefinition } from '../tasks/definition.ts';
import { Connection } from './connection.ts';
import { OpenedJob } from './job.ts';
import { type Opened, type OpenOptions, open } from './opener.ts';
import { durationOption, optionError } from './options.ts';
import { programHook } from './program.ts';
import type { Cluster, Duration, Job } from './types.ts';
import { UnreadMaps } from './unread.ts';
import { WaitingWatch } from './waiting.ts';

/** Jobs whose end is told to a tool that runs the program. */
const startedJobsMax = 1_000;

export class ClusterHandle implements Cluster {
  readonly isDefault: boolean;
  readonly unread: UnreadMaps;
  /** There once the cluster is open. */
  connection: Connection | undefined;
  readonly #address: string;
  readonly #options: OpenOptions;
  readonly #onOpen: ((address: string) => void) | undefined;
  #opened: Opened | undefined;
  #opening: Promise<Connection> | undefined;
  #closing: Promise<void> | undefined;
  #waiting: WaitingWatch | undefined;
  readonly #running = new Set<string>();
  readonly #startedJobs: string[] = [];
  readonly #viewedJobs = new Set<string>();
  /** Jobs that only their handles can reach. */
  readonly #handles = new FinalizationRegistry<string>((job) => {
    // It may be gone already, and the cluster too.
    this.connection?.request({ kind: 'deleteJob', job }).catch(() => undefined);
  });

  constructor(address: string, options: OpenOptions, isDefault = false, onOpen?: (address: string) => void) {
    this.#address = address;
    this.#options = options;
    this.isDefault = isDefault;
    this.unread = new UnreadMaps(() => this.address, isDefault);
    this.#onOpen = onOpen;
  }

  get address(): string {
    return this.#opened?.address ?? this.#address;
  }

  /** Do its jobs outlive this process? */
  get isDurable(): boolean {
    return this.#opened?.durable ?? false;
  }

  /** Do its jobs go on without this process? */
  get isRemote(): boolean {
    return this.#opened?.isRemote ?? false;
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  open(): Promise<Connection> {
    if (this.#closing)
      return Promise.reject(new ShoalError('SH1302', `the cluster ${this.address} is closed`, { hint: 'call connect() again' }));
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async job<O = unknown>(id: string): Promise<Job<O>> {
    const connection = await this.open();
    const view = await this.#find(connection, id);
    const { name, output } = view;
    const codec = findDefinition(output?.definition?.name ?? name)?.codec ?? codecNamed(output?.definition?.codec) ?? msgpackCodec;
    const job = { connection, cluster: this, id: view.job, name, isDeduplicated: true, isKeyed: view.key !== undefined, stages: [] };
    return new OpenedJob<O>(job, output?.take ?? 'one', codec);
  }

  async waitForWorkers(count: number, options: { timeout?: Duration } = {}): Promise<void> {
    if (!(Number.isInteger(count) && count >= 0)) throw optionError(this.address, 'count', count, 'a whole number of workers');
    const timeoutMs = options.timeout === undefined ? workersTimeoutMs : durationOption(this.address, 'timeout', options.timeout, 0);
    await pollForWorkers(await this.open(), count, timeoutMs);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  started(job: string): void {
    this.#running.add(job);
    const { onLog } = this.#options;
    // In one process every line comes by itself.
    if (this.isRemote && onLog) this.connection?.readLogs(job, { lines: (lines) => lines.forEach(onLog), end: () => undefined }, true);
    if (programHook()?.onEnd && this.#startedJobs.length < startedJobsMax) this.#startedJobs.push(job);
  }

  ended(job: string): void {
    this.#running.delete(job);
  }

  /**
   * A job that has ended, without a key or a wish to keep it, in a cluster that ends with this process: it goes when
   * nobody holds its handle any more. A program that maps all day would fill the memory otherwise.
   */
  releaseWith(handle: object, job: string): void {
    if (!this.isDurable && !programHook()?.onEnd) this.#handles.register(handle, job);
  }

  /** Jobs that this client has started and not seen the end of. */
  get runningJobs(): readonly string[] {
    return [...this.#running];
  }

  /** Cancels what this client has started and not seen the end of. */
  async cancelRunning(reason: string): Promise<void> {
    const { connection } = this;
    if (!connection) return;
    const jobs = [...this.#running];
    await Promise.allSettled(jobs.map((job) => connection.request({ kind: 'cancel', job, reason })));
  }

  /** A tool has seen it when the program ended, and tells of it. */
  wasViewed(job: string): boolean {
    return this.#viewedJobs.has(job);
  }

  /** How the jobs of this program stand; those that are gone already are left out. */
  async startedViews(): Promise<JobView[]> {
    const { connection } = this;
    if (!connection) return [];
    for (const job of this.#startedJobs) this.#viewedJobs.add(job);
    const views = await Promise.allSettled(this.#startedJobs.map((job) => connection.request<JobView>({ kind: 'query', job })));
    return views.flatMap((view) => (view.status === 'fulfilled' ? [view.value] : []));
  }

  async #open(): Promise<Connection> {
    const opened = await open(this.#address, this.#options);
    this.#opened = opened;
    const connection = new Connection(opened.session());
    this.connection = connection;
    this.#waiting = new WaitingWatch(connection, this.#running, this.isRemote, tellWaiting(opened.address, this.isRemote));
    this.#onOpen?.(opened.address);
    return connection;
  }

  async #close(): Promise<void> {
    // What is just being opened is closed as well; what could not be opened has nothing to close.
    await this.#opening?.catch(() => undefined);
    this.#waiting?.end();
    this.connection?.close();
    this.#running.clear();
    await this.#opened?.close();
    // Maps that were just being opened hear of it first.
    await new Promise(setImmediate);
    this.unread.tellAll();
  }

  async #find(connection: Connection, id: string): Promise<JobView> {
    try {
      return await connection.request<JobView>({ kind: 'query', job: id });
    } catch (error) {
      const found = await connection.request<{ job: string }>({ kind: 'find', key: id }).catch(() => undefined);
      if (!found) throw error;
      return connection.request<JobView>({ kind: 'query', job: found.job });
    }
  }
}

/**
 * Opens a cluster: `inline:` (this thread), `local:` or `local:8` (threads of this process). Without an address:
 * `SHOAL_ADDRESS`, then `local:`. Throws SH1301 for an address that nobody understands.
 */
export async function connect(address?: string, options: { token?: string; threads?: number } = {}): Promise<Cluster> {
  const { threads } = options;
  const target = address ?? addressOfEnvironment()?.address ?? 'local:';
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw optionError(target, 'threads', threads, 'a whole number from 1 to 1024');
  }
  const from = address === undefined && process.env.SHOAL_ADDRESS ? 'SHOAL_ADDRESS (environment)' : undefined;
  const cluster = new ClusterHandle(target, { ...options, from, onState: tellState(target) });
  await cluster.open();
  return cluster;
}

const fromEnvironment = 'from SHOAL_ADDRESS';
const workersTimeoutMs = 30_000;
const workersPollMs = 100;

async function pollForWorkers(connection: Connection, count: number, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const workers = await connection.request<WorkerInfo[]>({ kind: 'listWorkers' });
    const live = workers.filter(({ status }) => status === 'live').length;
    if (live >= count) return;
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) throw new ShoalError('SH1405', `${live} of ${count} workers are there after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(workersPollMs, leftMs)));
  }
}

function tellWaiting(address: string, isRemote: boolean): (view: JobView, why: string) => void {
  return ({ job, name }, why) => {
    const advice = isRemote
      ? `shoal explain ${job} --address ${address}`
      : `${address} has no other worker, and gets none: run it on a cluster that has one`;
    const text = `${name} waits: ${why}\n  ${advice}`;
    const hook = programHook();
    if (hook?.tell) hook.tell('waiting', text, { jobs: [job], address });
    else if (process.env.SHOAL_QUIET !== '1') process.stderr.write(`shoal: ${text}\n`);
  };
}

/** Nothing waits in silence. */
function tellState(address: string): (state: 'away' | 'back', why: string) => void {
  return (state, why) => {
    if (process.env.SHOAL_QUIET === '1') return;
    const text =
      state === 'away' ? `no line to the coordinator at ${address} (${why}); still trying` : `the coordinator at ${address} is back`;
    process.stderr.write(`shoal: ${text}\n`);
  };
}

let current: ClusterHandle | undefined;

/** The cluster of tasks that were not put `on` another one. */
export function defaultCluster(): ClusterHandle {
  if (current && !current.isClosed) return current;
  const hook = programHook();
  const found = addressOfEnvironment() ?? { address: 'local:', from: 'nothing said where, and this is the default' };
  const target = hook?.address ?? found.address;
  const from = hook?.address === undefined && found.from === fromEnvironment ? 'SHOAL_ADDRESS (environment)' : undefined;
  const cluster = new ClusterHandle(target, { from, onState: tellState(target), ...hook?.options }, true, (address) => {
    // A tool that runs the program says such things itself.
    if (hook || process.env.SHOAL_QUIET === '1') return;
    process.stderr.write(`shoal: running on ${address} (${found.from})\n`);
    if (!process.env.SHOAL_JOURNAL || /^https?:/.test(address)) return;
    process.stderr.write('shoal: SHOAL_JOURNAL is for shoal run; a program that node itself runs keeps no journal\n');
  });
  current = cluster;
  // Where nothing else is left to do, threads and files are put away in order.
  process.once('beforeExit', () => void cluster.close());
  return cluster;
}

function addressOfEnvironment(): { address: string; from: string } | undefined {
  const address = process.env.SHOAL_ADDRESS;
  return address === undefined || address === '' ? undefined : { address, from: fromEnvironment };
}

export function clusterHandleOf(who: string, cluster: Cluster): ClusterHandle {
  if (cluster instanceof ClusterHandle) return cluster;
  throw new ShoalError('SH1102', `${who}: on() takes a cluster`, { hint: 'open one with: await connect()' });
}
