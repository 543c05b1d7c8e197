/**
 * The simulated world: one clock, one heap of what will happen, nodes that live, stand still and die. Nothing in here
 * crosses a macrotask: an event runs, then microtasks are drained by a fixed number of turns, then the next event runs.
 *
 * 1. Events are ordered by (time, tie); ties are drawn, so that what is due together happens in any order.
 * 2. What belongs to a node happens only while the incarnation lives that it was made for.
 * 3. A node that stands still (SIGSTOP) keeps its events, in their order, until it goes on: none is dropped.
 * 4. Each node has clocks of its own: a monotonic one that drifts, a wall clock that may jump.
 */
import type { Outside, Timer } from '../src/lib/outside.ts';
import { Dice } from './chance.ts';

/** Turns of the microtask queue after each event: more than any chain of promises between two events of ours is long. */
const drainTurns = 24;
/** One promise for all turns: awaiting it is one turn. */
const turn = Promise.resolve();
export const wallStartMs = 1_700_000_000_000;
const lastTie = 2;

interface Event {
  atMs: number;
  tie: number;
  node: SimNode | undefined;
  life: number;
  act: () => void;
  kind: Kind;
}

/** What an event is, for the hash of a run. */
export type Kind = 0 | typeof rearmKind | typeof timerKind | typeof frameKind | typeof lineKind | typeof diskKind;
export const timerKind = 1;
export const frameKind = 2;
export const lineKind = 3;
export const diskKind = 4;
/** Nobody's code runs: a timer that comes again and again is set for its next time. */
const rearmKind = 5;

export class SimNode {
  readonly name: string;
  isUp = false;
  /** Counts starts; what an earlier life left behind does nothing. */
  life = 0;
  pausedUntilMs = 0;
  /** Its messages take this many times as long. */
  slowness = 1;
  wallSkewMs = 0;
  /** Fewer for a node whose code awaits nothing. */
  drainTurns = drainTurns;
  readonly rate: number;
  readonly offsetMs: number;

  constructor(name: string, rate: number, offsetMs: number) {
    this.name = name;
    this.rate = rate;
    this.offsetMs = offsetMs;
  }
}

export class World {
  nowMs = 0;
  events = 0;
  /** FNV over (time, node, kind) of each event and the head of the journal: two runs of one seed agree on it. */
  hash = 0x811c9dc5;
  readonly seed: number;
  readonly nodes = new Map<string, SimNode>();
  private readonly heap: Event[] = [];
  private readonly ties: Dice;
  private deferred = 0;
  private failure: Error | undefined;
  onEvent: () => void = () => undefined;
  onStep: ((line: string) => void) | undefined;

  constructor(seed: number) {
    this.seed = seed;
    this.ties = new Dice(seed, 'ties');
  }

  node(name: string, drift: number): SimNode {
    const dice = new Dice(this.seed, `clock/${name}`);
    const node = new SimNode(name, 1 + dice.between(-drift, drift), dice.between(1_000, 1_000_000));
    this.nodes.set(name, node);
    return node;
  }

  /** The first failure ends the run. */
  fail(error: Error): void {
    this.failure ??= error;
  }

  log(line: string): void {
    if (this.onStep) this.onStep(`${this.nowMs.toFixed(1).padStart(10)}  ${line}`);
  }

  at(atMs: number, node: SimNode | undefined, act: () => void, kind: Kind = 0, tie = this.ties.next()): Event {
    const event: Event = { atMs: Math.max(atMs, this.nowMs), tie, node, life: node?.life ?? 0, act, kind };
    this.push(event);
    return event;
  }

  after(ms: number, node: SimNode | undefined, act: () => void, kind: Kind = 0): Event {
    return this.at(this.nowMs + ms, node, act, kind);
  }

  start(node: SimNode): void {
    node.life++;
    node.isUp = true;
    node.pausedUntilMs = 0;
  }

  kill(node: SimNode): void {
    node.isUp = false;
    node.life++;
  }

  /** Runs until `isOver`; fails if that takes longer than `untilMs`. */
  async run(isOver: () => boolean, untilMs: number): Promise<'over' | 'late'> {
    while (!isOver()) {
      const event = this.pop();
      if (!event) return 'late';
      if (event.atMs > untilMs) {
        this.push(event);
        return 'late';
      }
      this.nowMs = event.atMs;
      const { node } = event;
      if (node && (event.life !== node.life || !node.isUp)) continue;
      if (node && node.pausedUntilMs > this.nowMs) {
        // In front of whatever is due at that very moment, in the old order, however often the pause grew longer.
        const isKept = event.tie === lastTie || event.tie < 0;
        this.push({ ...event, atMs: node.pausedUntilMs, tie: isKept ? event.tie : -1e9 + this.deferred++ });
        continue;
      }
      this.events++;
      this.hash = Math.imul(this.hash ^ (Math.round(this.nowMs * 1_000) * 6 + event.kind), 0x01000193);
      if (node) for (let i = 0; i < node.name.length; i++) this.hash = Math.imul(this.hash ^ node.name.charCodeAt(i), 0x01000193);
      event.act();
      for (let turns = turnsOf(event); turns > 0; turns--) await turn;
      this.onEvent();
      if (this.failure) throw this.failure;
    }
    return 'over';
  }

  mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193);
  }

  // ---- what a node sees ----

  monoMs(node: SimNode): number {
    return node.offsetMs + this.nowMs * node.rate;
  }

  /** By a clock that is right. */
  get trueWallMs(): number {
    return wallStartMs + this.nowMs;
  }

  wallMs(node: SimNode): number {
    return wallStartMs + this.nowMs + node.wallSkewMs;
  }

  outside(node: SimNode): Outside {
    const { life } = node;
    const chance = new Dice(this.seed, `outside/${node.name}/${life}`);
    return {
      nowMs: () => this.monoMs(node),
      wallMs: () => this.wallMs(node),
      after: (ms, act) => this.timer(node, life, ms, act, false),
      every: (ms, act) => this.timer(node, life, ms, act, true),
      randomBytes: (count) => Uint8Array.from({ length: count }, () => chance.below(256)),
      randomBelow: (limit) => chance.below(limit),
    };
  }

  private timer(node: SimNode, life: number, ms: number, act: () => void, again: boolean): Timer {
    let isOff = false;
    let next: Event | undefined;
    const arm = (): void => void (next = this.after(Math.max(1, ms) / node.rate, node, due, again ? rearmKind : timerKind));
    const due = (): void => {
      if (isOff) return;
      if (!again) {
        act();
        return;
      }
      // After all that has arrived by then, as the real one goes through the poll phase first.
      this.at(this.nowMs, node, () => void (isOff || act()), timerKind, lastTie);
      arm();
    };
    if (node.life === life) arm();
    const cancel = (): void => {
      isOff = true;
      // Passed over when its time comes.
      if (next) next.life = -1;
    };
    return { cancel, ref: () => undefined, unref: () => undefined };
  }

  // ---- the heap ----

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent]!;
      if (!isBefore(event, other)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): Event | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (!top || !last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

/** What is due on the disk or only sets a timer lets nobody's code run. */
function turnsOf({ node, kind }: Event): number {
  if (kind === rearmKind || (kind === diskKind && !node)) return 0;
  return node?.drainTurns ?? drainTurns;
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie);
}
