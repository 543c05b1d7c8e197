import { expect, test } from 'vitest';
import type { DeliverMessage, FromClient } from '../core/messages.ts';
import { Credit } from './credit.ts';

const mib = 1024 * 1024;

/** A line whose queue is said by hand. */
class Line {
  isOpen = true;
  queuedBytes = 0;
  readonly given: FromClient[] = [];
  readonly credit = new Credit(this, 8 * mib, (message) => this.given.push(message));
  private waiting: (() => void)[] = [];

  roomAsked = 0;

  room(): Promise<void> {
    // Not for ever: a loop of microtasks would let no test fail.
    if (++this.roomAsked > 100) throw new Error('asked for room again and again');
    return this.isOpen ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }

  empties(): Promise<void> {
    this.queuedBytes = 0;
    return this.release();
  }

  /** Closed, or cut: what waits to be written is counted on. */
  ends(): Promise<void> {
    this.isOpen = false;
    return this.release();
  }

  private async release(): Promise<void> {
    for (const resolve of this.waiting.splice(0)) resolve();
    await new Promise(setImmediate);
  }

  open(message: ReturnType<typeof read>): void {
    this.credit.open(message, (credit) => ({ ...message, credit }));
  }

  /** Credit that went on for a reader since the last time. */
  took(reader: number): number {
    let sum = 0;
    for (const message of this.given.splice(0)) {
      if ((message.kind === 'read' || message.kind === 'readCredit') && message.reader === reader) sum += message.credit;
    }
    return sum;
  }

  deliver(reader: number, tasks: number, bytesPerTask: number, done = false): void {
    const body = [new Uint8Array(tasks * bytesPerTask)];
    this.credit.delivered({
      kind: 'deliver',
      reader,
      statuses: new Uint32Array(tasks),
      body,
      done,
    } as Partial<DeliverMessage> as DeliverMessage);
  }
}

const read = (reader: number, credit: number): Extract<FromClient, { kind: 'read' }> => ({
  kind: 'read',
  reader,
  job: 'j',
  order: 'input',
  credit,
  inputs: false,
});

test('what is little goes on at once, and never more than was given', () => {
  const line = new Line();
  line.open(read(1, 5));
  expect(line.given).toEqual([read(1, 5)]);
  expect(line.took(1)).toBe(5);
  line.deliver(1, 5, 10);
  expect(line.took(1)).toBe(0);
  line.credit.more(1, 3);
  expect(line.took(1)).toBe(3);
});

test('small results soon have a wide window, large ones a narrow one (N10)', () => {
  const line = new Line();
  line.open(read(1, 1e9));
  let out = line.took(1);
  expect(out).toBeLessThanOrEqual(64);
  let most = out;
  for (let i = 0; i < 20; i++) {
    line.deliver(1, out, 10);
    most = Math.max(most, (out = line.took(1)));
  }
  expect(most).toBeGreaterThan(32_768);
  line.deliver(1, out, 1000);
  expect(line.took(1) * 1000).toBeLessThanOrEqual(16 * mib);
});

test('above the high-water mark nothing goes on until the line has room (N10)', async () => {
  const line = new Line();
  line.open(read(1, 1e9));
  const out = line.took(1);
  line.queuedBytes = 9 * mib;
  line.deliver(1, out, 1000);
  line.open(read(2, 10));
  expect(line.given).toEqual([read(2, 0)]);
  await line.empties();
  expect(line.given).toContainEqual({ kind: 'readCredit', reader: 2, credit: 10 });
  expect(line.took(1)).toBeGreaterThan(0);
});

test('a line that ends with a full queue is not waited for: nothing goes on, and nothing spins (N10)', async () => {
  const line = new Line();
  line.open(read(1, 1e9));
  line.queuedBytes = 9 * mib;
  line.deliver(1, line.took(1), 1000);
  expect(line.roomAsked).toBe(1);
  await line.ends();
  line.credit.more(1, 10);
  line.deliver(1, 1, 1000);
  await new Promise(setImmediate);
  expect(line.roomAsked).toBe(1);
  expect(line.given).toEqual([]);
});

test('a result larger than the window comes all the same, one at a time', () => {
  const line = new Line();
  line.open(read(1, 1_000));
  let out = line.took(1);
  for (let total = 0; total < 200; total++) {
    line.deliver(1, out, 20 * mib);
    out = line.took(1);
    expect(out).toBe(1);
    if (total > 3) break;
  }
});

test('whoever ended or was closed is given nothing more', () => {
  const line = new Line();
  line.open(read(1, 1_000));
  line.open(read(2, 1_000));
  line.given.length = 0;
  line.deliver(1, 3, 10, true);
  line.credit.more(1, 10);
  line.credit.close(2);
  line.credit.more(2, 10);
  expect(line.given).toEqual([]);
});
