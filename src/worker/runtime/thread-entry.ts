/** First module of a thread that runs tasks. */
import { workerData } from 'node:worker_threads';
import { joinThread, leaveThread } from '../../tasks/per-thread.ts';
import { enterTaskThread } from '../../tasks/where-am-i.ts';
import { MemoryBoard } from './board.ts';
import { buffersOf, type FromRuntime, isSmall, type ToRuntime } from './channel.ts';
import { captureConsole, guardProcess } from './guards.ts';
import { Line } from './line.ts';
import { Runtime } from './runtime.ts';
import type { ThreadData } from './thread-data.ts';

/** A caller that awaits one result after another sends the next task within this time. */
const lookoutMs = 0.2;
/** The event loop gets its turn at least this often. */
const turnMsMax = 4;

const { options, board, line: port, sourceMaps } = workerData as ThreadData;
if (sourceMaps) process.setSourceMapsEnabled(true);

const send = (message: FromRuntime): void => {
  const values = message.kind === 'report' ? message.values : undefined;
  line.post(message, values ? buffersOf(values.body, values.lengths, values.durations) : []);
};

enterTaskThread();
joinThread();
const memory = new MemoryBoard(board);
const runtime = new Runtime({ send }, memory, options, leaveThread);
captureConsole();
guardProcess(runtime);
const line = new Line<ToRuntime, FromRuntime>(port, memory, 'thread', lookoutMs, (message) => runtime.handle(message));
runtime.onIdle = (last) => {
  if (isSmall(last) && performance.now() - line.turnMs <= turnMsMax) line.lookOut();
};
