/**
 * First module of a child process that runs tasks. It must not outlive its parent: it leaves when the line to it is
 * cut, and a thread of its own watches the parent for the time in which a task spins and no event is seen.
 */
import { Worker } from 'node:worker_threads';
import { entryUrl } from '../../lib/entry.ts';
import { joinThread, leaveThread } from '../../tasks/per-thread.ts';
import { enterTaskThread } from '../../tasks/where-am-i.ts';
import { FileBoard } from './board.ts';
import type { FromRuntime, RuntimeOptions, ToRuntime } from './channel.ts';
import { captureConsole, guardProcess } from './guards.ts';
import { Runtime } from './runtime.ts';

/** File descriptor of the marks; see board.ts. */
const marksFile = 4;

const options = JSON.parse(process.argv[2]!) as RuntimeOptions;
const send = (message: FromRuntime): void => {
  if (process.connected) process.send!(message);
};

enterTaskThread();
joinThread();
const runtime = new Runtime({ send }, new FileBoard(marksFile), options, leaveThread);
captureConsole();
const { exit } = guardProcess(runtime);
process.on('message', (message: ToRuntime) => runtime.handle(message));
process.on('disconnect', () => exit(1));
// Signals of the terminal reach the parent, who decides; a group of its own keeps most of them away anyway.
process.on('SIGINT', () => undefined);
new Worker(entryUrl(import.meta.url, './parent-watch.ts'), {
  workerData: process.ppid,
  // Neither loaders nor the heap limit of the tasks concern it.
  execArgv: [],
  resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
}).unref();
