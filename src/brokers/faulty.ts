/**
 * A broker that does its worst, repeatably: it loses, repeats, delays and reorders messages by a seeded
 * generator (N02–N04). For tests of what stands above a broker; no promise of the port is broken by it.
 *
 * Nothing here waits for a clock. A delayed message is overtaken by the next 1 … `delaySendsMax` sends, whatever
 * their address, so the same sends under the same seed give the same deliveries. `heal()` lets go of what is
 * still held back and is faultless from then on: the liveness phase of a test.
 */

import { randomFrom } from '../core/random.ts';
import { concatBytes } from '../lib/bytes.ts';
import type { Address, Broker } from './broker.ts';

export interface FaultOptions {
  seed: number;
  /** Shares of all sends, 0 … 1. */
  loss?: number;
  /** Delivered 2 to 5 times. */
  duplication?: number;
  delay?: number;
  delaySendsMax?: number;
  /** Narrows the faults down to some addresses: one-way partitions (N07). */
  only?: (address: Address) => boolean;
}

export interface FaultyBroker extends Broker {
  /** Delivers what was held back; from now on nothing goes wrong. */
  heal(): Promise<void>;
  readonly counts: { sent: number; lost: number; repeated: number; delayed: number };
}

export function faulty(broker: Broker, options: FaultOptions): FaultyBroker {
  const random = randomFrom(options.seed);
  const { loss = 0, duplication = 0, delay = 0, delaySendsMax = 8, only = () => true } = options;
  const counts = { sent: 0, lost: 0, repeated: 0, delayed: 0 };
  let delayed: { dueAtSend: number; address: Address; message: Uint8Array }[] = [];
  let healed = false;

  /** The real broker's refusals are the caller's own only if the message went straight through. */
  function release(held: typeof delayed): Promise<unknown> {
    return Promise.allSettled(held.map(({ address, message }) => broker.send(address, [message])));
  }

  async function send(address: Address, chunks: readonly Uint8Array[]): Promise<void> {
    counts.sent += 1;
    const due = delayed.filter(({ dueAtSend }) => dueAtSend <= counts.sent);
    if (due.length > 0) delayed = delayed.filter(({ dueAtSend }) => dueAtSend > counts.sent);
    const sent = deliver(address, chunks);
    if (due.length > 0) void release(due);
    await sent;
  }

  async function deliver(address: Address, chunks: readonly Uint8Array[]): Promise<void> {
    if (healed || !only(address)) return broker.send(address, chunks);
    if (random() < loss) {
      counts.lost += 1;
      return;
    }
    const copies = random() < duplication ? 2 + Math.floor(random() * 4) : 1;
    counts.repeated += copies - 1;
    const message = concatBytes(chunks);
    const straight: Promise<void>[] = [];
    for (let copy = 0; copy < copies; copy++) {
      if (random() < delay) {
        counts.delayed += 1;
        delayed.push({ dueAtSend: counts.sent + 1 + Math.floor(random() * delaySendsMax), address, message });
      } else {
        straight.push(broker.send(address, [message]));
      }
    }
    await Promise.all(straight);
  }

  return {
    maxMessageBytes: broker.maxMessageBytes,
    listen: (address, handle) => broker.listen(address, handle),
    send,
    get state() {
      return broker.state;
    },
    onState: (tell) => broker.onState(tell),
    close: () => broker.close(),
    counts,
    async heal() {
      healed = true;
      const held = delayed;
      delayed = [];
      await release(held);
    },
  };
}
