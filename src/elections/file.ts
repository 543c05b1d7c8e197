/**
 * `file:DIR` — an election among the processes of one host. Files `<cluster>.term-<n>`, the highest is the lease. Each holds its
 * candidate, its process, and a line of fixed length that only its owner writes, through the handle that made it: a count that
 * goes up while it leads, or that it resigned. Names are put into place whole by `link`, which refuses one that exists.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, open, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../lib/make-folder.ts';
import { type Outside, realOutside } from '../lib/outside.ts';
import { markOfThisProcess, mayLive, type ProcessMark, parseMark } from '../lib/process-life.ts';
import { refusedError } from './calls.ts';
import type { Claim, ElectionOptions, LeaseStore, Term } from './lease.ts';

export function fileStore(folder: string, options: ElectionOptions): LeaseStore {
  return new FileStore(folder, options);
}

/** What a term's file says. */
interface Found {
  number: number;
  record: string;
  process: ProcessMark | undefined;
  /** The count, or `resigned`. */
  beat: string;
}

/**
 * The ttl. Death is seen from the process, so it is only for a leader that hangs; and it is on hosts whose cores are all taken by
 * tasks that a living one comes late.
 */
const hangMs = 6_000;
const beatBytes = 12;
const resigned = 'resigned'.padEnd(beatBytes);

class FileStore implements LeaseStore {
  readonly name: string;
  readonly ttlMs: number;
  private readonly folder: string;
  private readonly prefix: string;
  private readonly outside: Outside;
  /** The highest term as last seen here, and since when it looks like that. */
  private seen: { number: number; beat: string; sinceMs: number } | undefined;

  constructor(folder: string, options: ElectionOptions) {
    this.name = `file:${folder}`;
    this.folder = folder;
    this.prefix = `${encodeURIComponent(options.cluster)}.term-`;
    this.ttlMs = options.ttlMs ?? hangMs;
    this.outside = options.outside ?? realOutside;
  }

  claim(term: Term): Claim {
    return new FileClaim(this, term);
  }

  async holder(): Promise<string | undefined> {
    const found = await this.highest();
    return found && !this.isFree(found) ? found.record : undefined;
  }

  async close(): Promise<void> {}

  pathOf(number: number): string {
    return join(this.folder, `${this.prefix}${number}`);
  }

  async numbers(): Promise<number[]> {
    const names = await readdir(this.folder).catch(unless('ENOENT', () => []));
    const numbers = names.filter((name) => name.startsWith(this.prefix)).map((name) => Number(name.slice(this.prefix.length)));
    return numbers.filter((number) => Number.isSafeInteger(number) && number > 0).sort((a, b) => a - b);
  }

  async highest(): Promise<Found | undefined> {
    for (;;) {
      const number = (await this.numbers()).at(-1);
      const found = number === undefined ? undefined : await this.read(number);
      // Listed, but removed before it was read: by the owner of a higher one, which has to be looked at.
      if (number === undefined || found) return found;
    }
  }

  async read(number: number): Promise<Found | undefined> {
    const text = await readFile(this.pathOf(number), 'utf8').catch(unless('ENOENT', () => undefined));
    if (text === undefined) return undefined;
    const [beat = '', record = '', mark = ''] = text.split('\n');
    return { number, record, beat, process: parseMark(parsed(mark)) };
  }

  /** Its owner has let go, is gone, or has not counted for a whole ttl of our clock: it stands still, or we can't see it. */
  isFree({ number, beat, process }: Found): boolean {
    if (beat === resigned || (process && !mayLive(process))) return true;
    const nowMs = this.outside.nowMs();
    if (this.seen?.number !== number || this.seen.beat !== beat) this.seen = { number, beat, sinceMs: nowMs };
    return nowMs - this.seen.sinceMs >= this.ttlMs;
  }

  async remove(number: number): Promise<void> {
    await unlink(this.pathOf(number)).catch(unless('ENOENT', () => undefined));
  }

  /** Undefined if that term exists already. */
  async create(number: number, term: Term): Promise<FileHandle | undefined> {
    const draft = join(this.folder, `${this.prefix}draft-${term.id}`);
    makeFolder(this.folder);
    const file = await open(draft, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.writeFile(`${beatText(0)}\n${term.record}\n${JSON.stringify(markOfThisProcess())}\n`);
      await link(draft, this.pathOf(number));
      return file;
    } catch (error) {
      await file.close();
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
      throw error;
    } finally {
      await unlink(draft).catch(unless('ENOENT', () => undefined));
    }
  }
}

class FileClaim implements Claim {
  private readonly store: FileStore;
  private readonly term: Term;
  private held: { number: number; file: FileHandle } | undefined;
  private beats = 0;

  constructor(store: FileStore, term: Term) {
    this.store = store;
    this.term = term;
  }

  async take(): Promise<number | undefined> {
    try {
      if (await this.renew()) return this.store.ttlMs;
      const found = await this.store.highest();
      if (found && !this.store.isFree(found)) return undefined;
      const number = (found?.number ?? 0) + 1;
      const file = await this.store.create(number, this.term);
      if (!file) return undefined;
      this.held = { number, file };
      const numbers = await this.store.numbers();
      // Others came and went since we looked, and removed what we should have met.
      if (numbers.at(-1) !== number) {
        await this.letGo();
        await this.store.remove(number);
        return undefined;
      }
      for (const older of numbers.slice(0, -1)) await this.store.remove(older);
      return this.store.ttlMs;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== undefined && ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST'].includes(code))
        throw refusedError(this.store.name, message);
      throw error;
    }
  }

  async renew(): Promise<boolean> {
    if (!this.held) return false;
    const { number, file } = this.held;
    const found = await this.store.highest();
    if (found?.number !== number || found.record !== this.term.record) {
      await this.letGo();
      return false;
    }
    await file.write(beatText(++this.beats), 0);
    return true;
  }

  async release(): Promise<void> {
    // Its own handle: should a file of that name be another's by now, it is not touched.
    await this.held?.file.write(resigned, 0);
    await this.letGo();
  }

  private async letGo(): Promise<void> {
    const { held } = this;
    this.held = undefined;
    await held?.file.close();
  }
}

function beatText(count: number): string {
  return String(count).padStart(beatBytes, '0');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unless<T>(code: string, instead: () => T): (error: unknown) => T {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code === code) return instead();
    throw error;
  };
}
