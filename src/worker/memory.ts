/**
 * How much memory this process and its children use, and how much they may: what the kernel's out-of-memory killer would
 * judge by. Linux says it in /proc and in cgroups; elsewhere it is the process's own reading and the machine's memory.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { MemoryReading } from '../core/messages.ts';

const pageBytes = 4096;

/** The container's limit where there is one, else the machine's memory. */
export function memoryLimit(read: (file: string) => string = readText, machineBytes: number = totalmem()): number {
  const limits = [machineBytes];
  for (const file of limitFiles(read)) {
    try {
      const bytes = Number(read(file).trim());
      // "max" is none, and the first cgroups wrote a very large number instead.
      if (bytes > 0) limits.push(bytes);
    } catch {
      // No such cgroup here.
    }
  }
  return Math.min(...limits);
}

/** Every group on the way up may have a limit. */
function limitFiles(read: (file: string) => string): string[] {
  const files = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'];
  try {
    const path = /^0::(\/.*)$/m.exec(read('/proc/self/cgroup'))?.[1] ?? '/';
    const parts = path.split('/').filter(Boolean);
    for (let i = parts.length; i > 0; i--) files.push(`/sys/fs/cgroup/${parts.slice(0, i).join('/')}/memory.max`);
  } catch {
    // Not Linux.
  }
  return files;
}

/** How often the kernel has ended a process of this container for want of memory. */
export function outOfMemoryKills(read: (file: string) => string = readText): number {
  for (const file of ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control']) {
    try {
      const count = /^oom_kill (\d+)$/m.exec(read(file))?.[1];
      if (count !== undefined) return Number(count);
    } catch {
      // The other kind, or none.
    }
  }
  return 0;
}

/** Resident bytes of a process; undefined if it is gone or the system does not say. */
export function residentBytes(pid: number, read: (file: string) => string = readText): number | undefined {
  try {
    const pages = Number(read(`/proc/${pid}/statm`).split(' ')[1]);
    return Number.isFinite(pages) ? pages * pageBytes : undefined;
  } catch {
    return undefined;
  }
}

/** Of this process and these children together. */
export function memoryReading(children: readonly number[], bytesMax: number): MemoryReading {
  let bytes = process.memoryUsage.rss();
  for (const pid of children) bytes += residentBytes(pid) ?? 0;
  return { bytes, bytesMax };
}

function readText(file: string): string {
  return readFileSync(file, 'utf8');
}
