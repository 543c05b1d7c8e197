/**
 * Log lines on their way to the host, in batches: at most every 100 ms, or 64 KiB. They are sent from within the call
 * that adds one, because a task that never lets go of its thread shall still be heard; the timer is for the last ones.
 */
import type { LogLine } from '../executors/executor.ts';
import type { RuntimePort } from './channel.ts';

/** Log text that one attempt may write (W13). */
export const attemptLogBytesMax = 1024 * 1024;
const pauseMs = 100;
const batchBytes = 65_536;
/** What goes with each line: an empty one is not nothing. */
const lineBytes = 64;

export const weightOf = ({ message }: LogLine): number => message.length + lineBytes;

export class LogBuffer {
  private readonly port: RuntimePort;
  private lines: LogLine[] = [];
  private bytes = 0;
  private sentMs = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | undefined;

  constructor(port: RuntimePort) {
    this.port = port;
  }

  write(line: LogLine): void {
    this.lines.push(line);
    this.bytes += weightOf(line);
    const nowMs = performance.now();
    if (this.bytes >= batchBytes || nowMs - this.sentMs >= pauseMs) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), pauseMs).unref();
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.lines.length === 0) return;
    this.port.send({ kind: 'logs', lines: this.lines });
    this.lines = [];
    this.bytes = 0;
    this.sentMs = performance.now();
  }
}
