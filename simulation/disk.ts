/**
 * The journal's disk, shared by all coordinators, and the port to it that each start of one is given.
 *
 * 1. What an append stores is in `log`, in the order in which it was stored; `durable` of them survive the disk's host. An
 *    append that is confirmed makes all before it durable. When the host dies any prefix of the rest stays.
 * 2. Outcomes of an append: stored and confirmed; conflict, with some of the others stored; unknown, with all, some or
 *    none stored, now or later; late; full.
 * 3. Put-if-absent on (stream, seq); the same writer's entry counts as success; a dropped stream stays closed.
 */

import { journalClosedError } from '../src/journals/checks.ts';
import {
  type BodySlice,
  ConflictError,
  type Entry,
  type Journal,
  JournalCorruptError,
  JournalFullError,
  OutcomeUnknownError,
} from '../src/journals/journal.ts';
import { concatBytes } from '../src/lib/bytes.ts';
import { Dice } from './chance.ts';
import type { Faults, Gate } from './faults.ts';
import type { Plan } from './plan.ts';
import { reached } from './probes.ts';
import { diskKind, type SimNode, type World } from './world.ts';

interface Stored {
  stream: string;
  seq: number;
  writer: string;
  head: Uint8Array;
  body: Uint8Array;
}

type Log = ({ kind: 'entry' } & Stored) | { kind: 'drop'; stream: string };

const entryBytesMax = 256 * 1024 * 1024;

export class Disk {
  readonly world: World;
  readonly plan: Plan;
  readonly faults: Faults;
  readonly log: Log[] = [];
  durable = 0;
  /** FNV over what is stored. */
  hash = 0x811c9dc5;
  isCalm = false;
  fullUntilMs = 0;
  /** When the append of each entry was begun, at the first try. */
  private readonly begun = new Map<string, number>();
  private epoch = 0;
  private streams = new Map<string, Map<number, Stored>>();
  private dropped = new Set<string>();
  onStored: (entry: Stored, position: number) => void = () => undefined;
  onDropped: (stream: string) => void = () => undefined;
  /** A retry that is not the same bytes. */
  onOtherBytes: (entry: Stored) => void = () => undefined;
  onRolledBack: () => void = () => undefined;
  /** The coordinator on this node dies between two entries of its append. */
  onHalfStored: (node: SimNode) => void = () => undefined;

  constructor(world: World, faults: Faults) {
    this.world = world;
    this.faults = faults;
    this.plan = faults.plan;
  }

  journal(node: SimNode): Journal {
    return new SimJournal(this, node);
  }

  /** True if it is there now. */
  store(entry: Stored): boolean {
    const known = this.streams.get(entry.stream)?.get(entry.seq);
    if (known) {
      if (known.writer !== entry.writer) return false;
      if (Buffer.compare(known.head, entry.head) !== 0 || Buffer.compare(known.body, entry.body) !== 0) this.onOtherBytes(entry);
      return true;
    }
    if (this.dropped.has(entry.stream)) return false;
    this.put(entry);
    this.log.push({ kind: 'entry', ...entry });
    for (const byte of entry.head) this.hash = Math.imul(this.hash ^ byte, 0x01000193);
    this.onStored(entry, this.log.length - 1);
    return true;
  }

  begin(entries: readonly Stored[]): void {
    for (const { stream, seq, writer } of entries) {
      const key = `${stream}/${seq}/${writer}`;
      if (!this.begun.has(key)) this.begun.set(key, this.world.nowMs);
    }
  }

  appendedMs({ stream, seq, writer }: Stored): number {
    return this.begun.get(`${stream}/${seq}/${writer}`)!;
  }

  private put(entry: Stored): void {
    let stream = this.streams.get(entry.stream);
    if (!stream) this.streams.set(entry.stream, (stream = new Map()));
    stream.set(entry.seq, entry);
  }

  confirm(): void {
    this.durable = this.log.length;
  }

  drop(stream: string): void {
    if (this.dropped.has(stream)) return;
    this.dropped.add(stream);
    this.streams.delete(stream);
    this.log.push({ kind: 'drop', stream });
    this.onDropped(stream);
  }

  at(stream: string, seq: number): Stored | undefined {
    return this.streams.get(stream)?.get(seq);
  }

  /** Its host dies: what was not durable may be gone, from the end. Nothing that was under way is stored any more. */
  crash(dice: Dice): void {
    this.epoch++;
    const kept = this.durable + dice.below(this.log.length - this.durable + 1);
    if (kept < this.log.length) reached('what was not durable is lost with the host');
    this.log.length = kept;
    this.durable = kept;
    this.streams = new Map();
    this.dropped = new Set();
    for (const entry of this.log) {
      if (entry.kind === 'entry') this.put(entry);
      else {
        this.dropped.add(entry.stream);
        this.streams.delete(entry.stream);
      }
    }
    this.onRolledBack();
  }

  /** Later, unless the host dies first. */
  later(ms: number, act: () => void): void {
    const { epoch } = this;
    this.world.after(ms, undefined, () => void (epoch === this.epoch && act()), diskKind);
  }
}

class SimJournal implements Journal {
  readonly maxEntryBytes = entryBytesMax;
  readonly durability = 'host';
  private readonly disk: Disk;
  private readonly node: SimNode;
  private readonly life: number;
  private readonly dice: Dice;
  private readonly stall: Gate;
  private readonly unknown: Gate;
  private readonly half: Gate;
  private isClosed = false;

