/**
 * What the file journal does to its segments on disk, each act named, so that others can stand between: a test that looks at
 * the directory before each act (a crash there), or lets one fail as a dying disk would, and the simulator, whose disk
 * is not there at all.
 */
import { fdatasyncSync, readdirSync, statfsSync, statSync, writevSync } from 'node:fs';
import { constants, type FileHandle, open, unlink } from 'node:fs/promises';

/** An open file, for as much as is read of it. */
export interface DiskFile {
  /** Up to `length` bytes from `position` on; none at the file's end. */
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  stat(): Promise<{ size: number }>;
  close(): Promise<void>;
}

export interface Disk {
  /** The names in a directory. */
  list(directory: string): readonly string[];
  /** What it gives is a number that is another one once a name came to the directory or went; undefined while it can't tell. */
  marksOf(directory: string): () => number | undefined;
  /** Creates a file that must not exist; EEXIST if it does. */
  create(path: string): Promise<DiskFile>;
  /** ENOENT if there is none. `r+`: to be made durable as well, for which some systems want it open for writing. */
  open(path: string, mode: 'r' | 'r+'): Promise<DiskFile>;
  /** Writes all of `chunks` at `position`, or throws. `now`: on this thread, before it returns. */
  write(file: DiskFile, chunks: readonly Uint8Array[], position: number, now?: boolean): Promise<void> | void;
  sync(file: DiskFile, now?: boolean): Promise<void> | void;
  truncate(file: DiskFile, bytes: number): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** By a clock that only goes forward: how long the disk takes. */
  nowMs(): number;
}

/** Of the files that `nodeDisk` has opened. */
const handleOf = (file: DiskFile): FileHandle => file as FileHandle;

export const nodeDisk: Disk = {
  list: readdirSync,
  marksOf,
  create: (path) => open(path, 'wx+', 0o600),
  open: (path, mode) => open(path, mode),
  write: (file, chunks, position, now = false) => (now ? writeAllNow : writeAll)(handleOf(file), chunks, position),
  sync: (file, now = false) => (now ? fdatasyncSync(handleOf(file).fd) : handleOf(file).datasync()),
  truncate: (file, bytes) => handleOf(file).truncate(bytes),
  unlink,
  syncDirectory,
  nowMs: () => performance.now(),
};

/**
 * File systems of one machine, whose directories bear the time of their last change as soon as anybody sees it: ext2–4, XFS, Btrfs,
 * F2FS, tmpfs, overlayfs, ZFS. Those of a network may answer with what they knew a while ago. Source of the numbers: statfs(2).
 */
const promptTypes = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994, 0x794c7630, 0x2fc12fc1]);
/** Clocks of file systems tick, 10 ms at most: two changes may bear the same time, unless it has gone on in between. */
const settledMs = 1_000;

function marksOf(directory: string): () => number | undefined {
  if (process.platform !== 'linux' || !promptTypes.has(statfsSync(directory).type)) return () => undefined;
  return () => {
    const { ctimeMs } = statSync(directory);
    return Date.now() - ctimeMs > settledMs ? ctimeMs : undefined;
  };
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[], position: number): Promise<void> {
  let rest = chunks;
  let at = position;
  while (rest.length > 0) {
    const only = rest.length === 1 ? rest[0] : undefined;
    const { bytesWritten } = only === undefined ? await file.writev(rest, at) : await file.write(only, 0, only.length, at);
    // A full disk first writes less than asked; only the next write says why.
    at += bytesWritten;
    rest = after(rest, bytesWritten);
  }
}

function writeAllNow({ fd }: FileHandle, chunks: readonly Uint8Array[], position: number): void {
  let rest = chunks;
  let at = position;
  while (rest.length > 0) {
    const bytesWritten = writevSync(fd, rest, at);
    at += bytesWritten;
    rest = after(rest, bytesWritten);
  }
}

function after(chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let first = 0;
  let left = written;
  for (let chunk = chunks[0]; chunk !== undefined && left >= chunk.length; chunk = chunks[first]) {
    left -= chunk.length;
    first += 1;
  }
  if (first === chunks.length) return [];
  const rest = chunks.slice(first);
  const head = rest[0];
  if (left > 0 && head !== undefined) rest[0] = head.subarray(left);
  return rest;
}

async function syncDirectory(path: string): Promise<void> {
  // Windows has no such call; its file systems journal names by themselves.
  if (process.platform === 'win32') return;
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** No room, as told by a write: the disk, a quota, or the greatest file size. */
export function isFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
}

/** The process, or the machine, has as many files open as it may. A file could not be opened, so nothing was done to it. */
export function isOutOfDescriptors(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}
