import { expect, test } from 'vitest';
import { CpuMeter } from './cpu.ts';

function meter(files: Record<string, string> = {}) {
  const now = { ms: 0, busyMs: 0, idleMs: 0 };
  const times = () => ({ user: now.busyMs, nice: 0, sys: 0, irq: 0, idle: now.idleMs });
  const cpu = new CpuMeter({
    nowMs: () => now.ms,
    cpus: () => [
      { model: '', speed: 0, times: times() },
      { model: '', speed: 0, times: times() },
    ],
    read: (file) => {
      const text = files[file];
      if (text === undefined) throw new Error(`ENOENT: ${file}`);
      return text;
    },
  });
  return { cpu, now, files };
}

test('of a machine, the share of all its processors since the last look', () => {
  const { cpu, now } = meter();
  expect(cpu.look()).toBeUndefined();
  Object.assign(now, { ms: 1_000, busyMs: 250, idleMs: 750 });
  expect(cpu.look()).toBe(0.25);
  Object.assign(now, { ms: 2_000, busyMs: 1_249, idleMs: 751 });
  expect(cpu.look()).toBe(1);
});

test('of a machine with Linux, from the sum in its first line', () => {
  const { cpu, now, files } = meter({ '/proc/stat': 'cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\nintr 5\n' });
  cpu.look();
  now.ms = 1_000;
  files['/proc/stat'] = 'cpu  120 5 55 830 60 5 5 20 0 0\ncpu0 1 2 3\nintr 5\n';
  expect(cpu.look()).toBe(0.6);
});

test('looks that follow each other at once give the same', () => {
  const { cpu, now } = meter();
  cpu.look();
  Object.assign(now, { ms: 1_000, busyMs: 500, idleMs: 500 });
  expect(cpu.look()).toBe(0.5);
  Object.assign(now, { ms: 1_050, busyMs: 600, idleMs: 500 });
  expect(cpu.look()).toBe(0.5);
});

test('of a container, the share of its limit', () => {
  const { cpu, now, files } = meter({
    '/sys/fs/cgroup/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/cpu.stat': 'usage_usec 0\nuser_usec 0\n',
  });
  cpu.look();
  Object.assign(now, { ms: 2_000, busyMs: 9_000, idleMs: 0 });
  files['/sys/fs/cgroup/cpu.stat'] = 'usage_usec 1500000\nuser_usec 1\n';
  expect(cpu.look()).toBe(0.5);
});

test('of a container without a limit, the machine’s', () => {
  const { cpu, now } = meter({ '/sys/fs/cgroup/cpu.max': 'max 100000\n', '/sys/fs/cgroup/cpu.stat': 'usage_usec 5\n' });
  cpu.look();
  Object.assign(now, { ms: 1_000, busyMs: 300, idleMs: 700 });
  expect(cpu.look()).toBe(0.3);
});

test('the real one says something between nothing and all', async () => {
  const cpu = new CpuMeter();
  cpu.look();
  let share: number | undefined;
  for (const endMs = performance.now() + 30_000; share === undefined && performance.now() < endMs; ) share = cpu.look();
  expect(share).toBeGreaterThan(0);
  expect(share).toBeLessThanOrEqual(1);
});
