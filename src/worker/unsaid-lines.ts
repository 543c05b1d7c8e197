/** Lines of tasks that nobody could be told yet: the newest of them, and how many were dropped of each job. */
import type { LogLine } from '../core/messages.ts';
import { weightOf } from './runtime/logs.ts';

const bytesMaxDefault = 1024 * 1024;
const messageBytesMax = 64 * 1024;

export class UnsaidLines {
  private lines: LogLine[] = [];
  private bytes = 0;
  private readonly dropped = new Map<string, { last: LogLine; count: number }>();
  private readonly bytesMax: number;

  constructor(bytesMax = bytesMaxDefault) {
    this.bytesMax = bytesMax;
  }

  add(lines: readonly LogLine[]): void {
    for (const line of lines) {
      this.bytes += weightOf(line);
      this.lines.push(line);
      // In halves, so that dropping costs nothing per line.
      if (this.bytes > this.bytesMax) for (const old of this.lines.splice(0, Math.ceil(this.lines.length / 2))) this.drop(old);
    }
  }

  /** All of them, in parts that any broker carries. */
  take(): LogLine[][] {
    const parts: LogLine[][] = [];
    let part: LogLine[] = [];
    let bytes = 0;
    for (const line of [...this.takeGaps(), ...this.lines]) {
      if (bytes >= messageBytesMax || part.length === 0) {
        parts.push((part = []));
        bytes = 0;
      }
      part.push(line);
      bytes += weightOf(line);
    }
    this.lines = [];
    this.bytes = 0;
    return parts;
  }

  private takeGaps(): LogLine[] {
    const gaps = Array.from(this.dropped.values(), ({ last, count }): LogLine => {
      const message = `${count} ${count === 1 ? 'line' : 'lines'} dropped: this worker could not reach its coordinator`;
      return { ...last, level: 'warn', message };
    });
    this.dropped.clear();
    return gaps;
  }

  private drop(line: LogLine): void {
    this.bytes -= weightOf(line);
    const count = (this.dropped.get(line.job)?.count ?? 0) + 1;
    this.dropped.set(line.job, { last: line, count });
  }
}
