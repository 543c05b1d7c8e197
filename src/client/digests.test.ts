import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../core/spec.ts';
import { RollingDigest, specDigest } from './digests.ts';
import { stageTerms } from './options.ts';

const spec: JobSpec = {
  name: 'j',
  stages: [{ definition: { name: 'a', module: 'file:///one/bundle.mjs' }, feed: { kind: 'inputs' }, ...stageTerms('a', {}) }],
  output: { stage: 0, take: 'all' },
  priority: 0,
  keepMs: 5,
};

describe('specDigest', () => {
  it('knows the same job again, wherever its code lies and however urgent it is', () => {
    const elsewhere = { ...spec.stages[0]!, definition: { module: 'file:///two/bundle.mjs', name: 'a' } };
    expect(specDigest({ ...spec, stages: [elsewhere], key: 'k', priority: 7, keepMs: 0, tags: { a: 'b' } })).toBe(specDigest(spec));
  });

  it('tells another task and other terms', () => {
    expect(specDigest({ ...spec, name: 'k' })).not.toBe(specDigest(spec));
    expect(specDigest({ ...spec, stages: [{ ...spec.stages[0]!, timeoutMs: 5 }] })).not.toBe(specDigest(spec));
  });
});

describe('RollingDigest', () => {
  const digestOf = (...batches: string[][]): string => {
    const digest = new RollingDigest();
    for (const batch of batches)
      digest.add(
        Uint32Array.from(batch, (text) => text.length),
        Buffer.from(batch.join('')),
      );
    return digest.value;
  };

  it('does not depend on batches', () => {
    expect(digestOf(['a', 'bc', 'd'])).toBe(digestOf(['a'], ['bc', 'd']));
  });

  it('A02: tells inputs that have the same bytes and other borders', () => {
    expect(digestOf(['a', 'bc'])).not.toBe(digestOf(['ab', 'c']));
  });

  it('can be read on the way', () => {
    const digest = new RollingDigest();
    digest.add(Uint32Array.of(1), Buffer.from('a'));
    expect(digest.value).toBe(digestOf(['a']));
    digest.add(Uint32Array.of(1), Buffer.from('b'));
    expect(digest.value).toBe(digestOf(['a', 'b']));
  });
});
