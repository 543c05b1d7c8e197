/**
 * The worker's side of the protocol as a pure core: no I/O, no clock, no promises. Messages, what slots report,
 * and ticks go in, each with the monotonic time; effects come out (`takeEffects`) in the order in which they must
 * be done. After each round of inputs the shell calls `fill`, so that works are cut with all that arrived in view.
 *
 * Owns: who leads (term, address), what is held, the outbox, which slot runs what. The shell (worker.ts) owns
 * the broker, executors, timers and incarnation ids; slots.ts places works; held.ts keeps book of indices.
 *
 * Invariants (checked by protocol.model.test.ts under any interleaving):
 * 1. Each index of an assignment is told exactly once, in one numbered message, or was dropped by an abort.
 * 2. An index is started at most once a serial, whatever is repeated or reordered (N03, N04).
 * 3. The outbox loses a message only to an acknowledgement that covers it, or to `fenced`.
 * 4. Words of a lower term change nothing (rule 4). Revokes and aborts name their assignment by its own term,
 *    which is lower where a later leader adopted it: they count for what is held.
 * 5. Nothing starts after the lease ended, while draining, or before a welcome of the present term (rule 10).
 */
import { heldHash } from '../core/held-hash.ts';
import type { AssignMessage, FromWorker, MemoryReading, Ranges, ToWorker, WorkerCode } from '../core/messages.ts';
import { randomFrom } from '../core/random.ts';
import { countOf } from '../core/ranges.ts';
import { AwaitedBundles, bundleError } from './awaited-bundles.ts';
import type { Work } from './executors/executor.ts';
import { assignmentKey, HeldAssignment, SeenSerials, type TakeBack, Tombstones } from './held.ts';
import { Paces } from './pace.ts';
import { type Line, Reports } from './reports.ts';
import { Slots, type WorkRecord } from './slots.ts';
import { splitRanges } from './split-ranges.ts';

export interface WorkerIdentity {
  worker: string;
  slots: number;
  labels: Record<string, string>;
  resources: Record<string, number>;
  queues: string[];
  host: string;
  pid: number;
  life: string;
  version: string;
  code: WorkerCode;
}

export interface ProtocolOptions extends WorkerIdentity {
  /** What the broker carries at most. */
  messageBytesMax: number;
  /** Works that must run alone get the slots from number `slots` on. */
  hasAloneSlot: boolean;
  /** Spreads the hellos of many workers (N13). */
  seed: number;
}

export type WorkerEffect =
  | { effect: 'send'; address: string; message: FromWorker }
  | { effect: 'run'; slot: number; work: Work }
  | { effect: 'abort'; slot: number; work: Work; ranges: Ranges; reason: string }
  | { effect: 'revoke'; slot: number; work: Work; ranges: Ranges; why: string }
  /** A slot for what runs alone is done with it: its process goes. */
  | { effect: 'closeAlone'; slot: number }
  /** Listen on a fresh address, then call `begin`. */
  | { effect: 'newIncarnation' }
  /** Another process has this worker's name; its hellos go on. */
  | { effect: 'nameTaken'; host: string; pid: number }
  /** A program that tasks wait for: look for it on the disk, and answer by `onBundleHere` or `onBundleMissing`. */
  | { effect: 'findBundle'; hash: string }
  /** It came: put it on the disk, and answer by `onBundleHere` or `onBundleRefused`. */
  | { effect: 'storeBundle'; hash: string; body: readonly Uint8Array[] }
  /** Drained: nothing is held, all was acknowledged, goodbye was said. */
  | { effect: 'drained' };

const helloAddress = 'hello';
export const workerAddress = (worker: string, incarnation: string): string => `worker.${worker}.${incarnation}`;

const helloMsMin = 200;
const helloMsMax = 5_000;
/** On a new line the beat is answered within it, or its leader leads no more. */
export const doubtMs = 50;
const tombstoneMs = 10_000;
/** Results that nobody acknowledges stop new work before they fill the memory (rule 15). */
const outboxBytesMax = 64 * 1024 * 1024;

