/**
 * A slot in the simulated worker: the Executor's contract in virtual time. It runs its works in order, one task at a time,
 * reports what is done every `flushMs`, combines before it reports where a fold waits, and may die with what it holds.
 */
import type { Executor, Ranges, Work, WorkEvents } from '../src/worker/executors/executor.ts';
import { Dice } from './chance.ts';
import type { Faults } from './faults.ts';
import { reached } from './probes.ts';
import { deedOf } from './user-tasks.ts';
import { decodeValue, elementsOf, encodeValue, packValues, type Value } from './values.ts';
import type { SimNode, World } from './world.ts';

export interface SlotOptions {
  world: World;
  faults: Faults;
  node: SimNode;
  name: string;
  events: WorkEvents;
  /** Runs in a process of its own: what kills it kills nothing else. */
  isAlone: boolean;
  /** A task begins; the answer is the number of this run, and how often the task ran before. */
  onStart: (work: Work, index: number) => { run: number; before: number };
  /** A task has ended the whole worker. */
  onKill: () => void;
}

/** A task that a slot runs. */
export interface Run {
  work: Work;
  index: number;
}

interface Item {
  index: number;
  frames: Value[];
}

interface Running {
  work: Work;
  todo: Item[];
  done: { index: number; values: Uint8Array[]; atoms: number[]; run: number; durationMs: number }[];
  current: Item | undefined;
}

const flushMs = 16;
const timeoutCode = 'SH2002';

export class SimSlot implements Executor {
  private readonly options: SlotOptions;
  private readonly dice: Dice;
  private readonly works: Running[] = [];
  /** Counts what the slot is waiting for; an older wait is void. */
  private step = 0;
  private lastFlushMs = 0;
  private isClosed = false;

  constructor(options: SlotOptions) {
    this.options = options;
    this.dice = new Dice(options.faults.plan.seed, `slot/${options.name}/${options.node.life}`);
  }

  run(work: Work): void {
    this.works.push({ work, todo: itemsOf(work), done: [], current: undefined });
    // The first work of a thread waits until that has started.
    if (this.works.length === 1) this.wait(this.dice.exponential(2), () => this.next());
  }

  get running(): Run | undefined {
    const { work, current } = this.works[0] ?? {};
    return work && current && { work, index: current.index };
  }

  abort(work: Work, ranges: Ranges, reason: string): void {
    const running = this.works.find((each) => each.work === work);
    if (!running) return;
    const isMeant = within(ranges);
    this.takeBack(running, isMeant, 'aborted');
    if (running.current && isMeant(running.current.index)) {
      const { index } = running.current;
      running.current = undefined;
      reached(`a running task is aborted: ${reason.startsWith('the job') ? 'its job has ended' : reason.replace(/\d.*/, '…')}`);
      this.wait(this.dice.exponential(5), () => {
        this.options.events.released(work, Uint32Array.of(index, 1), 'aborted');
        this.next();
      });
    } else if (!running.current && running.todo.length === 0 && this.works[0] !== running) this.finish(running);
  }

  revoke(work: Work, ranges: Ranges, why: string): void {
    const running = this.works.find((each) => each.work === work);
    if (!running) return;
    this.takeBack(running, within(ranges), why);
    if (this.works[0] !== running && running.todo.length === 0) this.finish(running);
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.step++;
    this.works.length = 0;
    return Promise.resolve();
  }

  private takeBack(running: Running, isMeant: (index: number) => boolean, why: string): void {
    const gone = running.todo.filter(({ index }) => isMeant(index)).map(({ index }) => index);
    if (gone.length === 0) return;
    running.todo = running.todo.filter(({ index }) => !isMeant(index));
    this.options.events.released(running.work, rangesOf(gone), why);
  }

  private wait(ms: number, then: () => void): void {
    const step = ++this.step;
    this.options.world.after(ms, this.options.node, () => {
      if (step === this.step && !this.isClosed) then();
    });
  }

  private next(): void {
    const running = this.works[0];
    if (!running) return;
    const { world } = this.options;
    const item = running.todo.shift();
    if (!item) {
      this.flush(running);
      if (this.works[0] !== running) return;
      this.finish(running);
      if (this.works.length > 0) this.wait(0.1, () => this.next());
      return;
    }
    if (running.done.length > 0 && world.nowMs - this.lastFlushMs >= flushMs) this.flush(running);
    this.begin(running, item);
  }

  private begin(running: Running, item: Item): void {
    const { faults, isAlone, onStart, onKill } = this.options;
    const { work } = running;
    const { run, before } = onStart(work, item.index);
    running.current = item;
    const deed = deedOf(faults, work.jobName, work.stage, item.index, work.attempt, before);
    const { durationMs } = deed;
    const durationUs = Math.round(durationMs * 1000);
    switch (deed.act) {
      case 'ok':
        return this.wait(durationMs, () => {
          this.print(work, item.index);
          this.done(running, item, run, durationMs);
        });
      case 'throw':
      case 'throw for good':
        return this.wait(durationMs, () => {
          reached('a task throws');
          const verdict = deed.act === 'throw' ? 'retry' : 'dead';
          this.tellFailed(running, item, { name: 'Error', message: 'no' }, verdict, durationUs);
        });
      case 'hang':
        return this.wait(work.timeoutMs ?? 1_000, () => {
          reached('a task is over its time');
          this.tellFailed(running, item, { name: 'TimeoutError', message: 'too long', code: timeoutCode }, 'retry', durationUs);
        });
      case 'die':
        return this.wait(durationMs, () => this.die(running, item));
      case 'kill':
      case 'kill all':
        return this.wait(durationMs, () => {
          if (isAlone && deed.act === 'kill') return this.die(running, item);
          reached('a task kills its worker');
          onKill();
        });
    }
  }

