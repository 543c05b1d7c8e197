/**
 * What slots report of tasks, as numbered messages: every event becomes at most one message an index, filtered by
 * what was aborted meanwhile, cut to what the broker carries, kept in the outbox until acknowledged.
 *
 * protocol.ts owns who leads and what is assigned; it lends this file its slots and its way to send.
 */
import type { ErrorRecord, FromWorker, LogLine, NumberedMessage, Ranges, ResultsMessage } from '../core/messages.ts';
import { countOf } from '../core/ranges.ts';
import { Cutter } from './cut.ts';
import type { HeldAssignment } from './held.ts';
import { Outbox } from './outbox.ts';
import type { Slots, WorkRecord } from './slots.ts';
import { splitRanges } from './split-ranges.ts';
import { UnsaidLines } from './unsaid-lines.ts';

/** How messages leave: `canSend` only while there is a leader that said where it hears. */
export interface Line {
  canSend(): boolean;
  /** Only while it has heard that leader on the present line: what is said once is not told to one that is gone. */
  isHeard(): boolean;
  send(message: FromWorker): void;
  me(): { worker: string; incarnation: string };
}

/** Columns of a results event, before it is known how many messages they make. */
export interface Done {
  ranges: Ranges;
  lengths: Uint32Array;
  counts?: Uint32Array;
  durations: Uint32Array;
  body: Uint8Array;
}

type Wanted = WorkRecord & { held: HeldAssignment };
type About = Pick<NumberedMessage, 'number' | 'term' | 'serial' | 'job' | 'stage' | 'attempt' | 'worker' | 'incarnation'>;

/** Frame header and small fields of a message, generously. */
export const messageHeaderBytes = 4096;

export class Reports {
  readonly outbox = new Outbox();
  readonly unsaid = new UnsaidLines();
  private readonly line: Line;
  private readonly slots: Slots;
  private readonly messageBytesMax: number;

  constructor(line: Line, slots: Slots, messageBytesMax: number) {
    this.line = line;
    this.slots = slots;
    this.messageBytesMax = messageBytesMax;
  }

  onResults(id: number, done: Done, nowMs: number): void {
    const record = this.heard(id, nowMs);
    if (!record) return;
    const { held } = record;
    held.pace.learn(done.durations);
    if (held.unwanted || this.isTooLarge(done)) {
      for (const part of this.parts(held, done)) this.sayResults(record, part, nowMs);
    } else {
      this.sayResults(record, done, nowMs);
    }
  }

  /** All or nothing (rule 11): a value in which an aborted task was combined is of no use, the others run again. */
  onPartial(id: number, done: { ranges: Ranges; durations: Uint32Array; body: Uint8Array }, nowMs: number): void {
    const record = this.heard(id, nowMs);
    if (!record) return;
    const { held } = record;
    held.pace.learn(done.durations);
    const wanted = this.wanted(held, done.ranges);
    if (wanted.length !== done.ranges.length || countOf(wanted) !== countOf(done.ranges)) {
      return this.tellReleased(record, wanted, 'combined with a task that was called off', nowMs);
    }
    if (this.isTooLarge(done)) return this.tellTooLarge(record, done.ranges, done.body.length, done.durations, nowMs);
    const { ranges, durations, body } = done;
    this.told(record, ranges);
    this.say(held, { ...this.about(held), kind: 'partial', ranges, durations, body: [body] }, nowMs);
  }

  onFailed(
    id: number,
    index: number,
    failure: { error: ErrorRecord; verdict: 'retry' | 'dead'; afterMs?: number; durationUs: number },
    nowMs: number,
  ): void {
    const record = this.heard(id, nowMs);
    if (!record || !this.isWanted(record.held, index)) return;
    const { held } = record;
    held.pace.learn([failure.durationUs]);
    this.told(record, Uint32Array.of(index, 1));
    this.say(held, { ...this.about(held), kind: 'failed', index, ...failure }, nowMs);
  }

