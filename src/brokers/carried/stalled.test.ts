/** A carrier whose publishes to some inboxes are never answered, while all else of it lives. */
import { afterEach, expect, test } from 'vitest';
import type { Carrier } from '../carrier.ts';
import { type CarriedBroker, type CarriedOptions, openCarried } from './carried.ts';

const opened: CarriedBroker[] = [];
afterEach(async () => {
  for (const broker of opened.splice(0)) await broker.close();
});

const dead = 'worker.w1.i1';

interface Stalled {
  broker: CarriedBroker;
  /** The present connection is lost, and no other comes about. */
  lose: () => void;
  /** A publish to the dead inbox is under way. */
  begun: Promise<void>;
  /** Answers all publishes to it from now on, and that one. */
  answer: () => void;
  openCount: () => number;
}

async function stalled(options: Partial<CarriedOptions>): Promise<Stalled> {
  let lose: () => void = () => undefined;
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let answer: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let openCount = 0;
  let isAway = false;
  const open: CarriedOptions['open'] = async ({ onLost }): Promise<Carrier> => {
    if (isAway) throw new Error('it is away');
    openCount += 1;
    lose = () => {
      isAway = true;
      onLost('the server went away');
    };
    const hears = new Map<string, (payloads: readonly Uint8Array[]) => Promise<void>>();
    return {
      payloadBytesMax: 512 * 1024,
      async subscribe(inbox, handle) {
        hears.set(inbox, handle);
        return { close: async () => undefined };
      },
      async publish(inbox, payloads) {
        if (inbox === dead) {
          begin();
          await answered;
        }
        void hears.get(inbox)?.(payloads);
      },
      inspect: async () => [],
      close: async () => undefined,
    };
  };
  const broker = await openCarried({ open, url: new URL('memory://host:1'), cluster: 'c', ...options });
  opened.push(broker);
  return { broker, lose: () => lose(), begun, answer, openCount: () => openCount };
}

test.each([
  ['is lost', (stall: Stalled) => stall.lose()],
  ['is closed', ({ broker }: Stalled) => broker.close()],
])('thousands of sends wait for room when the connection %s: each of them is refused (N14)', async (_how, end) => {
  const stall = await stalled({ sendBytesMax: 8_000 });
  const sends = Array.from({ length: 16_000 }, () => stall.broker.send(dead, [new Uint8Array(1)]));
  const ends = Promise.allSettled(sends);
  await stall.begun;
  await end(stall);
  expect(stall.broker.state).toBe('down');
  expect((await ends).every(({ status }) => status === 'rejected')).toBe(true);
});

test('what is not taken in time is refused, and all behind it, until the server answers: everything else goes on (N14)', async () => {
  const { broker, answer, openCount } = await stalled({ sendBytesMax: 8_000, publishDeadlineMs: 20 });
  const ends = await Promise.allSettled(Array.from({ length: 16_000 }, () => broker.send(dead, [new Uint8Array(1)])));
  expect(ends.every(({ status }) => status === 'rejected')).toBe(true);
  expect((ends[0] as PromiseRejectedResult).reason).toMatchObject({ code: 'SH3102', why: 'not taken within 0.02 s' });
  await expect(broker.send(dead, [new Uint8Array(1)])).rejects.toMatchObject({ why: 'not taken within 0.02 s' });
  await expect(broker.send('worker.w2.i1', [new Uint8Array(1)])).resolves.toBeUndefined();
  answer();
  await expect(broker.send('worker.w3.i1', [new Uint8Array(1)])).resolves.toBeUndefined();
  await expect(broker.send(dead, [new Uint8Array(1)])).resolves.toBeUndefined();
  expect([broker.state, openCount()]).toEqual(['up', 1]);
});
