import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { BundleStore } from './bundles.ts';

test('a folder that can not be made is tried again with the next question', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-bundles-'));
  try {
    const cache = join(folder, 'cache');
    writeFileSync(cache, 'in the way');
    const store = new BundleStore(cache);
    const bytes = Buffer.from('export {};');
    const hash = createHash('sha256').update(bytes).digest('hex');
    await expect(store.has(hash)).rejects.toThrow(/ENOTDIR|EEXIST/);
    rmSync(cache);
    expect(await store.has(hash)).toBe(false);
    await store.store(hash, bytes);
    expect([await store.has(hash), store.isThere(hash)]).toEqual([true, true]);
    rmSync(fileURLToPath(store.urlOf(hash)));
    expect(store.isThere(hash)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
