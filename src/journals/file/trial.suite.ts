/** What the file journal's own tests share: scratch directories, damaged copies, and a disk to stand in front of. */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Journal } from '../journal.ts';
import { type Disk, errorCode, nodeDisk } from './disk.ts';
import { type FileJournal, type FileJournalOptions, openFileJournal } from './journal.ts';

/** Memory where there is some to mount: thousands of openings would wait for the disk, and prove nothing more. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export interface Trial {
  /** A new directory, removed after the test. */
  directory(): Promise<string>;
  /** Opens, and closes after the test. */
  open(directory: string, options?: FileJournalOptions, disk?: Disk): Promise<FileJournal>;
}

/** Called at the top of a test file. */
export function trial(): Trial {
  const directories: string[] = [];
  const journals: Journal[] = [];
  afterEach(async () => {
    await Promise.all(journals.splice(0).map((journal) => journal.close()));
    await Promise.all(directories.splice(0).map((path) => rm(path, { recursive: true })));
  });
  return {
    directory: async () => {
      const path = await mkdtemp(join(scratch, 'shoal-journal-'));
      directories.push(path);
      return path;
    },
    open: async (directory, options, disk) => {
      const journal = await openFileJournal(directory, options, disk);
      journals.push(journal);
      return journal;
    },
  };
}

/** A copy of a journal directory as a crash would leave it: without the lock of the process that "died". */
export async function copyAsCrashed(from: string, to: string): Promise<void> {
  for (;;) {
    try {
      return await cp(from, to, { recursive: true, filter: (path) => !path.endsWith('/lock') });
    } catch (error) {
      // Another act took a file away meanwhile: the copy is of no one moment.
      if (errorCode(error) !== 'ENOENT') throw error;
      await rm(to, { recursive: true });
    }
  }
}

export async function changeFile(path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  await writeFile(path, change(await readFile(path)));
}

/** The real disk, with `before` called ahead of each act that changes it. A throw from it is the act's failure. */
export function watchedDisk(before: (act: keyof Disk) => Promise<void> | void): Disk {
  return {
    ...nodeDisk,
    create: async (path) => {
      await before('create');
      return nodeDisk.create(path);
    },
    write: async (file, chunks, position) => {
      await before('write');
      await nodeDisk.write(file, chunks, position);
    },
    sync: async (file) => {
      await before('sync');
      await nodeDisk.sync(file);
    },
    truncate: async (file, bytes) => {
      await before('truncate');
      await nodeDisk.truncate(file, bytes);
    },
    unlink: async (path) => {
      await before('unlink');
      await nodeDisk.unlink(path);
    },
    syncDirectory: async (path) => {
      await before('syncDirectory');
      await nodeDisk.syncDirectory(path);
    },
  };
}
