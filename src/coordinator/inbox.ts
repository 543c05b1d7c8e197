/** What has arrived and waits for its turn, bounded in bytes: whoever brings more than it holds has to wait. */
import type { Input } from '../core/inputs.ts';
import { turnBytesMax } from '../core/limits.ts';
import { bytesOf } from './input-bytes.ts';

const inboxBytesMax = 4 * turnBytesMax;

export class Inbox {
  private inputs: Input[] = [];
  private bytes = 0;
  private readonly waiting: (() => void)[] = [];

  get length(): number {
    return this.inputs.length;
  }

  push(input: Input): void {
    this.inputs.push(input);
  }

  /** From outside: it counts. */
  take(input: Input): void {
    this.bytes += bytesOf(input);
    this.inputs.push(input);
  }

  /** Resolves when there is room again; undefined while there is. */
  room(): Promise<void> | undefined {
    if (this.bytes <= inboxBytesMax) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  letGo(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** As much as one commit should hold. */
  takeTurn(): Input[] {
    if (this.bytes <= turnBytesMax) {
      const all = this.inputs;
      this.inputs = [];
      this.bytes = 0;
      this.letGo();
      return all;
    }
    const taken: Input[] = [];
    let bytes = 0;
    let count = 0;
    for (const input of this.inputs) {
      const size = bytesOf(input);
      if (count > 0 && bytes + size > turnBytesMax) break;
      taken.push(input);
      bytes += size;
      count++;
    }
    this.inputs.splice(0, count);
    this.bytes = Math.max(0, this.bytes - bytes);
    if (this.inputs.length === 0) this.bytes = 0;
    if (this.bytes <= turnBytesMax) this.letGo();
    return taken;
  }
}
