/** `shoal worker`: a worker of a cluster, watched by this process, until a signal ends it. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Command, Option } from 'commander';
import type { BrokerPlace } from '../brokers/broker.ts';
import { ShoalError } from '../lib/errors.ts';
import {
  type BrokerFlags,
  brokerOptions,
  byteCount,
  type ClusterFlags,
  clusterOptions,
  clusterSecretOf,
  duration,
  heapSize,
  labels,
  names,
  resources,
  several,
  targetOf,
  threadCount,
} from './flags.ts';
import { type LogOptions, log } from './log.ts';
import { outlivePipes } from './pipes.ts';
import { untilSignal } from './signals.ts';

interface WorkerFlags extends ClusterFlags, BrokerFlags, LogOptions {
  broker: string;
  name?: string;
  tasks?: string[];
  allowBundles?: boolean;
  threads?: number;
  isolation: 'thread' | 'process';
  queues: string[];
  label?: Record<string, string>;
  resource?: Record<string, number>;
  drainTimeout: number;
  cancelGrace: number;
  heap?: number;
  memoryLimit?: number;
}

export function defineWorker(command: Command): void {
  command
    .summary('start a worker')
    .description(
      'Runs tasks that a coordinator gives it, in threads or child processes. It keeps trying until its coordinator is there.\n' +
        'SIGTERM or Ctrl-C drains it: no new tasks, what runs may finish; a second one hands everything back at once.',
    );
  for (const option of [...clusterOptions(), ...brokerOptions()]) command.addOption(option);
  command
    .addOption(
      new Option('--broker <url>', 'the broker of its coordinator: its port (ws:), or a server as in redis://HOST:PORT')
        .default('ws:')
        .env('SHOAL_BROKER'),
    )
    .addOption(new Option('--tasks <module>', 'a file with tasks that it has; several times for several').argParser(several))
    .addOption(new Option('--allow-bundles', 'also run programs that clients upload').env('SHOAL_ALLOW_BUNDLES'))
    .addOption(new Option('--threads <count>', 'tasks at a time; default: one a core').argParser(threadCount).env('SHOAL_THREADS'))
    .addOption(
      new Option('--isolation <kind>', 'what a task runs in: a thread, or a child process that may crash alone')
        .choices(['thread', 'process'])
        .default('thread')
        .env('SHOAL_ISOLATION'),
    )
    .addOption(
      new Option('--queues <names>', 'queues that it serves; * for all')
        .argParser(names)
        .default(['default'], 'default')
        .env('SHOAL_QUEUES'),
    )
    .addOption(new Option('--label <name=value>', 'shown with it; several times for several').argParser(labels))
    .addOption(new Option('--resource <name:amount>', 'what it has, as in gpu:1; several times for several').argParser(resources))
    .addOption(new Option('--name <name>', 'unique in its cluster; default: the host and the process').env('SHOAL_NAME'))
    .addOption(
      new Option('--drain-timeout <time>', 'what runs may finish for this long')
        .argParser(duration)
        .default(25_000, '25s')
        .env('SHOAL_DRAIN_TIMEOUT'),
    )
    .addOption(
      new Option('--cancel-grace <time>', 'what a cancelled task has left before its thread is ended')
        .argParser(duration)
        .default(5_000, '5s')
        .env('SHOAL_CANCEL_GRACE'),
    )
    .addOption(new Option('--heap <size>', 'heap of each thread or child').argParser(heapSize).env('SHOAL_HEAP'))
    .addOption(
      new Option('--memory-limit <size>', 'for all its processes; default: what the container or machine has')
        .argParser(byteCount)
        .env('SHOAL_MEMORY_LIMIT'),
    )
    .action(runWorker);
}

async function runWorker(flags: WorkerFlags): Promise<void> {
  const { tasks = [], allowBundles = false } = flags;
  if (tasks.length === 0 && !allowBundles) {
    throw new ShoalError('SH1311', 'this worker would have nothing to run', {
      why: 'it was given no tasks, and may run no uploaded programs',
      hint: 'shoal worker --tasks dist/tasks.js\nor, to run what `shoal submit` sends: shoal worker --allow-bundles',
    });
  }
  outlivePipes();
  const { place, where } = await placeOf(flags);
  const modules = await Promise.all(tasks.map(moduleUrl));
  if (!tasks.every(needsNoCompiler)) await stopCompiler();
  const { superviseWorker, defaultWorkerName } = await import('../start-worker.ts');
  const name = flags.name ?? defaultWorkerName();
  const say = (event: string, line: string): void => log(flags, event, line, { worker: name });
  const slots = flags.threads ?? availableParallelism();
  const supervisor = superviseWorker(
    {
      name,
      slots,
      isolation: flags.isolation,
      queues: flags.queues,
      labels: flags.label ?? {},
      resources: flags.resource ?? {},
      tasks: modules,
      allowBundles,
      cancelGraceMs: flags.cancelGrace,
      ...(flags.heap !== undefined && { heapMiB: Math.floor(flags.heap / 2 ** 20) }),
      ...(flags.memoryLimit !== undefined && { memoryBytesMax: flags.memoryLimit }),
    },
    { place, drainTimeoutMs: flags.drainTimeout, onLog: (line) => say('log', line) },
  );
  const code = [...tasks, ...(allowBundles ? ['uploaded programs'] : [])].join(', ');
  say('started', `worker ${name}: ${slots} ${flags.isolation === 'thread' ? 'threads' : 'processes'} for ${where}, running ${code}`);
  void untilSignal(() => supervisor.signal()).then(() => supervisor.signal());
  await supervisor.run().catch((error: unknown) => {
    throw withSources(error, modules, tasks);
  });
  say('ended', 'ended');
  process.exit(0);
}

/** A server's broker needs no coordinator's address. */
async function placeOf(flags: WorkerFlags): Promise<{ place: BrokerPlace; where: string }> {
  const { serverPlace } = await import('../broker-of.ts');
  const { broker, cluster } = flags;
  const server = serverPlace(broker, cluster, clusterSecretOf(flags));
  if (server) return { place: server, where: `cluster ${cluster} at ${broker.replace(/\/\/.*@/s, '//***@')}` };
  const { address, token } = targetOf(flags, ['worker', 'admin']);
  return { place: { kind: 'ws', address, token: flags.tokenFile === undefined ? undefined : token?.reveal() }, where: address };
}

/** It would stay beside this process for good. */
async function stopCompiler(): Promise<void> {
  const { stop } = await import('esbuild');
  await stop();
}

/** The worker knows what was compiled; who started it knows their own files. */
function withSources(error: unknown, modules: readonly string[], files: readonly string[]): unknown {
  if (!(error instanceof ShoalError)) return error;
  const named = modules.reduce((text, url, index) => text.replaceAll(fileURLToPath(url), files[index]!), error.message);
  return new ShoalError(error.code, named, { why: error.why, hint: error.hint, from: error.from, cause: error.cause });
}

/** TypeScript is compiled here; its packages stay where they are. */
async function moduleUrl(file: string): Promise<string> {
  const { bundleProgram, findProgram } = await import('./bundle.ts');
  const path = findProgram(file);
  if (needsNoCompiler(path)) return pathToFileURL(resolve(path)).href;
  return (await bundleProgram(file)).url;
}

function needsNoCompiler(path: string): boolean {
  return /\.[cm]?js$/.test(path);
}
