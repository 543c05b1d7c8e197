/** First module of a thread that runs tasks. */
import { parentPort, workerData } from 'node:worker_threads';
import { joinThread, leaveThread } from '../../tasks/per-thread.ts';
import { enterTaskThread } from '../../tasks/where-am-i.ts';
import { MemoryBoard } from './board.ts';
import { buffersOf, type FromRuntime, type ToRuntime } from './channel.ts';
import { captureConsole, guardProcess } from './guards.ts';
import { Runtime } from './runtime.ts';
import type { ThreadData } from './thread-data.ts';

const { options, board, sourceMaps } = workerData as ThreadData;
if (sourceMaps) process.setSourceMapsEnabled(true);

const host = parentPort!;
const send = (message: FromRuntime): void => {
  const values = message.kind === 'report' ? message.values : undefined;
  if (values) host.postMessage(message, buffersOf(values.body, values.lengths, values.durations));
  else host.postMessage(message);
};

enterTaskThread();
joinThread();
const runtime = new Runtime({ send }, new MemoryBoard(board), options, leaveThread);
captureConsole();
guardProcess(runtime);
host.on('message', (message: ToRuntime) => runtime.handle(message));
