/**
 * A little room put by on disk. A full disk is made free by dropping streams, and a drop is itself a record: when even
 * that finds no room, this file goes to make some.
 */
import { join } from 'node:path';
import { type Disk, errorCode, isFull } from './disk.ts';

/** Room for a segment's header and hundreds of drops. */
export const RESERVE_BYTES = 64 * 1024;

export class Reserve {
  readonly #path: string;
  readonly #disk: Disk;
  #isHeld = false;

  constructor(directory: string, disk: Disk) {
    this.#path = join(directory, 'reserve');
    this.#disk = disk;
  }

  /** Puts the room by again, if there is some. */
  async restore(): Promise<void> {
    if (this.#isHeld) return;
    try {
      const file = await this.#disk.create(this.#path);
      try {
        await this.#disk.write(file, [Buffer.alloc(RESERVE_BYTES)], 0);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isFull(error)) {
        await this.#disk.unlink(this.#path).catch(() => undefined);
        return;
      }
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    this.#isHeld = true;
  }

  /** Gives the room away; false if there is none left to give. */
  async release(): Promise<boolean> {
    this.#isHeld = false;
    try {
      await this.#disk.unlink(this.#path);
      return true;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
  }
}
