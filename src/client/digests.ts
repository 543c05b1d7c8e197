/** Fingerprints by which a coordinator knows the same job and the same inputs again. */
import { createHash, type Hash } from 'node:crypto';
import type { JobSpec } from '../core/spec.ts';

/**
 * Of what a job computes. Not of its key, nor of what does not change its results' meaning (priority, tags, how long
 * they are kept), nor of where the code lies: a bundle has another path each time.
 */
export function specDigest(spec: JobSpec): string {
  const { key: _key, priority: _priority, tags: _tags, keepMs: _keepMs, deadlineWallMs: _deadline, ...rest } = spec;
  return createHash('sha256').update(canonical(rest)).digest('hex');
}

/** JSON with the names of each object in order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, function replace(this: unknown, name: string, part: unknown): unknown {
    if (name === 'module' || name === 'bundle') return undefined;
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/**
 * Over all inputs so far; independent of how they were cut into batches. The digest stands for all of them; marks are cheap and
 * stand for each place between two, so that batches that were cut elsewhere are compared, too.
 */
export class RollingDigest {
  mark = 0;
  readonly #bytes: Hash = createHash('sha256');
  readonly #lengths: Hash = createHash('sha256');

  /** Gives the mark before these inputs, and the one behind each. */
  add(lengths: Uint32Array, body: Uint8Array): Uint32Array {
    this.#bytes.update(body);
    this.#lengths.update(new Uint8Array(lengths.buffer, lengths.byteOffset, lengths.byteLength));
    const marks = new Uint32Array(lengths.length + 1);
    marks[0] = this.mark;
    let at = 0;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i]!;
      this.mark = markOf(this.mark, body, at, length);
      at += length;
      marks[i + 1] = this.mark;
    }
    return marks;
  }

  get value(): string {
    return `${this.#bytes.copy().digest('hex')}.${this.#lengths.copy().digest('hex')}`;
  }
}

/** Each step can be undone: who differs in one place differs from there on. */
function markOf(before: number, bytes: Uint8Array, from: number, length: number): number {
  let mark = mixed(before ^ length);
  const end = from + length;
  let at = from;
  for (; at + 4 <= end; at += 4)
    mark = mixed(mark ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)));
  for (; at < end; at++) mark = mixed(mark ^ bytes[at]!);
  return mark >>> 0;
}

function mixed(mark: number): number {
  const product = Math.imul(mark ^ 0x5bd1e995, 0x9e3779b1);
  return product ^ (product >>> 15);
}