  onCrashed(id: number, index: number, how: string, error: ErrorRecord, nowMs: number): void {
    const record = this.recordOf(id);
    if (!record || !this.isWanted(record.held, index)) return;
    this.told(record, Uint32Array.of(index, 1));
    this.say(record.held, { ...this.about(record.held), kind: 'crashed', index, how, error }, nowMs);
  }

  onReleased(id: number, ranges: Ranges, why: string, nowMs: number): void {
    const record = this.recordOf(id);
    if (record) this.tellReleased(record, this.wanted(record.held, ranges), why, nowMs);
  }

  /** No slot here will have the definition: the rest of the assignment goes with it, in the same message. */
  onRefused(id: number, error: ErrorRecord, nowMs: number): void {
    const record = this.recordOf(id);
    if (!record) return;
    const { held } = record;
    const mine = held.untold(record.ranges);
    record.left -= countOf(mine);
    const rest = held.takePending(held.ranges);
    const ranges = Uint32Array.of(...mine, ...rest);
    if (ranges.length === 0) return;
    held.tell(ranges, countOf(ranges));
    this.say(held, { ...this.about(held), kind: 'refused', ranges, why: error.message, error }, nowMs);
  }

  /** Its program can't be had here: all of it goes back uncharged, to a worker that has it. */
  refuse(held: HeldAssignment, error: ErrorRecord, nowMs: number): void {
    const ranges = held.takePending(held.ranges);
    if (ranges.length === 0) return;
    held.tell(ranges, countOf(ranges));
    this.say(held, { ...this.about(held), kind: 'refused', ranges, why: error.message, error }, nowMs);
  }

  /** A slot owes a word on every index; whatever it forgot must not be held for ever. */
  onFinished(record: WorkRecord, nowMs: number): void {
    if (record.held && record.left > 0) {
      this.release(record.held, record.held.untold(record.ranges), 'the slot did not say what became of it', nowMs);
    }
  }

  onLogs(lines: LogLine[]): void {
    this.unsaid.add(lines);
    this.sayLines();
  }

  /** In this order: whose last result has come may be told that no more lines will. */
  sayLines(): void {
    if (!this.line.isHeard()) return;
    for (const lines of this.unsaid.take()) this.line.send({ kind: 'logs', ...this.line.me(), lines });
  }

  onNote(id: number, index: number, done: number, total: number | undefined, note: string | undefined): void {
    const record = this.recordOf(id);
    if (!record || !this.line.canSend()) return;
    const { job, stage } = record.held;
    this.line.send({
      kind: 'note',
      ...this.line.me(),
      job,
      stage,
      index,
      done,
      ...(total === undefined ? {} : { total }),
      ...(note === undefined ? {} : { note }),
    });
  }

  private recordOf(id: number): Wanted | undefined {
    const record = this.slots.record(id);
    return record?.held ? (record as Wanted) : undefined;
  }

  private heard(id: number, nowMs: number): Wanted | undefined {
    const record = this.recordOf(id);
    if (record) this.slots.alive(record, nowMs);
    return record;
  }

  private wanted(held: HeldAssignment, ranges: Ranges): Ranges {
    return held.unwanted ? splitRanges(ranges, held.unwanted).outside : ranges;
  }

  private isWanted(held: HeldAssignment, index: number): boolean {
    return this.wanted(held, Uint32Array.of(index, 1)).length > 0;
  }

  private isTooLarge(done: {
    ranges: Ranges;
    lengths?: Uint32Array;
    counts?: Uint32Array;
    durations: Uint32Array;
    body: Uint8Array;
  }): boolean {
    const columns = done.ranges.length + (done.lengths?.length ?? 0) + (done.counts?.length ?? 0) + done.durations.length;
    return done.body.length + 4 * columns + messageHeaderBytes > this.messageBytesMax;
  }

