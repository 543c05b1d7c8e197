/**
 * Which slot runs what: the queue of pending tasks over all assignments, first in, first out, and the works that
 * slots have. Slots share the queue, so that none waits while there is work; a slot gets a work in advance if what it
 * has is short (pace.ts) or plenty is left, so that nothing waits behind a long task while another slot is free. Tasks with lanes
 * (`concurrency`) run side by side, those of several works, too: a slot with lanes that are free gets so many more.
 *
 * Suspects (assignments that must run alone) have slots of their own, numbers `count` and up, whose process is new for
 * each work: a group of them shares one, whose exit report names the guilty one. Without such slots (inline) they run
 * when nothing else does.
 */
import type { Ranges } from '../core/messages.ts';
import type { Work } from './executors/executor.ts';
import type { HeldAssignment } from './held.ts';
import { type Pace, workBytesMax, workMs } from './pace.ts';

export interface WorkRecord {
  readonly work: Work;
  /** Its indices. The arrays in the work itself are the executor's from now on. */
  readonly ranges: Ranges;
  readonly slot: number;
  /** Undefined: nobody wants to know any more (fenced). */
  held: HeldAssignment | undefined;
  /** Tasks that the slot still has to tell of and that are still wanted. */
  left: number;
  /** When it was first in its slot, or last told something. */
  movedMs: number;
  /** Aborted or revoked, in part at least. */
  isCalledOff: boolean;
  /** All that is not started of it was asked for, because it waits behind a long task. */
  wasStuck: boolean;
}

interface Slot {
  readonly number: number;
  readonly works: WorkRecord[];
  /** It may still be starting: it has told nothing since it was opened or replaced. */
  isCold: boolean;
  /** Its thread or process died so often in a row. */
  deaths: number;
  notBeforeMs: number;
}

export type StartWork = (slot: number, work: Work) => void;

const worksPerSlotMax = 4;
/** While this many tasks wait for each slot, none will run dry behind a task that waits for another ... */
const plentyPerSlot = 2;
/** ... so a slot whose work is not longer than this has its next one already there when it ends. Shorter than `stuckMs`. */
const nextWorkMsMax = 80;
/** A slot that has not told anything for this long is busy with one long task. */
const stuckMs = 100;
/** One that is cold starts a thread or process, and imports the user's modules. */
const stuckColdMs = 2_000;
/** A slot may die this often in a row before it has to pause, longer each time. */
const deathsFree = 2;
const pauseMs = 100;
const pauseMsMax = 2_000;

export class Slots {
  private readonly slots: Slot[];
  private readonly aloneSlots: Slot[];
  private queue: HeldAssignment[] = [];
  private aloneQueue: HeldAssignment[] = [];
  private readonly byId = new Map<number, WorkRecord>();
  private nextId = 1;

  constructor(count: number, hasAloneSlots: boolean) {
    const slot = (number: number): Slot => ({ number, works: [], isCold: true, deaths: 0, notBeforeMs: 0 });
    this.slots = Array.from({ length: count }, (_, number) => slot(number));
    this.aloneSlots = hasAloneSlots ? Array.from({ length: count }, (_, number) => slot(count + number)) : [];
  }

  get isIdle(): boolean {
    return this.byId.size === 0;
  }

  /** Slots that have nothing, where nothing waits for one either; not those for what runs alone. */
  get idleCount(): number {
    let count = 0;
    if (this.front(this.queue)) return count;
    for (const { works } of this.slots) if (works.length === 0) count++;
    return count;
  }

  record(id: number): WorkRecord | undefined {
    return this.byId.get(id);
  }

  get records(): Iterable<WorkRecord> {
    return this.byId.values();
  }

  *recordsOf(held: HeldAssignment): Generator<WorkRecord> {
    for (const record of this.byId.values()) if (record.held === held) yield record;
  }

  enqueue(held: HeldAssignment): void {
    (held.isAlone ? this.aloneQueue : this.queue).push(held);
  }

  /** Gives the slots what they can take. */
  fill(nowMs: number, start: StartWork): void {
    if (this.front(this.aloneQueue)) this.fillAlone(nowMs, start);
    if (this.aloneSlots.length === 0 && this.isAloneWanted) return;
    let pending = -1;
    for (;;) {
      const held = this.front(this.queue);
      if (!held) return;
      if (pending < 0) pending = this.queue.reduce((sum, each) => sum + each.pending, 0);
      const { pace } = held;
      const slot = this.freest(nowMs, pending) ?? this.withFreeLanes(nowMs, pace.lanes);
      if (!slot) return;
      pending -= this.start(slot, held, Math.min(pace.next(pending, this.slots.length), roomIn(slot, pace)), nowMs, start);
    }
  }

  /** The slot is done with it. */
  finish(id: number, nowMs: number): WorkRecord | undefined {
    const record = this.byId.get(id);
    if (!record) return undefined;
    this.byId.delete(id);
    const slot = this.slotOf(record);
    slot.works.splice(slot.works.indexOf(record), 1);
    const next = slot.works[0];
    if (next) next.movedMs = nowMs;
    return record;
  }

  /** The slot proved that it lives. */
  alive(record: WorkRecord, nowMs: number): void {
    record.movedMs = nowMs;
    const slot = this.slotOf(record);
    slot.isCold = false;
    slot.deaths = 0;
  }

  died(number: number, nowMs: number): void {
    const slot = this.slots[number];
    if (!slot) return;
    slot.isCold = true;
    slot.deaths += 1;
    if (slot.deaths > deathsFree) {
      slot.notBeforeMs = nowMs + Math.min(pauseMsMax, pauseMs * 2 ** (slot.deaths - deathsFree - 1));
    }
  }

