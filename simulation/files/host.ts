/**
 * One machine's file system, for several processes that share a directory on it: what is written lies in memory until it
 * is synced, names as well as bytes, and a crash of the machine keeps of the rest whatever it likes, sector by sector.
 *
 * 1. A crash leaves of each sector that was not synced some version that it had since, or the one before; of the sizes that
 *    a file had since, one; and of the names that were made and removed since, some.
 * 2. A write that finds no room leaves its beginning; so does one that fails, or whose process is killed meanwhile, in whole
 *    sectors: the kernel looks for that from page to page.
 * 3. What a process has asked for before it was killed happens, in part, or does not; none of it after the machine crashed.
 * 4. A name that is gone leaves the file to those who have it open.
 */
import { basename } from 'node:path';
import type { Disk, DiskFile } from '../../src/journals/file/disk.ts';
import { segmentNumberOf } from '../../src/journals/file/format.ts';
import { Dice } from '../chance.ts';
import { diskKind, type SimNode, type World } from '../world.ts';

const sectorBytes = 512;

/** A process, in one of its lives. */
export interface Life {
  node: SimNode;
  life: number;
}

export function isAlive({ node, life }: Life): boolean {
  return node.isUp && node.life === life;
}

class Inode {
  bytes = Buffer.alloc(0);
  private durable = Buffer.alloc(0);
  /** What unsynced sectors held since, oldest first. */
  private readonly versions = new Map<number, Buffer[]>();
  /** Lengths that it had since it was synced. */
  private sizes: number[] = [];

  write(chunk: Uint8Array, at: number): void {
    if (at + chunk.length > this.bytes.length) this.resize(at + chunk.length);
    this.bytes.set(chunk, at);
    this.touch(at, at + chunk.length);
  }

  truncate(bytes: number): void {
    this.touch(bytes, this.bytes.length);
    this.resize(bytes);
  }

  private resize(bytes: number): void {
    const resized = Buffer.alloc(bytes);
    this.bytes.copy(resized, 0, 0, bytes);
    this.bytes = resized;
    this.sizes.push(bytes);
  }

  private touch(from: number, to: number): void {
    for (let sector = Math.floor(from / sectorBytes); sector * sectorBytes < to; sector++) {
      const versions = this.versions.get(sector) ?? [];
      versions.push(sectorOf(this.bytes, sector));
      this.versions.set(sector, versions);
    }
  }

  sync(): void {
    this.durable = Buffer.from(this.bytes);
    this.versions.clear();
    this.sizes = [];
  }

  /** Of what was not synced, whatever the machine had written by then. */
  crash(dice: Dice): void {
    const keep = dice.pick(['all', 'none', 'some'] as const);
    const draw = <T>(versions: readonly T[]): T | undefined =>
      keep === 'all' ? versions.at(-1) : keep === 'none' ? undefined : versions[dice.below(versions.length + 1) - 1];
    const size = draw(this.sizes) ?? this.durable.length;
    const left = Buffer.alloc(size);
    this.durable.copy(left, 0, 0, size);
    for (const [sector, versions] of this.versions) {
      const version = draw(versions);
      if (version && sector * sectorBytes < size) version.copy(left, sector * sectorBytes, 0, size - sector * sectorBytes);
    }
    this.bytes = left;
    this.sync();
  }
}

function sectorOf(bytes: Buffer, sector: number): Buffer {
  const content = Buffer.alloc(sectorBytes);
  bytes.copy(content, 0, sector * sectorBytes, (sector + 1) * sectorBytes);
  return content;
}

class File implements DiskFile {
  readonly inode: Inode;
  private readonly act: <T>(apply: () => T) => Promise<T>;

  constructor(inode: Inode, act: File['act']) {
    this.inode = inode;
    this.act = act;
  }

  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return this.act(() => {
      const from = this.inode.bytes.subarray(position, position + length);
      into.set(from, offset);
      return { bytesRead: from.length };
    });
  }

  stat(): Promise<{ size: number }> {
    return this.act(() => ({ size: this.inode.bytes.length }));
  }

  close(): Promise<void> {
    return this.act(() => undefined);
  }
}

export interface Habits {
  /** How long an act takes, on average. */
  actMs: number;
  /** How often a process or the machine goes in the midst of an act that is done on its own thread. */
  deaths: number;
}

export class Host {
  /** No more bytes than these. */
  bytesMax = Number.POSITIVE_INFINITY;
  /** How often a process or the machine goes in the midst of an act that is done on its own thread. */
  deaths: number;
  /** The share of writes and syncs that fail. */
  failing = 0;
  onDeath: (of: Life) => void = () => undefined;
  /** The beginning of a write is there, and its process has not heard yet that this was all. */
  onHalfWritten: (of: Life) => void = () => undefined;
  private readonly world: World;
  private readonly habits: Habits;
  private readonly dice: Dice;
  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();
  private readonly changedNames: { name: string; inode: Inode | undefined }[] = [];
  private nameChanges = 0;
  /** Counts crashes of the machine. */
  private boot = 0;