  /** Without what is no longer wanted, in parts that the broker carries. */
  private *parts(held: HeldAssignment, done: Done): Generator<Done> {
    const shape = held.isSpread ? { frames: 0, countsPerTask: 1 } : { frames: 1, countsPerTask: 1 };
    const { counts } = done;
    const cutter = new Cutter({ ranges: done.ranges, lengths: done.lengths, ...(counts ? { counts } : {}), body: [done.body] }, shape);
    if (held.unwanted) cutter.drop(held.unwanted);
    // Half of it if it is all too large; what is still too large then is cut again.
    const tasksMax = this.isTooLarge(done) ? Math.ceil(done.durations.length / 2) : Number.POSITIVE_INFINITY;
    while (cutter.pending > 0) {
      const { count, first, ...piece } = cutter.take(tasksMax, Number.POSITIVE_INFINITY);
      const part: Done = { ...piece, durations: done.durations.slice(first, first + count) };
      if (count > 1 && this.isTooLarge(part)) yield* this.parts(held, part);
      else yield part;
    }
  }

  private sayResults(record: Wanted, done: Done, nowMs: number): void {
    const { held } = record;
    const { ranges, lengths, counts, durations, body } = done;
    if (this.isTooLarge(done)) return this.tellTooLarge(record, ranges, body.length, durations, nowMs);
    this.told(record, ranges);
    // Written out: this is the one message that thousands a second are made of, and spreads are slow.
    const { worker, incarnation } = this.line.me();
    const { term, serial, job, stage, attempt } = held;
    const number = this.outbox.next;
    const message: ResultsMessage = {
      kind: 'results',
      worker,
      incarnation,
      number,
      term,
      serial,
      job,
      stage,
      attempt,
      ranges,
      lengths,
      durations,
      body: [body],
    };
    if (counts) message.counts = counts;
    this.say(held, message, nowMs);
  }

  /** One value that the broker cannot carry (N09): it never will, so the tasks are dead. */
  private tellTooLarge(record: Wanted, ranges: Ranges, bytes: number, durations: Uint32Array, nowMs: number): void {
    const error: ErrorRecord = {
      name: 'ShoalError',
      code: 'SH1204',
      message: `the result has ${bytes} bytes, more than the ${this.messageBytesMax - messageHeaderBytes} that one value may have`,
    };
    this.told(record, ranges);
    let task = 0;
    for (let i = 0; i < ranges.length; i += 2) {
      for (let index = ranges[i]!; index < ranges[i]! + ranges[i + 1]!; index++) {
        const durationUs = durations[task++] ?? 0;
        this.say(record.held, { ...this.about(record.held), kind: 'failed', index, error, verdict: 'dead', durationUs }, nowMs);
      }
    }
  }

  private tellReleased(record: Wanted, ranges: Ranges, why: string, nowMs: number): void {
    record.left -= countOf(ranges);
    this.release(record.held, ranges, why, nowMs);
  }

  /** Goes back uncharged. */
  release(held: HeldAssignment, ranges: Ranges, why: string, nowMs: number): void {
    if (ranges.length === 0) return;
    held.tell(ranges, countOf(ranges));
    this.say(held, { ...this.about(held), kind: 'released', ranges, why }, nowMs);
  }

  private told(record: Wanted, ranges: Ranges): void {
    const count = countOf(ranges);
    record.left -= count;
    record.held.tell(ranges, count);
  }

  private about({ term, serial, job, stage, attempt }: HeldAssignment): About {
    const { worker, incarnation } = this.line.me();
    return { worker, incarnation, number: this.outbox.next, term, serial, job, stage, attempt };
  }

  private say(held: HeldAssignment, message: NumberedMessage, nowMs: number): void {
    const said = this.outbox.add(held, message);
    if (!this.line.canSend()) return;
    said.sentMs = nowMs;
    this.line.send(said.message);
  }
}
