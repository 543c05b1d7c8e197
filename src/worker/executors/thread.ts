/** A slot in a worker thread: the default. Its heap has a limit; memory outside of the heap (buffers) has none. */
import { Worker } from 'node:worker_threads';
import { entryUrl } from '../../lib/entry.ts';
import { MemoryBoard } from '../runtime/board.ts';
import type { FromRuntime } from '../runtime/channel.ts';
import type { ThreadData } from '../runtime/thread-data.ts';
import type { Executor, ExecutorOptions } from './executor.ts';
import { Host } from './host.ts';
import { sourceMapsEnabled } from './source-maps.ts';
import { crashRecord, type Vessel, type VesselEvents } from './vessel.ts';

export function threadExecutor(options: ExecutorOptions): Executor {
  return new Host(options, (events) => launchThread(options, events));
}

function launchThread({ name, graceMs, heapMiB, modules, sourceMaps }: ExecutorOptions, events: VesselEvents): Vessel {
  const board = new MemoryBoard();
  const workerData: ThreadData = {
    options: { name, graceMs, ...(modules && { modules }) },
    board: board.memory,
    sourceMaps: sourceMaps || sourceMapsEnabled(),
  };
  const worker = new Worker(entryUrl(import.meta.url, '../runtime/thread-entry.ts'), {
    workerData,
    name,
    ...(heapMiB !== undefined && { resourceLimits: { maxOldGenerationSizeMb: heapMiB } }),
  });
  worker.unref();
  let isHeld = false;
  let isKilled = false;
  let failure: NodeJS.ErrnoException | undefined;
  worker.on('message', (message: FromRuntime) => events.message(message));
  worker.on('error', (error: NodeJS.ErrnoException) => {
    failure = error;
  });
  worker.on('exit', (code) => {
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
      worker.postMessage(message, transfer);
      board.ring();
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
    },
  };
}
