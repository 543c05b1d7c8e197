/**
 * The price of a European call option by simulation, beside what the Black–Scholes formula says.
 *
 *   shoal run examples/montecarlo.ts [PATHS]        default 100000000
 *
 * The same digits come out of every run, on any number of threads: each task draws from a stream of its own, and sums
 * are merged as integers, because floating-point addition gives another sum in another order.
 */
import { main, task } from 'shoal';

const option = { spot: 100, strike: 105, rate: 0.03, volatility: 0.2, years: 1 };
const pathsPerTask = 500_000;
/** Sums travel in units of 2^-20; an error of that size in a task's sum is far below what is printed. */
const fixedPoint = 2 ** 20;

interface Simulation {
  option: typeof option;
  paths: number;
  seed: number;
}

interface Sums {
  count: bigint;
  /** Of payoffs, and of their squares, in fixed point. */
  sum: bigint;
  squares: bigint;
}

export const simulate = task('montecarlo.simulate', ({ option, paths, seed }: Simulation): Sums => {
  const { spot, strike, rate, volatility, years } = option;
  const drift = (rate - (volatility * volatility) / 2) * years;
  const deviation = volatility * Math.sqrt(years);
  const discount = Math.exp(-rate * years);
  const normal = normals(seed);
  let sum = 0;
  let squares = 0;
  for (let path = 0; path < paths; path++) {
    const payoff = discount * Math.max(0, spot * Math.exp(drift + deviation * normal()) - strike);
    sum += payoff;
    squares += payoff * payoff;
  }
  return { count: BigInt(paths), sum: BigInt(Math.round(sum * fixedPoint)), squares: BigInt(Math.round(squares * fixedPoint)) };
});

export const merge = task(
  'montecarlo.merge',
  (parts: Sums[]): Sums => parts.reduce((a, b) => ({ count: a.count + b.count, sum: a.sum + b.sum, squares: a.squares + b.squares })),
);

main(async ({ args }) => {
  const paths = Number(args[0] ?? 100_000_000);
  if (!Number.isSafeInteger(paths) || paths < 2) throw new RangeError(`not a number of paths: ${args[0]}`);
  const total = await simulate.map(simulations(paths), { progress: 'Simulating' }).reduce(merge);

  const count = Number(total.count);
  const price = Number(total.sum) / fixedPoint / count;
  const variance = (Number(total.squares) / fixedPoint / count - price * price) * (count / (count - 1));
  const standardError = Math.sqrt(variance / count);
  const exact = blackScholes();
  console.log(`simulated      ${price.toFixed(6)}   ${count.toLocaleString('en')} paths, standard error ${standardError.toFixed(6)}`);
  console.log(`Black–Scholes  ${exact.toFixed(6)}`);
  console.log(`difference     ${(price - exact).toFixed(6)} = ${((price - exact) / standardError).toFixed(2)} standard errors`);
});

function* simulations(paths: number): Generator<Simulation> {
  for (let seed = 0; seed * pathsPerTask < paths; seed++) {
    yield { option, paths: Math.min(pathsPerTask, paths - seed * pathsPerTask), seed };
  }
}

/** Standard normal numbers by Marsaglia's polar method. */
function normals(seed: number): () => number {
  const uniform = uniforms(seed);
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    for (;;) {
      const x = 2 * uniform() - 1;
      const y = 2 * uniform() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(square)) / square);
      spare = y * scale;
      return x * scale;
    }
  };
}

/** Uniform numbers in [0, 1): sfc32, whose state holds a counter, so that no two seeds walk the same stream. */
function uniforms(seed: number): () => number {
  let a = seed;
  let b = 0x9e3779b9;
  let c = 0x243f6a88;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let round = 0; round < 15; round++) next();
  return next;
}

function blackScholes(): number {
  const { spot, strike, rate, volatility, years } = option;
  const deviation = volatility * Math.sqrt(years);
  const d1 = (Math.log(spot / strike) + (rate + (volatility * volatility) / 2) * years) / deviation;
  return spot * normalBelow(d1) - strike * Math.exp(-rate * years) * normalBelow(d1 - deviation);
}

/** The normal distribution function, by its power series. */
function normalBelow(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 3; Math.abs(term) > Number.EPSILON * Math.abs(sum); k += 2) {
    term *= (x * x) / k;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
