import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Posted, Told } from './posted.ts';
import { answerMs, Stops } from './stops.ts';

const graceMs = 5_000;
const entry = new Posted({
  id: 1,
  definition: { name: 'resize' },
  ranges: [0, 4],
  attempts: [1],
  inputs: [],
} as unknown as ConstructorParameters<typeof Posted>[0]);
let stuck: string[];
let stops: Stops;

beforeEach(() => {
  vi.useFakeTimers();
  stuck = [];
  stops = new Stops(graceMs, undefined, { expired: () => {}, stillLoads: () => {}, stuck: (_, why) => stuck.push(why) });
  entry.told[0] = Told.expired;
});
afterEach(() => {
  stops.clear();
  vi.useRealTimers();
});

test('a thread that is kept busy for a while and then answers has the whole grace (W08)', async () => {
  const ask = stops.ask(entry, [0, 1], true);
  await vi.advanceTimersByTimeAsync(900);
  stops.answered(ask);
  await vi.advanceTimersByTimeAsync(graceMs - 901);
  expect(stuck).toEqual([]);
  await vi.advanceTimersByTimeAsync(2);
  expect(stuck).toEqual(['a task of resize did not end within the grace of 5000 ms']);
});

test('one that does not answer is not waited for any longer (W07)', async () => {
  stops.ask(entry, [0, 1], true);
  await vi.advanceTimersByTimeAsync(answerMs + 1);
  expect(stuck).toEqual(['a task of resize holds its thread and does not answer']);
});

test('what ended in time is left in peace, answer or none (W08)', async () => {
  stops.ask(entry, [0, 1], true);
  entry.told[0] = Told.told;
  await vi.advanceTimersByTimeAsync(2 * graceMs);
  expect(stuck).toEqual([]);
});
