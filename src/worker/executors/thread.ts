/** A slot in a worker thread: the default. Its heap has a limit; memory outside of the heap (buffers) has none. */
import { MessageChannel, Worker } from 'node:worker_threads';
import { entryUrl } from '../../lib/entry.ts';
import { MemoryBoard } from '../runtime/board.ts';
import { type FromRuntime, isSmall, type ToRuntime } from '../runtime/channel.ts';
import { Line } from '../runtime/line.ts';
import type { ThreadData } from '../runtime/thread-data.ts';
import { withoutInput } from './exec-argv.ts';
import type { Executor, ExecutorOptions } from './executor.ts';
import { Host } from './host.ts';
import { sourceMapsEnabled } from './source-maps.ts';
import { crashRecord, type Vessel, type VesselEvents } from './vessel.ts';

export function threadExecutor(options: ExecutorOptions): Executor {
  return new Host(options, (events) => launchThread(options, events));
}

/** What loads modules, and what says how errors look; heap limits and V8's flags are the process's own. */
const isOfThreads = (flag: string, at: number, flags: readonly string[]): boolean =>
  threadFlags.test(flag) || (at > 0 && !flag.startsWith('-') && threadFlags.test(flags[at - 1]!));
const threadFlags =
  /^(-r|-C|--(import|require|loader|experimental-loader|conditions|enable-source-maps|no-warnings|preserve-symlinks))(=|$)/;

/** About what it costs to sleep and to be woken. */
const lookoutMs = 0.05;

function launchThread({ name, graceMs, heapMiB, modules, sourceMaps }: ExecutorOptions, events: VesselEvents): Vessel {
  const board = new MemoryBoard();
  const { port1, port2 } = new MessageChannel();
  const workerData: ThreadData = {
    options: { name, graceMs, ...(modules && { modules }) },
    board: board.memory,
    line: port2,
    sourceMaps: sourceMaps || sourceMapsEnabled(),
  };
  const execArgv = withoutInput(process.execArgv);
  const worker = new Worker(entryUrl(import.meta.url, '../runtime/thread-entry.ts'), {
    workerData,
    // Only where it must: flags of the whole process may be inherited, but not be given to a thread.
    ...(execArgv.length < process.execArgv.length && { execArgv: execArgv.filter(isOfThreads) }),
    transferList: [port2],
    name,
    ...(heapMiB !== undefined && { resourceLimits: { maxOldGenerationSizeMb: heapMiB } }),
  });
  worker.unref();
  const line = new Line<FromRuntime, ToRuntime>(port1, board, 'host', lookoutMs, (message) => events.message(message));
  port1.unref();
  let isHeld = false;
  let isKilled = false;
  let isLooking = false;
  let failure: NodeJS.ErrnoException | undefined;
  worker.on('error', (error: NodeJS.ErrnoException) => {
    failure = error;
  });
  worker.on('exit', (code) => {
    // What it left behind is told by its last messages, also where it was ended.
    line.drain();
    if (isKilled) return;
    if (failure?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      const limit = heapMiB === undefined ? 'its heap limit' : `its heap limit of ${heapMiB} MiB`;
      events.died('out-of-memory', crashRecord(`the task's thread reached ${limit}`));
    } else if (failure) {
      events.died('unhandled', crashRecord(`the task's thread failed: ${failure.message}`));
    } else {
      events.died('exit', crashRecord(`the task's thread ended with exit code ${code}`));
    }
  });
  return {
    shared: { claims: board.claims },
    post(message, transfer) {
      line.post(message, transfer);
      if (message.kind !== 'work' || isLooking || !isSmall(message.work)) return;
      isLooking = true;
      // Behind all that this turn of the event loop has to do.
      setImmediate(() => {
        isLooking = false;
        if (!isKilled) line.lookOut();
      });
    },
    marksOf: (work, lanes) => board.marksOf(work, lanes),
    hold(busy) {
      if (busy === isHeld) return;
      isHeld = busy;
      if (busy) worker.ref();
      else worker.unref();
    },
    async kill() {
      isKilled = true;
      await worker.terminate();
      port1.close();
    },
  };
}
