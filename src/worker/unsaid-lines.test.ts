import { expect, test } from 'vitest';
import type { LogLine } from '../core/messages.ts';
import { UnsaidLines } from './unsaid-lines.ts';

const line = (job: string, message: string): LogLine => ({
  wallMs: 1,
  job,
  stage: 0,
  index: 0,
  attempt: 1,
  task: 't',
  level: 'info',
  message,
});

test('lines are taken once, in order, in parts of moderate size', () => {
  const unsaid = new UnsaidLines();
  expect(unsaid.take()).toEqual([]);
  unsaid.add([line('a', '1'), line('b', '2'), line('a', 'x'.repeat(70_000))]);
  unsaid.add([line('a', '3')]);
  expect(unsaid.take().map((part) => part.map(({ message }) => message.slice(0, 1)))).toEqual([['1', '2', 'x'], ['3']]);
  expect(unsaid.take()).toEqual([]);
});

test('a flood of empty lines neither overflows the stack nor weighs nothing (W13)', () => {
  const unsaid = new UnsaidLines(10_000);
  unsaid.add(Array.from({ length: 200_000 }, () => line('a', '')));
  const lines = unsaid.take().flat();
  expect(lines.length).toBeLessThan(200);
  expect(lines[0]!.message).toContain('lines dropped');
});

test('the newest stay, and each job is told how many of its lines are dropped (W13)', () => {
  const unsaid = new UnsaidLines(10_000);
  for (let i = 0; i < 1_000; i++) unsaid.add([line(i % 10 === 0 ? 'a' : 'b', `${i}`.padStart(100))]);
  const lines = unsaid.take().flat();
  expect(lines.at(-1)!.message.trim()).toBe('999');
  expect(lines.length).toBeLessThan(103);
  const gaps = lines.filter(({ level }) => level === 'warn');
  expect(gaps.map(({ job }) => job).sort()).toEqual(['a', 'b']);
  const count = gaps.reduce((sum, { message }) => sum + Number.parseInt(message, 10), 0);
  expect(count + lines.length - gaps.length).toBe(1_000);
});
