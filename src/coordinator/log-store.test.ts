import { expect, test } from 'vitest';
import type { LogLine, ToClient } from '../core/messages.ts';
import { LogStore } from './log-store.ts';

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

function open(jobBytesMax?: number, bytesMax?: number) {
  const told: { session: string; message: Extract<ToClient, { kind: 'printed' }> }[] = [];
  const store = new LogStore(
    (session, message) => void told.push({ session, message: message as Extract<ToClient, { kind: 'printed' }> }),
    jobBytesMax,
    bytesMax,
  );
  const texts = (): string[] => told.flatMap(({ message }) => message.lines.map((each) => each.message));
  return { store, told, texts };
}

test('a reader gets what is kept; a follower also what comes, until the job is over', () => {
  const { store, told, texts } = open();
  store.add([line('a', '1'), line('b', 'other')]);
  store.read('s', 7, 'a', true, false);
  store.add([line('b', 'other')]);
  store.add([line('a', '2')]);
  store.settle((job) => job === 'a');
  store.add([line('a', '3')]);
  expect(texts()).toEqual(['1', '2']);
  expect(told.map(({ message }) => message.done)).toEqual([false, false, true]);
  store.read('s', 8, 'a', true, true);
  expect(texts()).toEqual(['1', '2', '1', '2', '3']);
  expect(told.at(-1)?.message.done).toBe(true);
});

test('nothing of an unknown job: one empty answer that says so', () => {
  const { store, told } = open();
  store.read('s', 1, 'nobody', false, true);
  expect(told).toEqual([{ session: 's', message: { kind: 'printed', reader: 1, lines: [], done: true } }]);
});

test('many lines come in several messages, each of them once', () => {
  const { store, texts } = open();
  const all = Array.from({ length: 2_000 }, (_, i) => String(i));
  store.add(all.map((text) => line('a', text)));
  store.read('s', 1, 'a', false, false);
  expect(texts()).toEqual(all);
});

test('a job that prints without end keeps its newest lines, and does not push others out (W13)', () => {
  const { store, texts } = open(10_000, 100_000);
  store.add([line('quiet', 'still here')]);
  for (let i = 0; i < 5_000; i++) store.add([line('loud', `${i}`)]);
  store.read('s', 1, 'quiet', false, true);
  expect(texts()).toEqual(['still here']);
  store.read('s', 1, 'loud', false, true);
  expect(texts().at(-1)).toBe('4999');
  expect(texts().length).toBeLessThan(102);
});

test('over all jobs, the one that printed longest ago goes first', () => {
  const { store, told } = open(10_000, 20_000);
  for (let job = 0; job < 10; job++) store.add(Array.from({ length: 40 }, () => line(`j${job}`, 'x')));
  for (let job = 0; job < 10; job++) store.read('s', job, `j${job}`, false, true);
  expect(told.map(({ message }) => message.lines.length > 0)).toEqual([false, false, false, false, false, false, true, true, true, true]);
});

test('who stopped following hears nothing more', () => {
  const { store, told } = open();
  store.read('s', 1, 'a', true, false);
  store.read('s', 2, 'a', true, false);
  store.unread('s', 1);
  store.add([line('a', 'x')]);
  expect(told.at(-1)?.message.reader).toBe(2);
  store.unread('s');
  store.add([line('a', 'y')]);
  expect(told).toHaveLength(3);
});