  constructor(world: World, habits: Habits) {
    this.world = world;
    this.habits = habits;
    this.deaths = habits.deaths;
    this.dice = new Dice(world.seed, 'files/host');
  }

  /** Everything that ran on it is dead already. */
  crash(): void {
    const { dice } = this;
    this.boot++;
    const keep = dice.pick(['all', 'none', 'some'] as const);
    for (const { name, inode } of this.changedNames.splice(0)) {
      if (keep === 'none' || (keep === 'some' && dice.chance(0.5))) continue;
      if (inode) this.durableNames.set(name, inode);
      else this.durableNames.delete(name);
    }
    this.names = new Map(this.durableNames);
    for (const inode of this.names.values()) inode.crash(dice);
  }

  get usedBytes(): number {
    return [...this.names.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Segments' numbers, in order. */
  get segments(): number[] {
    return [...this.names.keys()].flatMap((name) => segmentNumberOf(name) ?? []).sort((a, b) => a - b);
  }

  disk(of: Life, onCreated: (name: string) => void): Disk {
    const rename = (path: string, inode: Inode | undefined): void => {
      this.nameChanges++;
      const name = basename(path);
      if (inode) this.names.set(name, inode);
      else this.names.delete(name);
      this.changedNames.push({ name, inode });
    };
    const opened = (inode: Inode): File => new File(inode, (apply) => this.act(of, apply));
    return {
      list: () => [...this.names.keys()],
      marksOf: () => () => this.nameChanges,
      create: (path) =>
        this.act(of, () => {
          if (this.names.has(basename(path))) throw failure('EEXIST');
          const inode = new Inode();
          rename(path, inode);
          onCreated(basename(path));
          return opened(inode);
        }),
      open: (path) => this.act(of, () => opened(this.found(path))),
      write: (file, chunks, position, now) => {
        const bytes = Buffer.concat(chunks);
        const { inode } = file as File;
        return now
          ? this.actNow(of, (share) => this.write(inode, bytes, position, share))
          : this.act(of, (share) => this.write(inode, bytes, position, share));
      },
      sync: (file, now) => {
        const { inode } = file as File;
        return now ? this.actNow(of, () => this.sync(inode)) : this.act(of, () => this.sync(inode));
      },
      truncate: (file, bytes) => this.act(of, () => (file as File).inode.truncate(bytes)),
      unlink: (path) => this.act(of, () => void (this.found(path) && rename(path, undefined))),
      syncDirectory: () =>
        this.act(of, () => {
          this.fail();
          this.durableNames = new Map(this.names);
          this.changedNames.length = 0;
        }),
      nowMs: () => this.world.monoMs(of.node),
    };
  }

  private found(path: string): Inode {
    const inode = this.names.get(basename(path));
    if (!inode) throw failure('ENOENT');
    return inode;
  }

  private write(inode: Inode, bytes: Buffer, position: number, share: number): void {
    const grown = position + bytes.length - inode.bytes.length;
    const room = grown > 0 ? bytes.length - Math.max(0, this.usedBytes + grown - this.bytesMax) : bytes.length;
    const isFailing = this.dice.chance(this.failing);
    const done = isFailing ? Math.min(1, 1.5 * this.dice.next()) : share;
    const end = done < 1 ? sectorBytes * Math.floor((position + bytes.length * done) / sectorBytes) : position + bytes.length;
    const length = Math.max(0, Math.min(room, end - position));
    if (length > 0) inode.write(bytes.subarray(0, length), position);
    if (isFailing) throw failure('EIO');
    if (length < bytes.length) throw failure('ENOSPC');
  }

  private sync(inode: Inode): void {
    this.fail();
    inode.sync();
  }

  private fail(): void {
    if (this.dice.chance(this.failing)) throw failure('EIO');
  }

  /** The kernel does it a little later, and the process hears of that, if it still can. `apply` takes the share that is done. */
  private act<T>(of: Life, apply: (share: number) => T): Promise<T> {
    const { world, dice, boot } = this;
    return new Promise((resolve, reject) => {
      // Nobody is there who could ask.
      if (!isAlive(of)) return;
      const act = (): void => {
        if (boot !== this.boot) return;
        const wasKilled = !isAlive(of);
        if (wasKilled && dice.chance(0.5)) return;
        try {
          const value = apply(wasKilled ? dice.next() : 1);
          if (!wasKilled) world.after(0, of.node, () => resolve(value));
        } catch (error) {
          if (wasKilled) return;
          if ((error as { code?: string }).code === 'ENOSPC') this.onHalfWritten(of);
          world.after(0, of.node, () => reject(error as Error));
        }
      };
      world.after(dice.exponential(this.habits.actMs), undefined, act, diskKind);
    });
  }

  private actNow(of: Life, apply: (share: number) => void): void {
    if (!isAlive(of)) return;
    const isLast = this.dice.chance(this.deaths);
    try {
      apply(isLast ? this.dice.next() : 1);
    } finally {
      if (isLast) this.onDeath(of);
    }
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code });
}
