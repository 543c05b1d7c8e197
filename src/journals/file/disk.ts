/**
 * The few acts by which the file journal changes the disk, each named, so that tests can stand between:
 * look at the directory before each act (a crash there), or let one fail as a dying disk would.
 */
import { fdatasyncSync, writevSync } from 'node:fs';
import { constants, type FileHandle, open, unlink } from 'node:fs/promises';

export interface Disk {
  /** Creates a file that must not exist; EEXIST if it does. */
  create(path: string): Promise<FileHandle>;
  /** Writes all of `chunks` at `position`, or throws. `now`: on this thread, before it returns. */
  write(file: FileHandle, chunks: readonly Uint8Array[], position: number, now?: boolean): Promise<void> | void;
  sync(file: FileHandle, now?: boolean): Promise<void> | void;
  truncate(file: FileHandle, bytes: number): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
}

export const nodeDisk: Disk = {
  create: (path) => open(path, 'wx+', 0o600),
  write: (file, chunks, position, now = false) => (now ? writeAllNow : writeAll)(file, chunks, position),
  sync: (file, now = false) => (now ? fdatasyncSync(file.fd) : file.datasync()),
  truncate: (file, bytes) => file.truncate(bytes),
  unlink,
  syncDirectory,
};

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
