/**
 * How many primes are there up to a number? A segmented sieve of Eratosthenes, a task for each segment.
 *
 *   shoal run examples/primes.ts [LIMIT]        default 1000000000, which prints 50847534
 *
 * One bit for each number that 2, 3 and 5 do not divide: eight numbers of every thirty, so a byte stands for thirty
 * numbers and a segment fits into a core's cache.
 */
import { main, task } from 'shoal';

const residues = [1, 7, 11, 13, 17, 19, 23, 29] as const;
const segmentBytes = 2 ** 17;
const segmentNumbers = segmentBytes * 30;

/** Which bit a number has in its byte, by its remainder; none if 2, 3 or 5 divide it. */
const bitOf = new Int8Array(30).fill(-1);
for (const [bit, residue] of residues.entries()) bitOf[residue] = bit;

interface Segment {
  /** A multiple of thirty. */
  from: number;
  /** The last number that counts. */
  upTo: number;
}

export const countPrimes = task('primes.count', ({ from, upTo }: Segment): number => {
  const bytes = Math.ceil((upTo + 1 - from) / 30);
  const words = new Uint32Array(Math.ceil(bytes / 4));
  const composite = new Uint8Array(words.buffer);
  composite.fill(0xff, bytes);
  if (from === 0) composite[0]! |= 1; // 1 is no prime
  const start = from / 30;
  const root = Math.floor(Math.sqrt(upTo));
  for (const prime of basePrimes(root)) {
    if (prime > root) break;
    crossOut(composite, start, bytes, prime);
  }
  for (let n = upTo + 1; n < from + bytes * 30; n++) {
    if (bitOf[n % 30]! >= 0) composite[bytes - 1]! |= 1 << bitOf[n % 30]!;
  }
  let count = words.length * 32;
  for (const word of words) count -= onesIn(word);
  return count;
});

export const sum = task('primes.sum', (counts: number[]): number => counts.reduce((a, b) => a + b, 0));

main(async ({ args }) => {
  const limit = Number(args[0] ?? 1_000_000_000);
  if (!Number.isSafeInteger(limit) || limit < 0) throw new RangeError(`not a number to count primes up to: ${args[0]}`);
  const divisors = [2, 3, 5].filter((prime) => prime <= limit).length;
  const count = await countPrimes.map(segments(limit), { progress: 'Counting primes' }).reduce(sum);
  console.log(divisors + count);
});

function* segments(limit: number): Generator<Segment> {
  for (let from = 0; from <= limit; from += segmentNumbers) yield { from, upTo: Math.min(limit, from + segmentNumbers - 1) };
}

/** The multiples of a prime by a cofactor of one remainder lie in every prime-th byte, always at the same bit. */
function crossOut(composite: Uint8Array, start: number, end: number, prime: number): void {
  for (const residue of residues) {
    const offset = Math.floor((prime * residue) / 30);
    // Smaller cofactors were crossed out by smaller primes.
    const smallest = Math.ceil((prime - residue) / 30);
    const first = Math.max(smallest, Math.ceil((start - offset) / prime));
    const mask = 1 << bitOf[(prime * residue) % 30]!;
    for (let at = prime * first + offset - start; at < end; at += prime) composite[at]! |= mask;
  }
}

/** Kept by each thread, because every segment needs the same ones. */
let base = { upTo: 0, primes: [] as number[] };

/** The primes from 7 up to at least that number. */
function basePrimes(upTo: number): readonly number[] {
  if (base.upTo < upTo) {
    const composite = new Uint8Array(upTo + 1);
    const primes: number[] = [];
    for (let n = 2; n <= upTo; n++) {
      if (composite[n]) continue;
      if (n > 5) primes.push(n);
      for (let multiple = n * n; multiple <= upTo; multiple += n) composite[multiple] = 1;
    }
    base = { upTo, primes };
  }
  return base.primes;
}

function onesIn(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
