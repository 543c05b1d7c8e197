/**
 * The streams that are closed for ever, as a set of 64-bit hashes: a journal outlives millions of jobs and
 * must know them all, so a name costs 12 to 32 bytes here whatever its length.
 *
 * A set only grows. That two of n names hash alike, and an honest stream is refused, has the odds
 * n² / 2⁶⁵: with ten million dropped streams about one in 370 000 journals ever sees it.
 */
import { hash } from 'node:crypto';

export const HASH_BYTES = 8;

/** The 8 bytes that stand for a stream; never all zero, which marks a free place. */
export function streamHash(stream: string): Buffer {
  const bytes = hash('sha1', stream, 'buffer').subarray(0, HASH_BYTES);
  if (bytes.every((byte) => byte === 0)) bytes[0] = 1;
  return bytes;
}

export class ClosedStreams {
  /** Two words a place, open addressing, at most three quarters full. */
  #words = new Uint32Array(32);
  #count = 0;
  /** What was last asked for and is not in here: a stream that begins is asked for when it is admitted and when it is stored. */
  #absent: string | undefined;

  get size(): number {
    return this.#count;
  }

  has(stream: string): boolean {
    if (this.#count === 0 || stream === this.#absent) return false;
    const isThere = this.#isTaken(this.#find(streamHash(stream), 0));
    this.#absent = isThere ? undefined : stream;
    return isThere;
  }

  /** Adds the hash at `hashes[at]`. */
  add(hashes: Buffer, at = 0): void {
    const place = this.#find(hashes, at);
    if (this.#isTaken(place)) return;
    this.#absent = undefined;
    this.#words[place] = hashes.readUInt32LE(at);
    this.#words[place + 1] = hashes.readUInt32LE(at + 4);
    this.#count += 1;
    if (this.#count * 8 > this.#words.length * 3) this.#grow();
  }

  #isTaken(place: number): boolean {
    return this.#words[place] !== 0 || this.#words[place + 1] !== 0;
  }

  /** The place of this hash, or the free one where it belongs. */
  #find(hashes: Buffer, at: number): number {
    const low = hashes.readUInt32LE(at);
    const high = hashes.readUInt32LE(at + 4);
    const words = this.#words;
    const mask = words.length - 1;
    let place = (low << 1) & mask;
    while (this.#isTaken(place) && !(words[place] === low && words[place + 1] === high)) place = (place + 2) & mask;
    return place;
  }

  #grow(): void {
    const old = this.#words;
    this.#words = new Uint32Array(old.length * 2);
    this.#count = 0;
    const hash = Buffer.alloc(HASH_BYTES);
    for (let place = 0; place < old.length; place += 2) {
      if (old[place] === 0 && old[place + 1] === 0) continue;
      hash.writeUInt32LE(old[place] ?? 0, 0);
      hash.writeUInt32LE(old[place + 1] ?? 0, 4);
      this.add(hash);
    }
  }
}
