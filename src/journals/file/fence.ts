/**
 * Sees whether another opener has made a newer segment: asked once a commit (DESIGN H19). The names in the directory tell; they are
 * read anew only when the disk can't say that none came or went since.
 */
import type { Disk } from './disk.ts';
import { segmentNumbers } from './segments.ts';

export class Fence {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #mark: () => number | undefined;
  /** Of the names when they were last read and nobody had come. */
  #seen: number | undefined;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#mark = disk.marksOf(directory);
  }

  /** A segment above `number`, our own, is there; or ours is gone. */
  isSuperseded(number: number): boolean {
    // Before the names, so that what comes between the two is seen the next time.
    const mark = this.#mark();
    if (mark !== undefined && mark === this.#seen) return false;
    this.#seen = undefined;
    if (segmentNumbers(this.#disk, this.#directory).at(-1) !== number) return true;
    this.#seen = mark;
    return false;
  }
}
