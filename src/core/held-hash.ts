/**
 * How coordinator and worker find out cheaply that they disagree about what the worker holds (rule 8): a beat
 * carries the number of held assignments and this sum over them. A sum, so that order does not matter and either
 * side may add and subtract as assignments come and go, instead of walking over all of them.
 *
 * `remaining` counts the indices of an assignment that the coordinator has not acknowledged: a result that was
 * sent but not acknowledged is still held.
 */

/** What one held assignment adds, 32 bits. FNV-1a over the three numbers, then mixed so that sums do not cancel out. */
export function heldHashOf(term: number, serial: number, remaining: number): number {
  let hash = Math.imul(0x811c9dc5 ^ term, 0x01000193);
  hash = Math.imul(hash ^ serial, 0x01000193);
  hash = Math.imul(hash ^ remaining, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return (hash ^ (hash >>> 15)) >>> 0;
}

export function heldHash(held: Iterable<{ term: number; serial: number; remaining: number }>): number {
  let sum = 0;
  for (const { term, serial, remaining } of held) sum = (sum + heldHashOf(term, serial, remaining)) >>> 0;
  return sum;
}
