/** Process groups and directories that a thread made and had no time to clear away: its host does it. */
import { rm } from 'node:fs/promises';
import type { FromRuntime } from '../runtime/channel.ts';

export class Leftovers {
  private readonly groups = new Set<number>();
  private readonly directories = new Set<string>();

  note({ what, name, held }: FromRuntime & { kind: 'holds' }): void {
    const set: Set<string | number> = what === 'group' ? this.groups : this.directories;
    const key = what === 'group' ? Number(name) : name;
    if (held) set.add(key);
    else set.delete(key);
  }

  async clear(): Promise<void> {
    for (const group of this.groups) {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
    this.groups.clear();
    const directories = [...this.directories];
    this.directories.clear();
    await Promise.all(directories.map((path) => rm(path, { recursive: true, force: true, maxRetries: 3 })));
  }
}
