/** The public door: what `import … from 'shoal'` gives. */
import { checkCoordinatorOptions } from './client/coordinator-options.ts';
import { installOpener } from './client/opener.ts';
import { installProgress } from './client/progress.ts';
import { type Progress as ProgressDisplay, progressFromEnvironment } from './lib/progress-bar.ts';
import type { CoordinatorServer, CoordinatorServerOptions } from './start-coordinator.ts';
import type { StartWorkerOptions } from './start-worker.ts';

// A thread that only defines tasks loads no coordinator.
installOpener(async (address, options) => (await import('./open.ts')).open(address, options));

let display: ProgressDisplay | undefined;
installProgress((title, views) => {
  display ??= progressFromEnvironment();
  return display.follow(title, views, true);
});

/** Starts a coordinator in this process; see CoordinatorServerOptions. */
export async function startCoordinator(options: CoordinatorServerOptions = {}): Promise<CoordinatorServer> {
  checkCoordinatorOptions(options);
  return (await import('./start-coordinator.ts')).startCoordinator(options);
}

/** Starts a worker in this process; see StartWorkerOptions. */
export async function startWorker(options: StartWorkerOptions): Promise<{ drained: Promise<void>; stop(): Promise<void> }> {
  return (await import('./start-worker.ts')).startWorker(options);
}

export { connect } from './client/connect.ts';
export { main } from './client/main.ts';
export { dag, task, taskRef } from './client/task.ts';
export { TaskError } from './client/task-error.ts';
export type {
  Arg,
  Bytes,
  Cluster,
  Codec,
  Def,
  Duration,
  GraphBuilder,
  Job,
  JobState,
  MainEnv,
  MapJob,
  MapOptions,
  Priority,
  Progress,
  ReduceOptions,
  Ref,
  Resources,
  RetryPolicy,
  Settled,
  StandardSchema,
  Task,
  TaskOptions,
} from './client/types.ts';
export { ShoalError } from './lib/errors.ts';
export type { Logger, TaskContext } from './tasks/context.ts';
export { NonRetryableError, RetryAfterError } from './tasks/errors.ts';
export { perThread } from './tasks/per-thread.ts';
