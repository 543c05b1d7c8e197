import { expect, it } from 'vitest';
import { memoryBroker } from '../brokers/memory.ts';
import type { ToClient } from '../core/messages.ts';
import type { Effect } from '../core/turn.ts';
import { memoryJournal } from '../journals/memory.ts';
import { Effects } from './effects.ts';
import { LocalSession } from './sessions.ts';

/** Bytes of `job.j` come when they are let go; what is told is kept. */
function effectsThatWait(): { effects: Effects; told: ToClient[]; read: Promise<void>; letGo: () => void; clock: { isOver: boolean } } {
  const told: ToClient[] = [];
  const session = new LocalSession('s', () => undefined);
  session.onMessage = (message) => void told.push(message);
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let onRead = (): void => undefined;
  const read = new Promise<void>((resolve) => (onRead = resolve));
  const journal = {
    ...memoryJournal(),
    readBodies: async () => {
      onRead();
      await held;
      return [Uint8Array.of(1)];
    },
  };
  const clock = { isOver: false };
  const fail = (error: unknown): never => {
    throw error;
  };
  const effects = new Effects({
    broker: memoryBroker(),
    journal,
    session: () => session,
    onLogs: () => undefined,
    onWarning: () => undefined,
    onDropped: () => undefined,
    isLost: () => clock.isOver,
    fail,
  });
  return { effects, told, read, letGo, clock };
}

const columns = { indices: Uint32Array.of(0, 1), statuses: Uint32Array.of(0), attempts: Uint32Array.of(1), durations: Uint32Array.of(1) };
const delivery: Effect = {
  effect: 'deliver',
  session: 's',
  stream: 'job.j',
  message: {
    kind: 'deliver',
    reader: 1,
    ...columns,
    workers: Uint32Array.of(0),
    workerNames: ['w'],
    lengths: Uint32Array.of(1),
    failures: [],
    done: true,
  },
  slices: [{ seq: 0, offset: 0, length: 1 }],
};
const reply: Effect = { effect: 'tell', session: 's', message: { kind: 'reply', request: 2, value: {} } };

it('what needs bytes of the journal holds back what comes behind it', async () => {
  const { effects, told, read, letGo } = effectsThatWait();
  effects.carryOut([delivery, reply]);
  await read;
  expect(told).toEqual([]);
  letGo();
  await effects.settled;
  expect(told.map(({ kind }) => kind)).toEqual(['deliver', 'reply']);
});

it('once leading is over nothing more is said: not what waits for bytes, nor what waits behind it (I13; the simulator, seed 518487)', async () => {
  const { effects, told, read, letGo } = effectsThatWait();
  effects.carryOut([delivery, reply]);
  await read;
  effects.end();
  letGo();
  await effects.settled;
  expect(told).toEqual([]);
});

it('nor by a leader that stood still while it read, and has not heard yet that its time is over (C04; the simulator, seed 701176)', async () => {
  const { effects, told, read, letGo, clock } = effectsThatWait();
  effects.carryOut([delivery, reply]);
  await read;
  clock.isOver = true;
  letGo();
  await effects.settled;
  expect(told).toEqual([]);
});
