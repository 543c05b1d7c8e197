/**
 * Whether a process that left its mark in a file still lives. Judged by pid, the process's start time (pids are used again)
 * and the boot (all pids are); a process that we can't see from here may live.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessMark {
  pid: number;
  host: string;
  boot: string;
  /** As the system tells it, only ever compared; '' where it doesn't. */
  started: string;
  /** The namespace that counts its pids: containers on one host may share its name. '' where there is none. */
  pids: string;
}

export function markOfThisProcess(): ProcessMark {
  return { pid: process.pid, host: hostname(), boot: bootId(), started: startTime(process.pid), pids: pidNamespace() };
}

/** Undefined for what is no mark. */
export function parseMark(value: unknown): ProcessMark | undefined {
  const mark = value as Partial<ProcessMark> | null | undefined;
  if (typeof mark?.pid !== 'number' || typeof mark.host !== 'string') return undefined;
  return { pid: mark.pid, host: mark.host, boot: mark.boot ?? '', started: mark.started ?? '', pids: mark.pids ?? pidNamespace() };
}

/** Of this host, and of pids that are not counted here: a container's, or that container's before it was started again. */
export function isInAnotherNamespace(mark: ProcessMark): boolean {
  return mark.host === hostname() && mark.boot === bootId() && mark.pids !== pidNamespace();
}

/** False only if the process is surely gone. */
export function mayLive(mark: ProcessMark): boolean {
  if (mark.host !== hostname()) return true;
  if (mark.boot !== bootId()) return false;
  if (mark.pids !== pidNamespace()) return true;
  try {
    process.kill(mark.pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return mark.started === startTime(mark.pid);
}

/** Field 22 of /proc/PID/stat, in ticks since boot; the name before it may hold spaces and brackets. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie runs no more: whoever started it has not looked yet.
    return fields[0] === 'Z' ? 'gone' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