  /** Works that wait behind a long task: somebody else should run what is not started of them. */
  *stuck(nowMs: number): Generator<WorkRecord> {
    for (const { works, isCold } of this.slots) {
      const first = works[0];
      if (!first?.held || !waitsBehind(works, first.held.pace.lanes)) continue;
      const isLaned = first.held.pace.lanes > 1;
      const movedMs = isLaned ? works.reduce((last, work) => Math.max(last, work.movedMs), 0) : first.movedMs;
      if (nowMs - movedMs < (isCold ? stuckColdMs : stuckMs)) continue;
      for (const record of works) {
        if (record.wasStuck) continue;
        record.wasStuck = true;
        yield record;
      }
    }
  }

  clearQueue(): void {
    this.queue = [];
    this.aloneQueue = [];
  }

  /** Drops all works without a word from their slots (these were closed). */
  clearWorks(): void {
    this.byId.clear();
    for (const slot of this.slots) slot.works.length = 0;
    for (const slot of this.aloneSlots) slot.works.length = 0;
  }

  private fillAlone(nowMs: number, start: StartWork): void {
    if (this.aloneSlots.length === 0) {
      if (this.isIdle) this.start(this.slots[0]!, this.front(this.aloneQueue)!, 1, nowMs, start);
      return;
    }
    for (const slot of this.aloneSlots) {
      const held = this.front(this.aloneQueue);
      if (!held) return;
      if (slot.works.length === 0) this.start(slot, held, Math.ceil(held.pending / this.aloneSlots.length), nowMs, start);
    }
  }

  /** Something waits to run alone, or does. */
  private get isAloneWanted(): boolean {
    if (this.front(this.aloneQueue)) return true;
    for (const { held } of this.byId.values()) if (held?.isAlone) return true;
    return false;
  }

  private start(slot: Slot, held: HeldAssignment, tasks: number, nowMs: number, start: StartWork): number {
    const { work, count } = held.cut(this.nextId++, tasks, workBytesMax);
    const record: WorkRecord = {
      work,
      ranges: work.ranges.slice(),
      slot: slot.number,
      held,
      left: count,
      movedMs: nowMs,
      isCalledOff: false,
      wasStuck: false,
    };
    this.byId.set(work.id, record);
    slot.works.push(record);
    start(slot.number, work);
    return count;
  }

  /** The first assignment with something pending. */
  private front(queue: HeldAssignment[]): HeldAssignment | undefined {
    let empty = 0;
    while (empty < queue.length && queue[empty]!.pending === 0) empty += 1;
    if (empty > 0) queue.splice(0, empty);
    return queue[0];
  }

  private freest(nowMs: number, pending: number): Slot | undefined {
    const isPlenty = pending >= plentyPerSlot * this.slots.length;
    let best: Slot | undefined;
    let next: Slot | undefined;
    let bestMs = workMs;
    for (const slot of this.slots) {
      if (slot.notBeforeMs > nowMs || slot.works.length >= worksPerSlotMax) continue;
      if (slot.works.length === 0) return slot;
      if (slot.isCold) continue;
      const ms = loadMs(slot);
      if (ms < bestMs) {
        best = slot;
        bestMs = ms;
      } else if (isPlenty && !next && slot.works.length === 1 && ms < nextWorkMsMax) next = slot;
    }
    return best ?? next;
  }

  /** The one with the most, if any has some; best where something was heard of already. */
  private withFreeLanes(nowMs: number, lanes: number): Slot | undefined {
    let best: Slot | undefined;
    let most = 0;
    for (const slot of this.slots) {
      if (slot.notBeforeMs > nowMs) continue;
      const free = freeLanes(slot, lanes);
      if (free <= 0 || (best && (best.isCold === slot.isCold ? free <= most : slot.isCold))) continue;
      best = slot;
      most = free;
    }
    return best;
  }

  private slotOf(record: WorkRecord): Slot {
    return this.slots[record.slot] ?? this.aloneSlots[record.slot - this.slots.length]!;
  }
}

function loadMs(slot: Slot): number {
  let ms = 0;
  for (const { held, left, isCalledOff } of slot.works) {
    // Nothing queues behind what is being called off: it may take until its thread is terminated.
    if (!held || isCalledOff) return Number.POSITIVE_INFINITY;
    if (left > 0) ms += held.pace.estimateMs(left);
  }
  return ms;
}

/** Tasks of that many lanes that would start at once: beside those of other works, if these have lanes, too. */
function freeLanes({ works }: Slot, lanes: number): number {
  if (lanes === 1) return 0;
  let free = lanes;
  for (const { held, left, isCalledOff } of works) {
    if (!held || isCalledOff || held.pace.lanes === 1) return 0;
    free -= left;
  }
  return free;
}

/** Tasks that a slot takes besides what it has: none that would wait behind long ones. */
function roomIn(slot: Slot, { lanes, taskMs = Number.POSITIVE_INFINITY }: Pace): number {
  if (lanes === 1 || slot.works.length === 0 || taskMs <= workMs) return Number.POSITIVE_INFINITY;
  return Math.max(1, freeLanes(slot, lanes));
}

/** Something there can't start before something else ends. */
function waitsBehind(works: readonly WorkRecord[], lanes: number): boolean {
  const areLaned = works.every(({ held }) => held !== undefined && held.pace.lanes > 1);
  if (!areLaned) return works.length > 1 || works[0]!.left > lanes;
  return works.reduce((sum, { left }) => sum + left, 0) > lanes;
}