  constructor(disk: Disk, node: SimNode) {
    this.disk = disk;
    this.node = node;
    this.life = node.life;
    const where = `${node.name}.${node.life}`;
    this.dice = new Dice(disk.plan.seed, `journal/${where}`);
    this.stall = disk.faults.gate('stall', where, 0.03);
    this.unknown = disk.faults.gate('unknown', where, 0.12);
    this.half = disk.faults.gate('halfUpload', where, 0.5);
  }

  private latencyMs(): number {
    return 0.1 + this.dice.exponential(this.disk.isCalm ? 2 : this.disk.plan.diskMs);
  }

  /** The answer reaches the process that asked, if that still lives. */
  private answer(atMs: number, act: () => void): void {
    const { world } = this.disk;
    if (this.node.life === this.life && this.node.isUp) world.at(atMs, this.node, act, diskKind);
  }

  append(entries: readonly Entry[]): Promise<void> {
    const stored = entries.map(({ stream, seq, writer, head, body }) => ({
      stream,
      seq,
      writer,
      head: head.slice(),
      body: concatBytes(body).slice(),
    }));
    if (this.isClosed) return Promise.reject(journalClosedError());
    this.disk.begin(stored);
    return new Promise((resolve, reject) => {
      const { disk, dice } = this;
      let tookMs = this.latencyMs();
      if (disk.world.nowMs < disk.fullUntilMs) {
        reached('the journal is full');
        this.answer(disk.world.nowMs + tookMs, () => reject(new JournalFullError('the simulated disk has no room')));
        return;
      }
      const isUpload = stored.length > 1 && stored.some(({ stream }) => stream.startsWith('bundle.'));
      if (isUpload && !disk.isCalm && this.half.strikes()) {
        // Where the danger is: the registry names a program, and its bytes were never stored.
        disk.later(tookMs, () => {
          reached('a program is half stored');
          for (const entry of stored) if (!entry.stream.startsWith('bundle.') && !disk.store(entry)) break;
          disk.onHalfStored(this.node);
        });
        return;
      }
      const stall = disk.isCalm ? undefined : this.stall.stroke();
      if (stall) tookMs += stall.between(500, 6_000);
      const unknown = disk.isCalm ? undefined : this.unknown.stroke();
      const isUnknown = unknown !== undefined;
      const fate = unknown?.next() ?? 0;
      let answered = false;
      let isRefused = false;
      const conflict = (entry: Stored): void => {
        if (answered || isUnknown) return;
        answered = true;
        // What is not stored by now never will be: only an unknown outcome may show up later.
        isRefused = true;
        reached('an append conflicts');
        disk.world.log(`${this.node.name}: ${entry.stream}/${entry.seq} conflicts`);
        this.answer(disk.world.nowMs + 0.1, () => reject(new ConflictError(entry.stream, entry.seq)));
      };
      for (const entry of stored) {
        let atMs = dice.next() * tookMs * 0.9;
        if (unknown) {
          // A third: nothing is stored. A third: all or some of it. A third: some of it, and later than anybody thinks.
          if (fate < 0.33 || (fate < 0.66 && stored.length > 1 && unknown.chance(0.3))) continue;
          if (fate >= 0.66) {
            if (unknown.chance(0.3)) continue;
            atMs += tookMs + unknown.exponential(2_000);
          }
        }
        disk.later(atMs, () => {
          if (isRefused) return;
          if (!disk.store(entry)) conflict(entry);
          else if (atMs > tookMs) reached('a write that was reported as unknown shows up later');
        });
      }
      disk.later(tookMs, () => {
        if (answered) return;
        answered = true;
        if (isUnknown) {
          reached('an append has an unknown outcome');
          disk.world.log(`${this.node.name}: an append has an unknown outcome`);
          this.answer(disk.world.nowMs, () => reject(new OutcomeUnknownError('the simulated disk did not answer')));
          return;
        }
        disk.confirm();
        this.answer(disk.world.nowMs, resolve);
      });
    });
  }

  async *read(stream: string, range: { from: number; to?: number; part: 'head' | 'all' }): AsyncGenerator<readonly Entry[]> {
    const { disk, dice } = this;
    const to = range.to ?? Number.POSITIVE_INFINITY;
    for (let at = range.from; at < to; ) {
      await new Promise<void>((resolve) => this.answer(disk.world.nowMs + this.latencyMs(), resolve));
      const entries: Entry[] = [];
      for (let count = 1 + dice.below(20); count > 0 && at < to; count--) {
        const found = disk.at(stream, at);
        if (!found) break;
        entries.push({ ...found, body: range.part === 'all' ? [found.body] : [] });
        at++;
      }
      if (entries.length === 0) return;
      yield entries;
    }
  }

  readBodies(stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
    reached('bytes are read back from the journal');
    return new Promise((resolve, reject) => {
      this.answer(this.disk.world.nowMs + this.latencyMs(), () => {
        const out: Uint8Array[] = [];
        for (const { seq, offset, length } of slices) {
          const found = this.disk.at(stream, seq);
          if (!found || found.body.length < offset + length) {
            reject(new JournalCorruptError(`${stream}/${seq} has no bytes ${offset}+${length}`));
            return;
          }
          out.push(found.body.slice(offset, offset + length));
        }
        resolve(out);
      });
    });
  }

  drop(stream: string): Promise<void> {
    return new Promise((resolve) => {
      this.disk.later(this.latencyMs(), () => {
        this.disk.drop(stream);
        this.answer(this.disk.world.nowMs, resolve);
      });
    });
  }

  /** What is under way goes on; nothing more is begun. */
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
