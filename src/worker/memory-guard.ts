/**
 * Ends what uses too much memory before the kernel ends something of its own choice (W06): heaps have limits, buffers have
 * none. Of several child processes the largest goes, and its task is charged. Threads share one process, so nobody can say
 * which of them it was: the process has to end, and its tasks run again, each alone, where the guilty one is found.
 */
import { readFileSync } from 'node:fs';
import type { MemoryReading } from '../core/messages.ts';
import { memoryLimit, memoryReading, residentBytes } from './memory.ts';

/** Of the limit: what is left is for the time until we look again. */
const shareMax = 0.9;
/** A child below this share of what is used is not what is wrong. */
const guiltyShare = 0.25;

/** Children that were ended here, by pid, until their exit is told, or for a while if nobody waits for it. */
const verdicts = new Map<number, { why: string; sinceMs: number }>();
const verdictMs = 5_000;

/** Why the guard ended this child, if it did; told once. */
export function takeVerdict(pid: number): string | undefined {
  const verdict = verdicts.get(pid);
  verdicts.delete(pid);
  return verdict?.why;
}

export interface MemoryGuardOptions {
  bytesMax: number | undefined;
  onOutOfMemory: ((text: string) => void) | undefined;
  onWarning: (line: string) => void;
}

export class MemoryGuard {
  private readonly options: MemoryGuardOptions;
  private readonly bytesMax: number;

  constructor(options: MemoryGuardOptions) {
    this.options = options;
    this.bytesMax = Math.min(options.bytesMax ?? Number.POSITIVE_INFINITY, memoryLimit());
  }

  read(): MemoryReading {
    return memoryReading(childrenOf(process.pid), this.bytesMax);
  }

  /** Reads, and ends what is too large. */
  look(): MemoryReading {
    for (const [pid, { sinceMs }] of verdicts) if (performance.now() - sinceMs > verdictMs) verdicts.delete(pid);
    const children = childrenOf(process.pid);
    const reading = memoryReading(children, this.bytesMax);
    if (reading.bytes > shareMax * this.bytesMax) this.end(children, reading);
    return reading;
  }

  private end(children: readonly number[], reading: MemoryReading): void {
    const used = `the worker used ${mebibytes(reading.bytes)} of ${mebibytes(reading.bytesMax)}`;
    const largest = children
      .filter((pid) => !verdicts.has(pid))
      .map((pid) => ({ pid, bytes: residentBytes(pid) ?? 0 }))
      .sort((a, b) => b.bytes - a.bytes)[0];
    if (largest && largest.bytes > guiltyShare * reading.bytes) {
      const why = `${used}, and this process ${mebibytes(largest.bytes)} of that`;
      verdicts.set(largest.pid, { why, sinceMs: performance.now() });
      this.options.onWarning(`a task's process is ended: ${why}`);
      kill(largest.pid);
    } else if (verdicts.size === 0) {
      this.options.onOutOfMemory?.(used);
    }
  }
}

/** Where /proc tells; elsewhere none are seen. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    // A slot's process leads a group of its own: what it started goes with it.
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
