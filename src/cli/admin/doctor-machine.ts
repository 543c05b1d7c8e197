/** This machine, as a coordinator or a worker would find it. */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { version } from '../../lib/version.ts';
import { memoryLimit } from '../../worker/memory.ts';
import type { Finding } from './doctor.ts';
import { size } from './output.ts';

const openFilesMin = 4_096;
const memoryBytesMin = 256 * 2 ** 20;

export function examineMachine(): Finding[] {
  const files = openFilesLimit();
  return [
    node(),
    { check: 'cores', status: 'ok', what: String(availableParallelism()) },
    memory(memoryLimit(), totalmem()),
    ...(files === undefined ? [] : [openFiles(files)]),
  ];
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const what = `${process.version}, shoal ${version}`;
  if (major > 20 || (major === 20 && minor >= 19)) return { check: 'node', status: 'ok', what };
  return { check: 'node', status: 'fail', what: `${what}, which is too old`, try: 'Node 20.19 or later' };
}

function memory(limitBytes: number, machineBytes: number): Finding {
  const isLimited = limitBytes < machineBytes;
  const what = isLimited ? `${size(limitBytes)}, a limit of its cgroup; the machine has ${size(machineBytes)}` : size(limitBytes);
  if (limitBytes >= memoryBytesMin) return { check: 'memory', status: 'ok', what };
  return { check: 'memory', status: 'warn', what, try: 'a larger limit: each thread of a worker takes some 10 MiB before its tasks do' };
}

function openFiles(count: number): Finding {
  const what = Number.isFinite(count) ? String(count) : 'no limit';
  if (count >= openFilesMin) return { check: 'open files', status: 'ok', what };
  return { check: 'open files', status: 'warn', what: `${what}, too few for a coordinator with many lines`, try: 'ulimit -n 65536' };
}

/** Undefined where the system does not say. */
function openFilesLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? undefined : soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return undefined;
  }
}
