/**
 * Durations and sizes as people write them (`'30s'`, `'512MiB'`) and as the code counts them: milliseconds
 * and bytes, whole numbers. What is no duration is `undefined` here; who asked knows the name of the option.
 */

/** A bare number is milliseconds. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;
export type Bytes = number | `${number}${'KiB' | 'MiB' | 'GiB'}`;

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const bytesPerUnit: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Longer than anything a person means, and far from the end of what dates and timers can count (K02). */
const durationMsMax = 10 * 365 * 86_400_000;

function quantity(value: unknown, units: Readonly<Record<string, number>>, max: number): number | undefined {
  let amount: number;
  if (typeof value === 'number') {
    amount = value;
  } else if (typeof value === 'string') {
    const parts = /^(\d+(?:\.\d+)?)([a-zA-Z]+)$/.exec(value);
    const unit = parts ? units[parts[2]!] : undefined;
    if (!parts || unit === undefined) return undefined;
    amount = Number(parts[1]) * unit;
  } else {
    return undefined;
  }
  return amount >= 0 && amount <= max ? Math.round(amount) : undefined;
}

/** Milliseconds; undefined for NaN, negative, longer than ten years, or a text that is no duration. */
export function durationToMs(value: unknown): number | undefined {
  return quantity(value, msPerUnit, durationMsMax);
}

/** Bytes; undefined for what is no size. */
export function bytesToCount(value: unknown): number | undefined {
  return quantity(value, bytesPerUnit, Number.MAX_SAFE_INTEGER);
}
