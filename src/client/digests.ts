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

/** Over all inputs so far; independent of how they were cut into batches. */
export class RollingDigest {
  readonly #bytes: Hash = createHash('sha256');
  readonly #lengths: Hash = createHash('sha256');

  add(lengths: Uint32Array, body: Uint8Array): void {
    this.#bytes.update(body);
    this.#lengths.update(new Uint8Array(lengths.buffer, lengths.byteOffset, lengths.byteLength));
  }

  get value(): string {
    return `${this.#bytes.copy().digest('hex')}.${this.#lengths.copy().digest('hex')}`;
  }
}
