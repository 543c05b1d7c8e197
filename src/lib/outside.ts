/**
 * What a shell takes from the world around it: time, timers, chance. Coordinator and worker take nothing of the kind from
 * anywhere else, so that the simulator can give them a world of its own.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { performance } from 'node:perf_hooks';

export interface Timer {
  cancel(): void;
  /** Keeps the process alive, or does not. */
  ref(): void;
  unref(): void;
}

export interface Outside {
  /** Monotonic. */
  nowMs(): number;
  wallMs(): number;
  after(ms: number, act: () => void): Timer;
  /** Again and again, each time after what has arrived meanwhile was heard (K05). */
  every(ms: number, act: () => void): Timer;
  /** Unguessable. */
  randomBytes(count: number): Uint8Array;
  randomBelow(limit: number): number;
}

export const realOutside: Outside = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (ms, act) => timerOf(setTimeout(act, ms)),
  // Through the poll phase first, where messages are handed over.
  every: (ms, act) => timerOf(setInterval(() => setImmediate(act), ms)),
  randomBytes: (count) => randomBytes(count),
  randomBelow: (limit) => randomInt(limit),
};

function timerOf(timer: NodeJS.Timeout): Timer {
  return { cancel: () => clearTimeout(timer), ref: () => void timer.ref(), unref: () => void timer.unref() };
}
