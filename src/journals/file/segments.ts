/**
 * The segment files of one directory: which there are, how many of their bytes are alive, and their open handles.
 *
 * Invariants
 *  G1 Numbers only grow; the highest is written to, all others are only read.
 *  G2 A file is removed only when no reader uses it: readers hold a segment from `use` to the end of their read.
 */
import { join } from 'node:path';
import { type Disk, type DiskFile, errorCode } from './disk.ts';
import { type Seal, segmentFileName, segmentNumberOf } from './format.ts';

/** Readers' handles that stay open; a journal of many gigabytes must not use up the process's files. */
const OPEN_HANDLES_MAX = 64;

export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly salt: number;
  readonly headerBytes: number;
  /** What counts of the file: header and confirmed records. */
  bytes: number;
  /** Bytes of records that still matter. */
  liveBytes: number;
  handle: DiskFile | undefined;
  opening: Promise<DiskFile> | undefined;
  users: number;
  /** Told when the last user leaves. */
  onIdle: (() => void) | undefined;
}

export class Segments {
  readonly directory: string;
  readonly #disk: Disk;
  readonly #byNumber = new Map<number, Segment>();

  constructor(directory: string, disk: Disk) {
    this.directory = directory;
    this.#disk = disk;
  }

  add(segment: { number: number; salt: number; headerBytes: number; bytes: number; handle?: DiskFile }): Segment {
    const added: Segment = {
      path: this.pathOf(segment.number),
      handle: undefined,
      ...segment,
      liveBytes: 0,
      opening: undefined,
      users: 0,
      onIdle: undefined,
    };
    this.#byNumber.set(added.number, added);
    return added;
  }

  pathOf(number: number): string {
    return join(this.directory, segmentFileName(number));
  }

  /** Leaves a segment out of account; its file is somebody else's care. */
  forget(number: number): void {
    this.#byNumber.delete(number);
  }

  get(number: number): Segment | undefined {
    return this.#byNumber.get(number);
  }

  /** Oldest first. */
  all(): Segment[] {
    return [...this.#byNumber.values()].sort((a, b) => a.number - b.number);
  }

  seals(): Seal[] {
    return this.all().map(({ number, bytes }) => ({ number, bytes }));
  }

  changeLive(number: number, bytes: number): void {
    const segment = this.#byNumber.get(number);
    if (segment !== undefined) segment.liveBytes += bytes;
  }

  /** Runs `read` with an open handle of the segment, which stays on disk until then. */
  async use<T>(segment: Segment, read: (file: DiskFile) => Promise<T>): Promise<T> {
    segment.users += 1;
    try {
      return await read(segment.handle ?? (await this.#open(segment)));
    } finally {
      this.#leave(segment);
    }
  }

  /** Keeps these segments on disk while `act` goes on. */
  async holding<T>(held: readonly Segment[], act: () => Promise<T>): Promise<T> {
    for (const segment of held) segment.users += 1;
    try {
      return await act();
    } finally {
      for (const segment of held) this.#leave(segment);
    }
  }

  #leave(segment: Segment): void {
    segment.users -= 1;
    if (segment.users === 0) segment.onIdle?.();
  }

  /** Removes a segment that nothing points to any more, once its readers have left. */
  async remove(segment: Segment): Promise<void> {
    this.#byNumber.delete(segment.number);
    if (segment.users > 0) await new Promise<void>((resolve) => (segment.onIdle = resolve));
    await segment.handle?.close();
    segment.handle = undefined;
    await this.#disk.unlink(segment.path);
  }

  async close(): Promise<void> {
    for (const segment of this.#byNumber.values()) {
      if (segment.users > 0) await new Promise<void>((resolve) => (segment.onIdle = resolve));
      await segment.handle?.close();
      segment.handle = undefined;
    }
    this.#byNumber.clear();
  }

  async #open(segment: Segment): Promise<DiskFile> {
    segment.opening ??= this.#disk.open(segment.path, 'r').finally(() => (segment.opening = undefined));
    const handle = await segment.opening;
    segment.handle = handle;
    await this.#closeIdle(segment);
    return handle;
  }

  async #closeIdle(but: Segment): Promise<void> {
    const opened = this.all().filter((segment) => segment.handle !== undefined);
    let excess = opened.length - OPEN_HANDLES_MAX;
    // The last is being written to and keeps its handle.
    for (const segment of opened.slice(0, -1)) {
      if (excess <= 0) return;
      if (segment.users > 0 || segment === but) continue;
      const { handle } = segment;
      segment.handle = undefined;
      excess -= 1;
      await handle?.close();
    }
  }
}

/** The numbers of all segment files, in order. */
export function segmentNumbers(disk: Disk, directory: string): number[] {
  return disk
    .list(directory)
    .flatMap((name) => segmentNumberOf(name) ?? [])
    .sort((a, b) => a - b);
}

/** Creates segment `number`, empty; undefined if another opener has it already. */
export async function createSegmentFile(disk: Disk, directory: string, number: number): Promise<DiskFile | undefined> {
  try {
    return await disk.create(join(directory, segmentFileName(number)));
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return undefined;
    throw error;
  }
}