export class WorkerProtocol {
  private readonly options: ProtocolOptions;
  private readonly random: () => number;
  private effects: WorkerEffect[] = [];
  private incarnation: string | undefined;
  private ownAddress = '';
  private term = 0;
  /** Undefined until this term's leader said welcome. */
  private leader: { address: string; leaseMs: number; beatMs: number } | undefined;
  private heardMs = 0;
  /** The line is a new one and nothing came on it yet: another may lead, and then nobody hears what is told to the old one. */
  private isDoubtful = false;
  private nextHelloMs = 0;
  private helloMs = helloMsMin;
  private beats = 0;
  private nextBeatMs = 0;
  private state: 'working' | 'draining' | 'drained' = 'working';
  /** The last reading; beats carry it. */
  memory: MemoryReading | undefined;
  cpu: number | undefined;
  private readonly held = new Map<number, HeldAssignment>();
  private readonly seen = new SeenSerials();
  private readonly tombstones = new Tombstones();
  private readonly paces = new Paces();
  readonly bundles = new AwaitedBundles();
  private readonly slots: Slots;
  readonly reports: Reports;

  constructor(options: ProtocolOptions) {
    this.options = options;
    this.random = randomFrom(options.seed);
    this.slots = new Slots(options.slots, options.hasAloneSlot);
    const line: Line = {
      canSend: () => this.leader !== undefined,
      isHeard: () => this.leader !== undefined && !this.isDoubtful,
      send: (message) => this.send(message),
      me: () => this.me(),
    };
    this.reports = new Reports(line, this.slots, options.messageBytesMax);
  }

  get heldTasks(): number {
    let count = 0;
    for (const { remaining } of this.held.values()) count += remaining;
    return count;
  }

  /** What has to be done, in order; each effect is given once. */
  takeEffects(): WorkerEffect[] {
    const effects = this.effects;
    if (effects.length > 0) this.effects = [];
    return effects;
  }

  /** A (new) incarnation listens on its address. */
  begin(incarnation: string, nowMs: number): void {
    this.incarnation = incarnation;
    this.ownAddress = workerAddress(this.options.worker, incarnation);
    this.beats = 0;
    this.hello(nowMs);
  }

  // ---- the coordinator says ------------------------------------------------

  onMessage(message: ToWorker, nowMs: number): void {
    if (this.incarnation === undefined || this.state === 'drained') return;
    if (message.term < this.term) {
      if (message.kind === 'revoke' || message.kind === 'abort') this.onTakeBack(message, nowMs);
      return;
    }
    if (message.term > this.term) this.raiseTerm(message.term, nowMs);
    this.heardMs = nowMs;
    if (this.isDoubtful) {
      this.isDoubtful = false;
      this.reports.sayLines();
    }
    switch (message.kind) {
      case 'welcome':
        return this.onWelcome(message, nowMs);
      case 'report':
        return this.sendHeld();
      case 'assign':
        return this.onAssign(message, nowMs);
      case 'revoke':
      case 'abort':
        return this.onTakeBack(message, nowMs);
      case 'ackResults':
        return this.onAcknowledged(message.number);
      case 'drain':
        return this.drain(nowMs);
      case 'bundle':
        if (message.isThere) this.effects.push({ effect: 'storeBundle', hash: message.hash, body: message.body });
        else this.onBundleRefused(message.hash, 'the coordinator does not have the program any more', nowMs);
        return;
      case 'fenced':
        return this.onFenced();
      case 'nameTaken':
        return void this.effects.push({ effect: 'nameTaken', host: message.host, pid: message.pid });
    }
  }

