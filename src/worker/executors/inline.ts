/**
 * A slot in this very thread, for debuggers and unit tests. Nothing can be ended by force: a task that spins blocks all,
 * one that ignores its signal is left behind, and the next work runs beside it. `process.exit` ends the program, console
 * lines go where the program's own go; `ctx.log` goes to the job's log as everywhere.
 */
import { joinThread, leaveThread } from '../../tasks/per-thread.ts';
import { MemoryBoard } from '../runtime/board.ts';
import { Runtime } from '../runtime/runtime.ts';
import type { Executor, ExecutorOptions } from './executor.ts';
import { Host } from './host.ts';
import type { Vessel, VesselEvents } from './vessel.ts';

export function inlineExecutor(options: ExecutorOptions): Executor {
  const host = new Host(options, (events) => launchHere(options, events));
  let closed: Promise<void> | undefined;
  joinThread();
  return {
    run: (work) => host.run(work),
    abort: (work, ranges, reason) => host.abort(work, ranges, reason),
    revoke: (work, ranges, why) => host.revoke(work, ranges, why),
    close() {
      closed ??= host.close().then(async () => {
        for (const failure of await leaveThread()) process.emitWarning(`a perThread value could not be closed: ${String(failure)}`);
      });
      return closed;
    },
  };
}

function launchHere({ name, graceMs }: ExecutorOptions, events: VesselEvents): Vessel {
  const board = new MemoryBoard();
  // Values stay open for runtimes that come after this one; see above.
  const runtime = new Runtime({ send: (message) => events.message(message) }, board, { name, graceMs }, () => Promise.resolve([]));
  return {
    shared: { claims: board.claims },
    // In a turn of its own: no user code runs inside of run(), and the event loop lives between works.
    post: (message) => void (message.kind === 'work' ? setImmediate(() => runtime.handle(message)) : runtime.handle(message)),
    marksOf: (work, lanes) => board.marksOf(work, lanes),
    hold: () => undefined,
    kill() {
      runtime.detach();
      return Promise.resolve();
    },
  };
}
