/**
 * How much of the processors that this process may use is in use, by whomever: of a container with a limit, by what is in it; else
 * of the machine. Linux says what a container uses in its cgroup (version 2).
 */
import { readFileSync } from 'node:fs';
import { type CpuInfo, cpus } from 'node:os';

/** Readings closer together say little: a processor's time is counted in ticks of 10 ms. */
const spanMsMin = 500;
const tickMs = 10;

export interface CpuSources {
  nowMs: () => number;
  read: (file: string) => string;
  cpus: () => readonly CpuInfo[];
}

interface Point {
  atMs: number;
  busyMs: number;
  totalMs: number;
}

export class CpuMeter {
  private readonly sources: CpuSources;
  private last: Point | undefined;
  private share: number | undefined;

  constructor(sources: CpuSources = { nowMs: () => performance.now(), read: (file) => readFileSync(file, 'utf8'), cpus }) {
    this.sources = sources;
  }

  /** The share over the last half second or longer, 0 to 1; undefined at first, and where the system does not say. */
  look(): number | undefined {
    const nowMs = this.sources.nowMs();
    const { last } = this;
    if (last && nowMs - last.atMs < spanMsMin) return this.share;
    const next: Point = { atMs: nowMs, ...(this.container(nowMs) ?? machineTimes(this.sources)) };
    this.last = next;
    const spanMs = last ? next.totalMs - last.totalMs : 0;
    if (last && spanMs > 0) this.share = Math.min(1, Math.max(0, Math.round(((next.busyMs - last.busyMs) / spanMs) * 100) / 100));
    return this.share;
  }

  /** Undefined where there is no limit: what others on the machine use counts then. */
  private container(nowMs: number): { busyMs: number; totalMs: number } | undefined {
    try {
      const [quota, period] = this.sources.read('/sys/fs/cgroup/cpu.max').trim().split(' ').map(Number);
      const usedUs = Number(/^usage_usec (\d+)$/m.exec(this.sources.read('/sys/fs/cgroup/cpu.stat'))?.[1]);
      const processors = quota! / period!;
      return processors > 0 && usedUs >= 0 ? { busyMs: usedUs / 1000, totalMs: nowMs * processors } : undefined;
    } catch {
      return undefined;
    }
  }
}

/** `cpus()` looks at several files for each processor, and takes milliseconds where there are many; source of the columns: proc_stat(5). */
function machineTimes({ read, cpus }: CpuSources): { busyMs: number; totalMs: number } {
  try {
    const line = /^cpu +([\d ]+)$/m.exec(read('/proc/stat'))![1]!;
    const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softIrq = 0, stolen = 0] = line.split(' ').map(Number);
    const busy = user + nice + system + irq + softIrq + stolen;
    return { busyMs: busy * tickMs, totalMs: (busy + idle + waiting) * tickMs };
  } catch {
    return sumOf(cpus());
  }
}

function sumOf(processors: readonly CpuInfo[]): { busyMs: number; totalMs: number } {
  let busyMs = 0;
  let idleMs = 0;
  for (const { times } of processors) {
    busyMs += times.user + times.nice + times.sys + times.irq;
    idleMs += times.idle;
  }
  return { busyMs, totalMs: busyMs + idleMs };
}