  /** A leader that did not greet yet: what it says counts, but only its welcome says where it hears. */
  private raiseTerm(term: number, nowMs: number): void {
    this.term = term;
    this.leader = undefined;
    this.seen.clear();
    this.tombstones.clear();
    this.reports.outbox.renumber();
    this.helloMs = helloMsMin;
    this.nextHelloMs = nowMs + this.helloMs;
  }

  private onWelcome(message: ToWorker & { kind: 'welcome' }, nowMs: number): void {
    const isFirst = this.leader === undefined;
    const { address, leaseMs, beatMs } = message;
    this.leader = { address, leaseMs, beatMs };
    this.helloMs = helloMsMin;
    this.nextHelloMs = nowMs + helloMsMin;
    if (isFirst) this.nextBeatMs = nowMs + beatMs;
    // What is held first: a leader that took over adopts it, and then knows whose results these are.
    this.sendHeld();
    this.reports.sayLines();
    if (isFirst) this.sendDue(nowMs);
  }

  private onAssign(message: AssignMessage, nowMs: number): void {
    if (this.seen.has(message.serial)) return;
    this.seen.add(message.serial);
    const key = assignmentKey(message.term, message.serial);
    const held = new HeldAssignment(message, this.paces.of(message.job, message.stage, message.concurrency ?? 1));
    this.held.set(key, held);
    for (const what of this.tombstones.take(key)) this.takeBack(key, held, what, nowMs);
    if (this.state !== 'working') {
      // Whoever still gives it work has not heard that it drains, and would give this back to it at once, for ever (W10).
      this.hello(nowMs);
      this.reports.release(held, held.takePending(held.ranges), 'draining', nowMs);
    } else if (held.pending > 0) this.enqueue(held, message.definition.bundle, nowMs);
  }

  private enqueue(held: HeldAssignment, bundle: string | undefined, nowMs: number): void {
    const { code } = this.options;
    if (bundle === undefined || code.kind === 'any' || this.bundles.isReady(bundle)) this.slots.enqueue(held);
    else if (!code.bundles) this.reports.refuse(held, bundleError('this worker takes no bundles', bundle), nowMs);
    else if (this.bundles.add(bundle, held)) this.effects.push({ effect: 'findBundle', hash: bundle });
  }

  onBundleHere(hash: string): void {
    for (const held of this.bundles.settle(hash, true)) if (held.pending > 0) this.slots.enqueue(held);
  }

  onBundleMissing(hash: string, nowMs: number): void {
    this.bundles.asked(hash, nowMs);
    this.send({ kind: 'bundleWanted', ...this.me(), hash });
  }

  onBundleRefused(hash: string, why: string, nowMs: number): void {
    for (const held of this.bundles.settle(hash, false)) this.reports.refuse(held, bundleError(why, hash), nowMs);
  }

  private onTakeBack(message: ToWorker & { kind: 'revoke' | 'abort' }, nowMs: number): void {
    const key = assignmentKey(message.term, message.serial);
    const held = this.held.get(key);
    if (held) this.takeBack(key, held, message, nowMs);
    else if (message.term === this.term && !this.seen.has(message.serial)) this.tombstones.add(key, message, nowMs + tombstoneMs);
  }

  private takeBack(key: number, held: HeldAssignment, what: TakeBack, nowMs: number): void {
    if (what.kind === 'revoke') {
      this.reports.release(held, held.takePending(what.ranges), 'revoked', nowMs);
      for (const record of this.slots.recordsOf(held)) this.revoke(record, what.ranges, 'revoked');
      return;
    }
    const dropped = held.drop(what.ranges);
    held.takePending(dropped);
    for (const record of this.slots.recordsOf(held)) {
      const ranges = splitRanges(record.ranges, dropped).inside;
      if (ranges.length === 0) continue;
      record.left -= countOf(ranges);
      record.isCalledOff = true;
      this.effects.push({ effect: 'abort', slot: record.slot, work: record.work, ranges, reason: what.reason });
    }
    if (held.remaining === 0) this.held.delete(key);
  }

