// @ts-check
/** What every contender runs: nothing at all, or the same fixed work on a core. */

/** @param {number} value */
export function noop(value) {
  return value;
}

/**
 * A fixed number of rounds instead of a time: a thread that is slowed down by its neighbours must not do less.
 * @param {number} rounds
 */
export function spin(rounds) {
  let state = rounds | 0;
  for (let round = 0; round < rounds; round++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

/** @param {number} ms */
export async function wait(ms) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ms;
}

/** @type {Record<string, (input: number) => number>} */
export const works = { noop, spin };

/** How many rounds a core does in a millisecond when it has nothing else to do; the best of several tries. */
export function roundsPerMs() {
  spin(20_000_000);
  let best = 0;
  for (let attempt = 0; attempt < 5; attempt++) {
    const started = performance.now();
    spin(20_000_000);
    best = Math.max(best, 20_000_000 / (performance.now() - started));
  }
  return Math.round(best);
}
