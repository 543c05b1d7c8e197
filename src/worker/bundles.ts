/**
 * Uploaded programs on this machine's disk, by the sha256 of their bytes. Several workers may share the folder.
 *
 * 1. A file appears whole or not at all, and only if its bytes have the hash that they go by: what a thread loads is what
 *    the client sent, whoever carried it.
 * 2. `import 'shoal'` in a program means the package that this worker runs: the folder has a link to it, and workers of
 *    other installations have folders of their own.
 * 3. Programs that were not used for longest go when all together have more than `bytesMax`; one in use stays.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ShoalError } from '../lib/errors.ts';

const bytesMaxDefault = 1024 * 1024 * 1024;

export class BundleStore {
  private readonly folder: string;
  private readonly bytesMax: number;
  private readonly inUse = new Set<string>();
  private isReady: Promise<void> | undefined;

  /** `folder`: for all installations; this one takes a folder in it. */
  constructor(folder: string, bytesMax = bytesMaxDefault) {
    this.folder = join(folder, createHash('sha256').update(packageRoot()).digest('hex').slice(0, 12));
    this.bytesMax = bytesMax;
  }

  urlOf(hash: string): string {
    return pathToFileURL(this.pathOf(hash)).href;
  }

  /** Is it here, whole? */
  async has(hash: string): Promise<boolean> {
    await this.prepare();
    try {
      const bytes = await readFile(this.pathOf(hash));
      if (hashOf(bytes) !== hash) return false;
      const now = new Date();
      await utimes(this.pathOf(hash), now, now).catch(() => undefined);
      this.inUse.add(hash);
      return true;
    } catch {
      return false;
    }
  }

  /** May an executor load it? Whoever clears temporary files does not ask. */
  isThere(hash: string): boolean {
    return existsSync(this.pathOf(hash));
  }

  /** SH5011: the bytes are not what they go by. */
  async store(hash: string, bytes: Uint8Array): Promise<void> {
    const actual = hashOf(bytes);
    if (actual !== hash) {
      throw new ShoalError('SH5011', `the program ${short(hash)} arrived damaged and is not run`, {
        why: `its bytes have the hash ${short(actual)}`,
      });
    }
    await this.prepare();
    const fresh = join(this.folder, `${hash}.${randomBytes(6).toString('hex')}.tmp`);
    const file = await open(fresh, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, this.pathOf(hash));
    this.inUse.add(hash);
    await this.prune();
  }

  private pathOf(hash: string): string {
    return join(this.folder, `${hash}.mjs`);
  }

  private prepare(): Promise<void> {
    // What is in the way now may be gone next time.
    this.isReady ??= this.makeFolder().catch((error: unknown) => {
      this.isReady = undefined;
      throw error;
    });
    return this.isReady;
  }

  private async makeFolder(): Promise<void> {
    const packages = join(this.folder, 'node_modules');
    await mkdir(packages, { recursive: true, mode: 0o700 });
    const link = join(packages, 'shoal');
    if (!existsSync(link)) {
      await rm(link, { force: true });
      await symlink(packageRoot(), link, 'junction').catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
  }

  private async prune(): Promise<void> {
    const files: { path: string; hash: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.folder)) {
      const hash = /^([0-9a-f]{64})\.mjs$/.exec(name)?.[1];
      if (hash === undefined) continue;
      const path = join(this.folder, name);
      const found = await stat(path).catch(() => undefined);
      if (found) files.push({ path, hash, bytes: found.size, usedMs: found.mtimeMs });
    }
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.usedMs - b.usedMs)) {
      if (bytes <= this.bytesMax) return;
      if (this.inUse.has(file.hash)) continue;
      await rm(file.path, { force: true });
      bytes -= file.bytes;
    }
  }
}

function packageRoot(): string {
  return fileURLToPath(new URL('../../', import.meta.url)).replace(/[/\\]$/, '');
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function short(hash: string): string {
  return `${hash.slice(0, 12)}…`;
}
