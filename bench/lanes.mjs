// @ts-check
/** For pools that take one task at a time: so many at once, the next as soon as one is done. */

/**
 * @param {readonly number[]} inputs
 * @param {number} count
 * @param {(input: number) => Promise<unknown>} run
 * @returns {Promise<unknown[]>}
 */
export async function lanes(inputs, count, run) {
  const results = new Array(inputs.length);
  let next = 0;
  const lane = async () => {
    while (next < inputs.length) {
      const index = next++;
      results[index] = await run(/** @type {number} */ (inputs[index]));
    }
  };
  await Promise.all(Array.from({ length: count }, lane));
  return results;
}