  /** In one schedule of four: what is printed is said and stored beside all else. */
  private print({ job, stage, attempt, definition }: Work, index: number): void {
    const { events, faults, world } = this.options;
    if (faults.plan.seed % 4 !== 0 || index % 3 !== 0) return;
    const line = { wallMs: world.nowMs, job, stage, index, attempt, task: definition.name, level: 'info', message: 'done' };
    events.logs([line]);
  }

  private tellFailed(
    running: Running,
    { index }: Item,
    error: { name: string; message: string; code?: string },
    verdict: 'retry' | 'dead',
    durationUs: number,
  ): void {
    running.current = undefined;
    this.options.events.failed(running.work, index, { error, verdict, durationUs });
    this.next();
  }

  private done(running: Running, item: Item, run: number, durationMs: number): void {
    const { work } = running;
    running.current = undefined;
    const by = [work.stage, item.index, work.attempt, run] as const;
    const atoms = item.frames.flatMap((frame) => frame.atoms);
    const values = work.spread ? atoms.flatMap(elementsOf).map((atom) => encodeValue({ by, atoms: [atom] })) : [encodeValue({ by, atoms })];
    running.done.push({ index: item.index, values, atoms, run, durationMs });
    this.next();
  }

  /** The thread or process ends; what was not told runs again. */
  private die(running: Running, { index }: Item): void {
    reached('a slot dies');
    const { events } = this.options;
    running.current = undefined;
    this.step++;
    events.crashed(running.work, index, 'exit', { name: 'ProcessCrashedError', message: 'gone' });
    const lost = [...running.todo.map((item) => item.index), ...running.done.map((each) => each.index)];
    running.todo = [];
    running.done = [];
    if (lost.length > 0) events.released(running.work, rangesOf(lost), 'a neighbour crashed');
    events.replaced('it died');
    this.finish(running);
    this.wait(this.dice.between(20, 80), () => this.next());
  }

  private finish(running: Running): void {
    this.works.splice(this.works.indexOf(running), 1);
    this.options.events.finished(running.work);
  }

  private flush(running: Running): void {
    const { events, world } = this.options;
    this.lastFlushMs = world.nowMs;
    const done = running.done.splice(0);
    if (done.length === 0) return;
    const { work } = running;
    for (const group of groupsOf(done, work.combine?.ordered === true)) {
      const ranges = rangesOf(group.map(({ index }) => index));
      const durations = Uint32Array.from(group, ({ durationMs }) => Math.round(durationMs * 1000));
      if (work.combine && this.dice.chance(0.9)) {
        reached('a worker combines before it reports');
        const by = [work.stage, -1, work.attempt, group[0]!.run] as const;
        events.partial(work, { ranges, durations, body: encodeValue({ by, atoms: group.flatMap(({ atoms }) => atoms) }) });
      } else {
        const { lengths, body } = packValues(group.flatMap(({ values }) => values));
        const counts = work.spread ? { counts: Uint32Array.from(group, ({ values }) => values.length) } : {};
        events.results(work, { ranges, lengths, ...counts, durations, body });
      }
    }
  }
}

function groupsOf<T extends { index: number }>(done: readonly T[], isOrdered: boolean): T[][] {
  const sorted = [...done].sort((a, b) => a.index - b.index);
  if (!isOrdered) return [sorted];
  const groups: T[][] = [];
  for (const each of sorted) {
    const last = groups.at(-1);
    if (last && last.at(-1)!.index + 1 === each.index) last.push(each);
    else groups.push([each]);
  }
  return groups;
}

export function rangesOf(indices: readonly number[]): Uint32Array {
  const pairs: number[] = [];
  for (const index of [...indices].sort((a, b) => a - b)) {
    if (pairs.length > 0 && pairs.at(-2)! + pairs.at(-1)! === index) pairs[pairs.length - 1]!++;
    else pairs.push(index, 1);
  }
  return Uint32Array.from(pairs);
}

export function* each(ranges: ArrayLike<number>): Generator<number> {
  for (let at = 0; at < ranges.length; at += 2) for (let i = 0; i < ranges[at + 1]!; i++) yield ranges[at]! + i;
}

function within(ranges: Ranges): (index: number) => boolean {
  const set = new Set(each(ranges));
  return (index) => set.has(index);
}

function itemsOf(work: Work): Item[] {
  const items: Item[] = [];
  const { input, counts } = work;
  const same = input.kind === 'template' ? input.args.filter(({ take }) => take === 'same').length : 0;
  const own = input.kind === 'template' && input.template !== undefined ? 0 : 1;
  let frame = 0;
  let offset = 0;
  let group = 0;
  const take = (lengths: ArrayLike<number>, at: number): Value => {
    const value = decodeValue(work.body.subarray(offset, offset + lengths[at]!));
    offset += lengths[at]!;
    return value;
  };
  const framesOf = (): number => {
    if (input.kind !== 'template') return counts ? counts[group++]! : 1;
    let frames = own;
    for (let arg = 0; arg < same; arg++) frames += counts ? counts[group++]! : 1;
    return frames;
  };
  for (const index of each(work.ranges)) {
    const frames: Value[] = [];
    for (let count = framesOf(); count > 0; count--) frames.push(take(work.lengths, frame++));
    items.push({ index, frames });
  }
  // What all of them share comes behind them all.
  const shared = work.sharedLengths ?? [];
  for (let at = 0; at < shared.length; at++) {
    const value = take(shared, at);
    for (const { frames } of items) frames.push(value);
  }
  return items;
}
