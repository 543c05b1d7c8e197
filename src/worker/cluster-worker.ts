/** A worker of a cluster within this process: its tasks found, its broker opened, its address said. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Broker } from '../brokers/broker.ts';
import { cacheHome } from '../lib/folders.ts';
import { BundleStore } from './bundles.ts';
import { discoverTasks } from './discover.ts';
import { memoryLimit } from './memory.ts';
import { startWorker, type WorkerHandle } from './worker.ts';

/** Plain data: it crosses to the process that runs the tasks. */
export interface ClusterWorkerOptions {
  name: string;
  slots: number;
  isolation: 'thread' | 'process';
  queues: readonly string[];
  labels: Readonly<Record<string, string>>;
  /** Beside `cpu` and `memory`, which are found out. */
  resources: Readonly<Record<string, number>>;
  /** File URLs of modules whose tasks it has. */
  tasks: readonly string[];
  /** It also runs programs that clients upload. */
  allowBundles: boolean;
  /** Heap of each thread or child. */
  heapMiB?: number;
  /** For all its processes together. */
  memoryBytesMax?: number;
  cancelGraceMs?: number;
}

export interface ClusterWorkerEvents {
  openBroker: () => Promise<Broker>;
  onWarning?: (line: string) => void;
  onIncarnation?: (incarnation: string) => void;
  onOutOfMemory?: (text: string) => void;
}

/** Rejects with SH5012 where its modules can't be loaded, and with what the broker says. */
export async function startClusterWorker(options: ClusterWorkerOptions, events: ClusterWorkerEvents): Promise<WorkerHandle> {
  const names = await discoverTasks(options.tasks);
  const broker = await events.openBroker();
  const { onWarning, onIncarnation, onOutOfMemory } = events;
  const worker = await startWorker({
    worker: options.name,
    broker,
    slots: options.slots,
    isolation: options.isolation,
    queues: options.queues,
    labels: options.labels,
    resources: { cpu: availableParallelism(), memory: options.memoryBytesMax ?? memoryLimit(), ...options.resources },
    code: {
      modules: options.tasks,
      names,
      ...(options.allowBundles && { bundles: new BundleStore(join(cacheHome(), 'bundles')) }),
    },
    ...(options.heapMiB !== undefined && { heapMiB: options.heapMiB }),
    ...(options.memoryBytesMax !== undefined && { memoryBytesMax: options.memoryBytesMax }),
    ...(options.cancelGraceMs !== undefined && { graceMs: options.cancelGraceMs }),
    ...(onWarning && { onWarning }),
    ...(onIncarnation && { onIncarnation }),
    ...(onOutOfMemory && { onOutOfMemory }),
  });
  worker.warm();
  const closeBroker = (): Promise<void> => broker.close();
  void worker.drained.then(closeBroker, closeBroker);
  return worker;
}
