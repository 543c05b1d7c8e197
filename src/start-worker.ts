/** Workers, as programs and the command line start them. */
import { availableParallelism, hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { openBroker, serverPlace } from './broker-of.ts';
import type { BrokerPlace } from './brokers/broker.ts';
import { countOption, durationOption, isQueueName, optionError, refuseUnknown, textOption, threadsMax } from './client/options.ts';
import { planOf } from './client/plan.ts';
import { refuseInsideTask } from './client/submission.ts';
import type { Duration, Task } from './client/types.ts';
import { entryUrl } from './lib/entry.ts';
import { ShoalError } from './lib/errors.ts';
import type { ClusterWorkerOptions } from './worker/cluster-worker.ts';
import { Supervisor } from './worker/supervisor.ts';

export const defaultWorkerName = (): string => `${hostname()}-${process.pid}`;

/** A worker in a process of its own, watched by this one. */
export function superviseWorker(
  worker: ClusterWorkerOptions,
  options: { place: BrokerPlace; drainTimeoutMs: number; onLog: (line: string) => void },
): Supervisor {
  const { place, drainTimeoutMs, onLog } = options;
  return new Supervisor({
    worker,
    place,
    drainTimeoutMs,
    childFile: fileURLToPath(entryUrl(import.meta.url, './worker-child.ts')),
    openBroker: () => openBroker(place),
    onLog,
  });
}

export interface StartWorkerOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT` of a coordinator, unless there is a broker. */
  address?: string;
  /** The coordinator's broker, if that is not its own port: `redis://HOST:PORT` and the like. */
  broker?: string;
  /** The coordinator's cluster at that broker; default `shoal`. */
  cluster?: string;
  /** Messages at that broker are signed with it. */
  clusterSecret?: string;
  /** Tasks that it has, defined at the top level of their modules; or the programs that clients upload. */
  // biome-ignore lint/suspicious/noExplicitAny: tasks of any kind
  tasks: readonly Task<any, any>[] | 'bundles';
  /** Default: one a core. */
  threads?: number;
  /** Default: `default`. */
  queues?: readonly string[];
  /** After `stop()`, what runs may finish for this long; default 25 s. */
  drainTimeout?: Duration;
  token?: string;
  name?: string;
}

const optionNames: readonly (keyof StartWorkerOptions)[] = [
  'address',
  'broker',
  'cluster',
  'clusterSecret',
  'tasks',
  'threads',
  'queues',
  'drainTimeout',
  'token',
  'name',
];

/**
 * Starts a worker in this process. `drained` settles when it has ended, whoever asked for that; `stop()` lets what runs
 * finish, up to `drainTimeout`, and hands back the rest uncharged.
 */
export async function startWorker(options: StartWorkerOptions): Promise<{ drained: Promise<void>; stop(): Promise<void> }> {
  // Its threads load the modules of its tasks, and this may be one of them.
  refuseInsideTask('startWorker', 'workers');
  check(options);
  const { tasks, name = defaultWorkerName() } = options;
  const drainMs = options.drainTimeout === undefined ? 25_000 : durationOption('startWorker', 'drainTimeout', options.drainTimeout, 0);
  const place = placeOf(options);
  const warn = (line: string): void => void process.emitWarning(line, { type: 'ShoalWarning' });
  const { startClusterWorker } = await import('./worker/cluster-worker.ts');
  const worker = await startClusterWorker(
    {
      name,
      slots: options.threads ?? availableParallelism(),
      isolation: 'thread',
      queues: options.queues ?? ['default'],
      labels: {},
      resources: {},
      tasks: tasks === 'bundles' ? [] : [...new Set(tasks.map(moduleOf))],
      allowBundles: tasks === 'bundles',
    },
    { openBroker: () => openBroker(place, { onWarning: warn }), onWarning: warn },
  );
  return { drained: worker.drained, stop: () => stopWithin(worker, drainMs) };
}

function check(options: unknown): asserts options is StartWorkerOptions {
  const who = 'startWorker';
  refuseUnknown(who, '', optionNames, options);
  const { tasks, threads, queues, name, ...others } = options as Partial<Record<keyof StartWorkerOptions, unknown>>;
  for (const option of ['address', 'broker', 'cluster', 'clusterSecret', 'token'] as const) textOption(who, option, others[option]);
  if (tasks !== 'bundles' && !(Array.isArray(tasks) && tasks.length > 0)) {
    throw optionError(who, 'tasks', tasks, "an array of tasks, or 'bundles' for the programs that clients upload");
  }
  if (threads !== undefined) countOption(who, 'threads', threads, 1, threadsMax);
  if (queues !== undefined) {
    const areNames = Array.isArray(queues) && queues.length > 0 && queues.every((queue) => queue === '*' || isQueueName(queue));
    if (!areNames) throw optionError(who, 'queues', queues, "an array of names of letters, digits and . : / _ -, or ['*'] for all");
  }
  if (name !== undefined && !(typeof name === 'string' && /^\P{Cc}{1,200}$/u.test(name))) {
    throw optionError(who, 'name', name, 'a text of 1 to 200 characters, unique in its cluster');
  }
}

function placeOf({ address, broker = 'ws:', cluster, clusterSecret, token }: StartWorkerOptions): BrokerPlace {
  const place = serverPlace(broker, cluster, clusterSecret);
  if (place) return place;
  if (address !== undefined) return { kind: 'ws', address, token };
  throw new ShoalError('SH1102', 'startWorker: nothing says where its coordinator is', {
    hint: "startWorker({ address: 'http://HOST:7690', … }), or the coordinator's broker: startWorker({ broker: 'redis://HOST:6379', … })",
  });
}

async function stopWithin(worker: { drain(): Promise<void>; stop(): Promise<void> }, drainMs: number): Promise<void> {
  const timer = setTimeout(() => void worker.stop(), drainMs);
  await worker.drain().finally(() => clearTimeout(timer));
}

function moduleOf(task: unknown): string {
  const plan = planOf('startWorker', task);
  const module = plan.kind === 'single' ? plan.definition().ref.module : undefined;
  if (module !== undefined) return module;
  throw new ShoalError('SH1102', `startWorker: ${plan.name} has no module that threads could load`, {
    hint: 'give it tasks of one function, defined at the top level of a file',
  });
}