  private onAcknowledged(number: number): void {
    for (const { held, message } of this.reports.outbox.acknowledge(number)) {
      const ranges = 'ranges' in message ? message.ranges : Uint32Array.of(message.index, 1);
      held.settle(ranges, countOf(ranges));
      if (held.remaining === 0) this.held.delete(assignmentKey(held.term, held.serial));
    }
  }

  /** No longer believed (W12): nothing that was held is ours; the same process starts over as another incarnation. */
  private onFenced(): void {
    this.slots.clearQueue();
    this.bundles.clear();
    for (const record of this.slots.records) {
      if (!record.held) continue;
      record.held = undefined;
      record.left = 0;
      this.effects.push({ effect: 'abort', slot: record.slot, work: record.work, ranges: record.ranges, reason: 'fenced' });
    }
    this.held.clear();
    this.seen.clear();
    this.tombstones.clear();
    this.reports.outbox.clear();
    this.leader = undefined;
    if (this.state === 'draining') return;
    this.incarnation = undefined;
    // The next one has heard nobody: a journal that was set back counts terms anew (S07).
    this.term = 0;
    this.effects.push({ effect: 'newIncarnation' });
  }

  // ---- the owner of this worker says ------------------------------------------

  /** Starts nothing more, hands back what is not started, finishes what is (W10). Then the effect `drained`. */
  drain(nowMs: number): void {
    if (this.state !== 'working') return;
    this.state = 'draining';
    // A worker without slots gets nothing: else what is handed back would come back at once.
    if (this.incarnation !== undefined) this.hello(nowMs);
    for (const held of this.held.values()) this.reports.release(held, held.takePending(held.ranges), 'draining', nowMs);
    this.slots.clearQueue();
    for (const record of this.slots.records) this.revoke(record, record.ranges, 'draining');
  }

  /** The slots are closed and tell nothing more: everything unfinished goes back, uncharged, and goodbye. */
  leave(why: string, nowMs: number): void {
    if (this.state === 'drained') return;
    this.state = 'drained';
    this.slots.clearQueue();
    this.slots.clearWorks();
    for (const held of this.held.values()) {
      held.takePending(held.ranges);
      this.reports.release(held, held.untold(held.ranges), why, nowMs);
    }
    this.send({ kind: 'goodbye', ...this.me() });
  }

  /** Everything is let go of only after what it depends on: the broker says it is there again (N01). */
  onBrokerUp(nowMs: number): void {
    this.nextHelloMs = nowMs + (this.leader ? doubtMs : 0);
    if (this.leader) this.nextBeatMs = Math.min(this.nextBeatMs, nowMs);
    this.isDoubtful = true;
  }

  // ---- time -----------------------------------------------------------------

  tick(nowMs: number): void {
    if (this.state === 'drained') return;
    if (this.incarnation !== undefined) {
      if (this.leader && nowMs >= this.nextBeatMs) this.beat(nowMs);
      const isQuiet = this.leader === undefined || this.isDoubtful || nowMs - this.heardMs > 2 * this.leader.beatMs;
      const hasReason = this.state === 'working' || this.held.size > 0;
      if (isQuiet && hasReason && nowMs >= this.nextHelloMs) this.hello(nowMs);
      this.sendDue(nowMs);
      this.tombstones.expire(nowMs);
      if (this.leader) for (const hash of this.bundles.overdue(nowMs, 2 * this.leader.beatMs)) this.onBundleMissing(hash, nowMs);
      for (const record of this.slots.stuck(nowMs)) this.revoke(record, record.ranges, 'waits behind a long task');
    }
    this.fill(nowMs);
  }

  /** Gives work to slots, as far as it may be started; ends draining when its time has come. */
  fill(nowMs: number): void {
    if (this.state === 'working') {
      if (this.mayStart(nowMs)) this.slots.fill(nowMs, this.startWork);
    } else if (this.state === 'draining' && this.slots.isIdle && this.held.size === 0) {
      this.state = 'drained';
      this.send({ kind: 'goodbye', ...this.me() });
      this.effects.push({ effect: 'drained' });
    }
  }

