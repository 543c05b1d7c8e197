/** First module of a thread that runs tasks. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
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
const memory = new MemoryBoard(board);
const runtime = new Runtime({ send }, memory, options, leaveThread);
captureConsole();
guardProcess(runtime);
let received = 0;
let loopMs = 0;
host.on('message', (message: ToRuntime) => {
  received = (received + 1) | 0;
  loopMs = performance.now();
  runtime.handle(message);
});

/**
 * Waking a thread that sleeps costs more than a small task. After one it looks out for the next for a moment, which is
 * when a caller that awaits one result after another sends it; but the event loop gets its turn every few milliseconds. Where
 * nothing ever comes in that moment the caller may be waiting for this very core: then it looks out once in a while only.
 */
const lookoutTasksMax = 8;
const lookoutMs = 0.2;
const loopMsMax = 4;
const vainMax = 3;
const vainRetry = 64;
let vain = 0;
runtime.onIdle = ({ ranges }) => {
  if (ranges.length !== 2 || ranges[1]! > lookoutTasksMax) return;
  const startMs = performance.now();
  if (startMs - loopMs > loopMsMax) return;
  if (vain >= vainMax && ++vain % vainRetry !== 0) return;
  do {
    if (memory.rung === received) continue;
    const next = receiveMessageOnPort(host) as { message: ToRuntime } | undefined;
    if (!next) continue;
    received = (received + 1) | 0;
    vain = 0;
    runtime.handle(next.message);
    return;
  } while (performance.now() - startMs < lookoutMs);
  vain++;
};
