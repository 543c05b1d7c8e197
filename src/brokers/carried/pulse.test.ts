/** When silence is noticed, exactly, by a clock of the test's own. On real servers it is seen that it is (`carrier.suite.ts`). */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Pulse, pulseDefaults } from './pulse.ts';

const promisedMs = 5_000;
/** As Node's timers are: late by up to so much, or by the clock that is read then a millisecond early. */
const lateMsMax = 17;
const earlyMsMax = 1;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface Carrying {
  pulse: Pulse;
  /** Probes that were sent, and when. */
  sentMs: number[];
  silentAtMs: number | undefined;
  nowMs(): number;
}

/** A carrier that brings each probe back after `roundMs`, until `silentFromMs`. Its clock starts at 0. */
function carried({ roundMs = 2, silentFromMs = Number.POSITIVE_INFINITY }): Carrying {
  const startMs = Date.now();
  const elapsedMs = (): number => Date.now() - startMs;
  // Without chance, and yet without a pattern.
  let look = 0;
  const offMs = (): number => ((look++ * 7) % (lateMsMax + earlyMsMax + 1)) - earlyMsMax;
  vi.spyOn(performance, 'now').mockImplementation(() => elapsedMs() + offMs());
  const carrying: Carrying = {
    sentMs: [],
    silentAtMs: undefined,
    nowMs: elapsedMs,
    pulse: new Pulse({
      ...pulseDefaults,
      probe: (number) => {
        carrying.sentMs.push(elapsedMs());
        setTimeout(() => {
          if (elapsedMs() < silentFromMs) carrying.pulse.cameBack(number);
        }, roundMs);
      },
      onSilent: () => {
        carrying.silentAtMs ??= elapsedMs();
      },
    }),
  };
  void carrying.pulse.start();
  return carrying;
}

describe('silence', () => {
  test('is noticed within 5 s, whenever it begins between two probes (N01)', () => {
    for (let silentFromMs = 3_000; silentFromMs <= 3_000 + 10 * pulseDefaults.probeEveryMs; silentFromMs += 7) {
      const carrying = carried({ silentFromMs });
      vi.advanceTimersByTime(silentFromMs + promisedMs);
      expect(carrying.silentAtMs, `silent from ${silentFromMs} ms on`).toBeGreaterThan(silentFromMs);
      carrying.pulse.stop();
    }
  });

  test('is noticed within 5 s of the last word, where words went both ways behind the probe', () => {
    const carrying = carried({ silentFromMs: 3_000 });
    while (carrying.nowMs() < 20_000) {
      vi.advanceTimersByTime(10);
      carrying.pulse.heard();
      carrying.pulse.taken();
    }
    expect(carrying.silentAtMs).toBeUndefined();
    vi.advanceTimersByTime(promisedMs);
    expect(carrying.silentAtMs).toBeGreaterThan(20_000);
  });

  test('is noticed where words go one way only: what is taken need not arrive', () => {
    const carrying = carried({ silentFromMs: 3_000 });
    while (carrying.nowMs() < 3_000 + promisedMs) {
      vi.advanceTimersByTime(10);
      carrying.pulse.taken();
    }
    expect(carrying.silentAtMs).toBeGreaterThan(3_000);
  });

  test('is none while probes come back, however slowly, and each waits for the one before', () => {
    const carrying = carried({ roundMs: 3_000 });
    vi.advanceTimersByTime(60_000);
    expect(carrying.silentAtMs).toBeUndefined();
    expect(carrying.sentMs.length).toBeGreaterThan(15);
    expect(carrying.sentMs.length).toBeLessThanOrEqual(20);
  });

  test('is not the carrier’s while this process stood still itself (SIGSTOP): it gets its time anew', () => {
    const carrying = carried({ silentFromMs: 3_000 });
    vi.advanceTimersByTime(4_000);
    const stoodStillMs = 60_000;
    // No timer fires meanwhile; the clock goes on.
    vi.setSystemTime(Date.now() + stoodStillMs);
    vi.advanceTimersByTime(1_000);
    expect(carrying.silentAtMs).toBeUndefined();
    vi.advanceTimersByTime(promisedMs);
    expect(carrying.silentAtMs).toBeGreaterThan(stoodStillMs);
  });
});
