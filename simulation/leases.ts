/**
 * What a leader may think of its workers.
 *
 * I7: what runs has a live lease. A worker is given up only by a leader that has heard nothing of it for a lease, or for the grace
 * after its line was closed; and none is kept that has been silent for longer.
 * I19: what a leader tells of a worker is what the newest beat said that it has heard. Readings of simulated workers only grow.
 */
import type { RegistryFact } from '../src/core/facts.ts';
import type { FromWorker } from '../src/core/messages.ts';
import type { State } from '../src/core/state.ts';
import { reached } from './probes.ts';
import type { StoredEntry } from './stream-model.ts';
import { check } from './violation.ts';
import type { SimNode, World } from './world.ts';

const leaseMs = 5_000;
const graceMs = 1_000;
/** Clocks drift by 2 % and a leader looks once a second; one that stood still gives everybody another lease. */
const slackMs = 200;
const keptMsMax = leaseMs + 2_500 + 2_000;

type Beat = Extract<FromWorker, { kind: 'beat' }>;
type Left = Extract<RegistryFact, { fact: 'worker-left' }>;

export class Leases {
  /** By leader's node, worker and incarnation: when words of it came. */
  private readonly heard = new Map<string, number[]>();
  private readonly closed = new Map<string, number>();
  /** Which node writes under this name. */
  private readonly nodes = new Map<string, string>();
  /** The newest beat that a leader has heard of a worker that it knows, and the reading in it. */
  private readonly beats = new Map<string, { number: number; bytes: number }>();

  /** Another leadership of this node begins: it knows nothing of what the one before has heard. */
  onWriter(writer: string, node: SimNode): void {
    this.nodes.set(writer, node.name);
    for (const key of this.beats.keys()) if (key.startsWith(`${node.name}/`)) this.beats.delete(key);
  }

  onHeard(node: SimNode, nowMs: number, worker: string, incarnation: string): void {
    const key = `${node.name}/${worker}/${incarnation}`;
    const times = this.heard.get(key) ?? [];
    times.push(nowMs);
    if (times.length > 40) times.splice(0, 20);
    this.heard.set(key, times);
    const closedMs = this.closed.get(key);
    if (closedMs !== undefined && nowMs - closedMs < graceMs) reached('a worker comes back within the grace after its line closed');
  }

  /** By a leader that has welcomed who says it. */
  onBeat(node: SimNode, { worker, incarnation, number, memory }: Beat): void {
    const key = `${node.name}/${worker}/${incarnation}`;
    const newest = this.beats.get(key)?.number ?? 0;
    if (number < newest) reached('an older beat comes behind a newer one');
    else this.beats.set(key, { number, bytes: memory?.bytes ?? 0 });
  }

  judgeReadings(node: SimNode, { workers }: State): void {
    for (const { name, incarnation, status, memory } of workers) {
      const key = `${node.name}/${name}/${incarnation}`;
      // Whoever left and is welcomed again begins anew.
      if (status === 'left') this.beats.delete(key);
      const newest = this.beats.get(key);
      check(
        newest === undefined || (memory?.bytes ?? 0) >= newest.bytes,
        'I19',
        () => `${name} said ${newest?.bytes} in its beat ${newest?.number}, and ${node.name} tells ${memory?.bytes}`,
      );
    }
  }

  /** Its leader hears that the line of this address is closed. */
  onClosed(node: SimNode, nowMs: number, address: string): void {
    const [, worker, incarnation] = address.split('.');
    this.closed.set(`${node.name}/${worker}/${incarnation}`, nowMs);
  }

  /** `decidedMs`: when the append of it was begun. */
  onLeft({ worker, incarnation, why }: Left, { writer }: StoredEntry, decidedMs: number): void {
    const isSilent = why.startsWith('silent for');
    if (!isSilent && !why.startsWith('its connection closed')) return;
    const node = this.nodes.get(writer);
    const key = `${node}/${worker}/${incarnation}`;
    const closedMs = this.closed.get(key) ?? Number.NEGATIVE_INFINITY;
    const sinceMs = decidedMs - (isSilent && decidedMs - closedMs > leaseMs ? leaseMs : graceMs) + slackMs;
    const word = this.heard.get(key)?.find((atMs) => atMs > sinceMs && atMs < decidedMs);
    check(
      word === undefined,
      'I7',
      () => `${worker} is given up (${why}) ${(decidedMs - word!).toFixed(0)} ms after ${node} has heard of it`,
    );
  }
}

/** A leader at rest keeps nobody who has been silent for long. */
export function judgeLeases(world: World, node: SimNode, { workers }: State): void {
  // It goes on after a pause, and looks at its next tick.
  if (world.nowMs - node.pausedUntilMs < 3_000) return;
  const nowMs = world.monoMs(node);
  for (const { name, status, held, lastHeardMs } of workers) {
    if (status === 'left' || held.size === 0) continue;
    check(
      nowMs - lastHeardMs < keptMsMax,
      'I7',
      () => `${name} holds ${held.size} assignments and was last heard ${nowMs - lastHeardMs} ms ago`,
    );
  }
}
