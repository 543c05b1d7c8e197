/** First module of the process that runs a worker's tasks; its supervisor says everything over the line between them. */
import { openBroker } from './broker-of.ts';
import { ShoalError } from './lib/errors.ts';
import { startClusterWorker } from './worker/cluster-worker.ts';
import { type FromChild, outOfMemoryExitCode, type ToChild } from './worker/supervisor.ts';
import type { WorkerHandle } from './worker/worker.ts';

const memoryMs = 1_000;

const say = (message: FromChild): void => {
  if (process.connected) process.send!(message);
};
const log = (line: string): void => say({ say: 'log', line });

let worker: Promise<WorkerHandle> | undefined;
/** The coordinator may have heard of it, and given it something. Before there is nothing to finish or to hand back. */
let isKnown = false;

process.on('message', (message: ToChild) => {
  switch (message.say) {
    case 'start':
      worker = start(message);
      return;
    case 'drain':
      if (isKnown) void worker?.then((started) => started.drain());
      else leave({ say: 'ended' }, 0);
      return;
    case 'stop':
      if (isKnown) void worker?.then((started) => started.stop());
      else leave({ say: 'ended' }, 0);
      return;
  }
});
// Whoever started us is gone: nobody would tell what becomes of us, or stop us.
process.on('disconnect', () => process.exit(1));
// A terminal sends these to all of its processes; the supervisor decides what follows.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function start({ options, place }: ToChild & { say: 'start' }): Promise<WorkerHandle> {
  try {
    const started = await startClusterWorker(options, {
      openBroker: () => openBroker(place, { patient: true, onWarning: log }),
      onWarning: log,
      onIncarnation: (incarnation) => {
        isKnown = true;
        say({ say: 'incarnation', incarnation });
      },
      onOutOfMemory: (text) => end(text),
    });
    const timer = setInterval(() => started.memory && say({ say: 'memory', memory: started.memory }), memoryMs);
    if (started.memory) say({ say: 'memory', memory: started.memory });
    say({ say: 'started' });
    void started.drained.finally(() => {
      clearInterval(timer);
      leave({ say: 'ended' }, 0);
    });
    return started;
  } catch (error) {
    const { code, message, why, hint } = error as Partial<ShoalError> & Error;
    const problem = {
      code: error instanceof ShoalError ? code! : 'SH5013',
      message,
      ...(why !== undefined && { why }),
      ...(hint !== undefined && { hint }),
    };
    leave({ say: 'failed', problem }, 1);
    throw error;
  }
}

/** The threads' tasks have no way to be told apart here: they run again alone, where the guilty one is found. */
function end(text: string): void {
  leave({ say: 'outOfMemory', text }, outOfMemoryExitCode);
}

function leave(message: FromChild, exitCode: number): void {
  if (!process.connected) process.exit(exitCode);
  process.send!(message, () => process.exit(exitCode));
}