  private readonly startWork = (slot: number, work: Work): void => {
    this.effects.push({ effect: 'run', slot, work });
  };

  private mayStart(nowMs: number): boolean {
    const { leader } = this;
    return leader !== undefined && nowMs - this.heardMs < leader.leaseMs && this.reports.outbox.bytes < outboxBytesMax;
  }

  private hello(nowMs: number): void {
    const { worker, labels, resources, queues, host, pid, life, version, code } = this.options;
    const incarnation = this.incarnation!;
    const slots = this.state === 'working' ? this.options.slots : 0;
    const { ownAddress: address, leader, term } = this;
    const who = { worker, incarnation, address, slots, labels, resources, queues, host, pid, life, version, code };
    this.effects.push({ effect: 'send', address: helloAddress, message: { kind: 'hello', ...who, ...(leader && { welcomed: term }) } });
    this.nextHelloMs = nowMs + this.helloMs * (0.5 + this.random() / 2);
    this.helloMs = Math.min(helloMsMax, this.helloMs * 2);
  }

  private beat(nowMs: number): void {
    this.beats += 1;
    const { beatMs } = this.leader!;
    this.nextBeatMs = nowMs + beatMs;
    // Whoever has lost faith in this incarnation answers a beat with `fenced`; a hello must not come before that.
    if (!this.isDoubtful) this.nextHelloMs = Math.max(this.nextHelloMs, nowMs + beatMs / 2);
    let load = 0;
    for (const held of this.held.values()) load += held.open;
    this.send({
      kind: 'beat',
      ...this.me(),
      number: this.beats,
      term: this.term,
      lastSerial: this.seen.last,
      load,
      count: this.held.size,
      hash: heldHash(this.held.values()),
      ...(this.memory && { memory: this.memory }),
      ...(this.cpu !== undefined && { cpu: this.cpu }),
      idle: this.slots.idleCount,
    });
  }

  private sendHeld(): void {
    this.send({
      kind: 'held',
      ...this.me(),
      term: this.term,
      lastSerial: this.seen.last,
      held: Array.from(this.held.values(), ({ serial, term, job, stage, attempt, remainingRanges }) => ({
        serial,
        term,
        job,
        stage,
        attempt,
        ranges: [...remainingRanges],
      })),
    });
  }

  private sendDue(nowMs: number): void {
    if (!this.leader || this.reports.outbox.isEmpty) return;
    for (const message of this.reports.outbox.due(nowMs, 2 * this.leader.beatMs)) this.send(message);
  }

  // ---- slots say (what they say of tasks goes to `reports`) ---------------------

  onFinished(id: number, nowMs: number): void {
    const record = this.slots.finish(id, nowMs);
    if (!record) return;
    if (record.slot >= this.options.slots) this.effects.push({ effect: 'closeAlone', slot: record.slot });
    this.reports.onFinished(record, nowMs);
  }

  /** The slot's thread or process died and was replaced. */
  onReplaced(slot: number, nowMs: number): void {
    this.slots.died(slot, nowMs);
  }

  /** Takes back from the slot what it has not started; the slot says which that was. */
  private revoke(record: WorkRecord, ranges: Ranges, why: string): void {
    const { slot, work } = record;
    const inside = splitRanges(record.ranges, ranges).inside;
    if (!record.held || inside.length === 0) return;
    record.isCalledOff = true;
    this.effects.push({ effect: 'revoke', slot, work, ranges: inside, why });
  }

  private me(): { worker: string; incarnation: string } {
    return { worker: this.options.worker, incarnation: this.incarnation ?? '' };
  }

  private send(message: FromWorker): void {
    if (this.leader) this.effects.push({ effect: 'send', address: this.leader.address, message });
  }
}
