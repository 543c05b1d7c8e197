/**
 * How much of the processors that this process may use is in use, by whomever: of a container with a limit, by what is in it; else
 * of the machine. Linux says what a container uses in its cgroup (version 2).
 */
import { readFileSync } from 'node:fs';
import { type CpuInfo, cpus } from 'node:os';

/** Readings closer together say little: a processor's time is counted in ticks of 10 ms. */
const spanMsMin = 500;

export interface CpuSources {
  nowMs: () => number;
  read: (file: string) => string;
  cpus: () => readonly CpuInfo[];
}

/** Processor time since some moment, in a unit that is the same for both. */
interface Times {
  busy: number;
  total: number;
}

export class CpuMeter {
  private readonly sources: CpuSources;
  private last: (Times & { atMs: number }) | undefined;
  private share: number | undefined;

  constructor(sources: CpuSources = { nowMs: () => performance.now(), read: (file) => readFileSync(file, 'utf8'), cpus }) {
    this.sources = sources;
  }

  /** The share over the last half second or longer, 0 to 1; undefined at first, and where the system does not say. */
  look(): number | undefined {
    const nowMs = this.sources.nowMs();
    const { last } = this;
    if (last && nowMs - last.atMs < spanMsMin) return this.share;
    const next = { atMs: nowMs, ...(this.container(nowMs) ?? machineTimes(this.sources)) };
    this.last = next;
    const span = last ? next.total - last.total : 0;
    if (last && span > 0) this.share = Math.min(1, Math.max(0, Math.round(((next.busy - last.busy) / span) * 100) / 100));
    return this.share;
  }

  /** Undefined where there is no limit: what others on the machine use counts then. */
  private container(nowMs: number): Times | undefined {
    try {
      const [quota, period] = this.sources.read('/sys/fs/cgroup/cpu.max').trim().split(' ').map(Number);
      const usedUs = Number(/^usage_usec (\d+)$/m.exec(this.sources.read('/sys/fs/cgroup/cpu.stat'))?.[1]);
      const processors = quota! / period!;
      return processors > 0 && usedUs >= 0 ? { busy: usedUs / 1000, total: nowMs * processors } : undefined;
    } catch {
      return undefined;
    }
  }
}

/** `cpus()` looks at several files for each processor, and takes milliseconds where there are many; source of the columns: proc_stat(5). */
function machineTimes({ read, cpus }: CpuSources): Times {
  try {
    const line = /^cpu +([\d ]+)$/m.exec(read('/proc/stat'))![1]!;
    const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softIrq = 0, stolen = 0] = line.split(' ').map(Number);
    const busy = user + nice + system + irq + softIrq + stolen;
    return { busy, total: busy + idle + waiting };
  } catch {
    return sumOf(cpus());
  }
}

function sumOf(processors: readonly CpuInfo[]): Times {
  let busy = 0;
  let idle = 0;
  for (const { times } of processors) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  return { busy, total: busy + idle };
}
