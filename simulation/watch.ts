/**
 * The checker of what is said: every word of a coordinator to a worker or a client, and every start of a task, is held
 * against the model of what the journal has.
 *
 * I3 what was confirmed is durable, and stays · I5 nothing is handed out that is not durable · I6 nothing starts twice
 * under one assignment, nor under a lower term than the worker knows · I9 no attempt before its time · I11 nothing is handed
 * out after a cancellation was confirmed · I13 no word of a leader after its leadership was lost.
 */

import type { JobView, SubmitReply } from '../src/core/answers.ts';
import type { RegistryFact } from '../src/core/facts.ts';
import type { AssignMessage, FromClient, FromWorker, NumberedMessage, ToClient, ToWorker } from '../src/core/messages.ts';
import { decodeHead, decodeMessage } from '../src/wire/frame.ts';
import type { Work } from '../src/worker/executors/executor.ts';
import { type Asked, isChange } from './change-model.ts';
import type { Disk } from './disk.ts';
import { canStart } from './graph-model.ts';
import type { JobModel } from './job-model.ts';
import { Leases } from './leases.ts';
import { LogModel } from './log-model.ts';
import { Model } from './model.ts';
import { reached } from './probes.ts';
import { each } from './slot.ts';
import type { StoredEntry } from './stream-model.ts';
import { decodeValue, type Value } from './values.ts';
import { check } from './violation.ts';
import type { SimNode, World } from './world.ts';

const lateWords = {
  results: 'a result',
  partial: 'a partial',
  failed: 'a failure',
  crashed: 'a crash',
  released: 'a handing back',
  refused: 'a refusal',
} as const;

/** What a client has asked for. */
type About = FromClient & { job?: string };

/** A worker remembers for 10 s what was taken back before it came; clocks drift, and rounds take time. */
const tombstoneMs = 8_000;

export class Watch {
  model: Model;
  logs = new LogModel();
  private readonly world: World;
  private readonly disk: Disk;
  /** Of each worker's process: the highest term heard, assignments by what they hand out, and starts. */
  private readonly terms = new Map<string, number>();
  private readonly handed = new Map<string, Set<string>>();
  private readonly takenBack = new Map<string, number>();
  private readonly starts = new Map<string, number>();
  private readonly reports = new Map<string, FromWorker>();
  /** Programs, and how long the journal was when one was last sent. */
  private readonly uploads = new Map<string, number>();
  private readonly runs = new Map<string, number>();
  private runCount = 0;
  readonly cancelled = new Set<string>();
  /** Queues that somebody was told are paused, and the last assignment handed out before. */
  private readonly paused = new Map<string, { term: number; serial: number }>();
  /** The largest of each term. */
  private readonly serials = new Map<number, number>();
  readonly leases = new Leases();
  /** Versions that clients expect, by the name of their change; and the changes that were answered. */
  private readonly expected = new Map<string, number>();
  private readonly answered = new Set<string>();
  queuesOf: (worker: string) => readonly string[] = () => [];
  /** Wall clocks jump or differ: times of two leaders cannot be compared. */
  isTimeKept = true;

  constructor(world: World, disk: Disk) {
    this.world = world;
    this.disk = disk;
    this.model = this.newModel();
    disk.onStored = (entry, position) => {
      if (world.onStep) world.log(`${entry.stream}/${entry.seq}  ${factsOf(entry.head)}`);
      this.guard(() => this.store(entry, position));
    };
    disk.onDropped = (stream) => this.guard(() => this.drop(stream));
    disk.onOtherBytes = ({ stream, seq, writer }) =>
      this.guard(() => check(false, 'I2', () => `${writer} writes other bytes to ${stream}/${seq} than before`));
    disk.onRolledBack = () => this.guard(() => this.refold());
  }

  private newModel(): Model {
    const model = new Model();
    model.changes.expected = this.expected;
    model.onWorkerLeft = (fact, entry) => this.leases.onLeft(fact, entry, this.decidedMs(entry));
    return model;
  }

  /** Where the registry rolls in the same turn, what it goes on in is stored before. */
  private decidedMs(entry: StoredEntry): number {
    const rolled = decodeHead<RegistryFact>(entry.head).find((fact) => fact.fact === 'stream-rolled');
    return this.disk.appendedMs(rolled?.fact === 'stream-rolled' ? { ...entry, stream: rolled.next, seq: 0 } : entry);
  }

  private store(entry: StoredEntry, position: number): void {
    const { model } = this;
    model.wallMs = this.world.trueWallMs;
    model.isTimeKept = this.isTimeKept;
    model.store(entry, position);
    this.logs.store(entry);
  }

  private drop(stream: string): void {
    this.logs.drop(stream, this.model.jobs);
    this.model.drop(stream);
  }

  /** A violation ends the run, wherever in somebody's call it shows. */
  guard(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.world.fail(error as Error);
    }
  }

  /** After the host's death: all from the beginning. What was confirmed is checked again at the end. */
  private refold(): void {
    this.model = this.newModel();
    this.logs = new LogModel();
    this.disk.log.forEach((entry, position) => {
      if (entry.kind === 'entry') this.store(entry, position);
      else this.drop(entry.stream);
    });
  }

  private isDurable(position: number): boolean {
    return position < this.disk.durable;
  }

  // ---- a coordinator speaks to a worker ----

  /** `to`: the worker's name. */
  onSent(from: SimNode, to: string, wallMs: number, isLost: boolean, message: ToWorker): void {
    check(!isLost, 'I13', () => `${from.name} says ${message.kind} after its leadership was lost`);
    if (message.kind === 'report') reached('a worker is asked for all that it holds');
    if (message.kind === 'revoke') reached('what waits behind a long task is asked back');
    if (message.kind !== 'assign') return;
    this.onAssigned(message, wallMs);
    const queue = this.model.jobs.get(message.job)!.spec.stages[message.stage]!.queue;
    check(this.queuesOf(to).includes(queue), 'I5', () => `${message.job}/${message.stage} goes to ${to}, which does not serve ${queue}`);
  }

  /** Where and when it may run at all: a queue that is paused, a job that is delayed, a program that must be there. */
  private judgePlace({ job: id, stage, term, serial, definition }: AssignMessage, job: JobModel, wallMs: number): void {
    const { queue } = job.spec.stages[stage]!;
    const where = (): string => `${id}/${stage}, assignment ${term}:${serial}`;
    const paused = this.paused.get(queue);
    const isAfter = paused !== undefined && (term > paused.term || serial > paused.serial);
    check(!(isAfter && this.model.paused.has(queue)), 'I11', () => `${where()} is handed out of ${queue}, which is paused`);
    this.serials.set(term, Math.max(serial, this.serials.get(term) ?? 0));
    const { delayMs } = job.spec;
    if (delayMs !== undefined && this.isTimeKept) {
      check(wallMs >= job.openedWallMs + delayMs - 2, 'I9', () => `${where()} comes before its job may begin`);
    }
    const { bundle } = definition;
    // What waited for its bytes may come when the job is gone.
    if (bundle === undefined || job.isDropped) return;
    const program = this.model.programs.get(bundle);
    check(program !== undefined && this.isDurable(program.firstPosition), 'I5', () => `${where()}: its program is not durable`);
  }

  private onAssigned(message: AssignMessage, wallMs: number): void {
    const { model } = this;
    const job = model.jobs.get(message.job);
    const where = (): string => `${message.job}/${message.stage}, assignment ${message.term}:${message.serial}`;
    check(job !== undefined && this.isDurable(job.position), 'I5', () => `${where()}: its job is not durable`);
    const spec = job!.spec.stages[message.stage]!;
    // A leader that was replaced speaks of an older state; workers refuse it.
    if (message.term !== model.term) {
      reached('a replaced leader still hands out');
      return;
    }
    check(job!.replays > 0 || !this.cancelled.has(job!.id), 'I11', () => `${where()} is handed out after ${job!.id} was cancelled`);
    this.judgePlace(message, job!, wallMs);
    const needsStarted = spec.crashLimit === 0 || message.alone;
    if (needsStarted) reached('what may kill is written down before it starts');
    for (const index of each(message.ranges)) {
      const task = model.task(job!, message.stage, index);
      const one = (): string => `${where()}, task ${index}`;
      const isThere = task.final !== undefined || canStart(job!, message.stage, index);
      check(isThere, 'I5', () => `${one()} does not exist, or lacks something`);
      check(message.attempt <= task.attempt, 'I5', () => `${one()}: attempt ${message.attempt}, open is ${task.attempt}`);
      check(
        spec.feed.kind === 'fold' || message.attempt <= spec.retry.retries + spec.crashLimit + 2 + 4 * job!.replays,
        'I9',
        () => `${one()}: attempt ${message.attempt}`,
      );
      // One that waited for its bytes may be of an attempt that is closed by now.
      if (needsStarted && message.attempt === task.attempt) {
        check(
          task.startedAttempt >= message.attempt && this.isDurable(task.startedPosition),
          'I5',
          () => `${one()} may kill, and that it starts is not durable`,
        );
      }
      if (this.isTimeKept && task.attempt === message.attempt && task.final === undefined) {
        check(wallMs >= task.notBeforeWallMs - 2, 'I9', () => `${one()} comes ${task.notBeforeWallMs - wallMs} ms too early`);
      }
    }
  }

  /** Acknowledged: what it reported has been counted or will never count. */
  onAcknowledged(worker: string, term: number, number: number): void {
    for (let n = number; n > 0; n--) {
      const key = `${worker}/${term}/${n}`;
      const report = this.reports.get(key);
      if (!report) return;
      this.reports.delete(key);
      if (report.kind !== 'results') continue;
      const job = this.model.jobs.get(report.job);
      if (!job || job.outcome !== undefined || term !== this.model.term) continue;
      for (const index of each(report.ranges)) {
        const task = this.model.task(job, report.stage, index);
        const isOpen = task.final === undefined && task.attempt === report.attempt;
        check(!isOpen, 'I3', () => `${worker}'s result ${n} of ${job.id}/${report.stage}/${index} is acknowledged and not stored`);
      }
    }
  }

  // ---- a worker ----

  /** What a worker says to coordinator.<term>. */
  onReported({ name: worker, life }: SimNode, address: string, message: FromWorker): void {
    const term = Number(address.split('.')[1]);
    if (message.kind === 'released' && message.why === 'revoked') this.onGivenBack(`${worker}.${life}`, message);
    this.model.roster.spoke(worker, message.incarnation, term);
    if (!('number' in message) || message.kind === 'beat') return;
    this.lookIfLate(message);
    this.reports.set(`${worker}.${message.incarnation}/${term}/${message.number}`, message);
  }

  /** It was asked for, and whoever gives it back has not started it (C16). */
  private onGivenBack(worker: string, { job, stage, attempt, term, serial, ranges }: Extract<NumberedMessage, { kind: 'released' }>): void {
    for (const index of each(ranges)) {
      const key = `${worker}/${job}/${stage}/${index}/${attempt}`;
      const handed = this.handed.get(key);
      if (!handed?.delete(`${term}:${serial}`)) continue;
      reached('what waits behind a long task is given back');
      const count = this.starts.get(key) ?? 0;
      check(count <= handed.size, 'I6', () => `${key} is given back, and started ${count} times for ${handed.size} other assignments`);
    }
  }

  private lookIfLate(message: NumberedMessage): void {
    const job = this.model.jobs.get(message.job);
    const indices = 'ranges' in message ? message.ranges : [message.index, 1];
    const isLate = [...each(indices)].some((index) => {
      const task = job?.stages[message.stage]?.tasks[index];
      return task !== undefined && (task.final !== undefined || task.attempt !== message.attempt);
    });
    if (isLate) reached(`${lateWords[message.kind]} of what is closed comes`);
  }

  /** `worker`: a process's name and life. */
  onHeard(worker: string, bytes: Uint8Array): void {
    let message: ToWorker;
    try {
      message = decodeMessage<ToWorker>(bytes);
    } catch {
      return;
    }
    const known = this.terms.get(worker) ?? 0;
    this.terms.set(worker, Math.max(known, message.term));
    if (message.term < known) return;
    if (message.kind === 'abort' || message.kind === 'revoke') this.onTakenBack(worker, message);
    if (message.kind !== 'assign') return;
    for (const index of each(message.ranges)) {
      const takenBackMs = this.takenBack.get(`${worker}/${message.term}:${message.serial}/${index}`);
      // It came before what it takes back, and is remembered for a while (N04).
      if (takenBackMs !== undefined && this.world.nowMs - takenBackMs < tombstoneMs) {
        reached('a dispatch comes after its cancellation');
        continue;
      }
      const key = `${worker}/${message.job}/${message.stage}/${index}/${message.attempt}`;
      const handed = this.handed.get(key) ?? new Set();
      handed.add(`${message.term}:${message.serial}`);
      this.handed.set(key, handed);
    }
  }

  private onTakenBack(worker: string, { term, serial, ranges }: Extract<ToWorker, { kind: 'abort' | 'revoke' }>): void {
    for (const index of each(ranges)) this.takenBack.set(`${worker}/${term}:${serial}/${index}`, this.world.nowMs);
  }

  onStarted(worker: string, work: Work, index: number): { run: number; before: number } {
    const key = `${worker}/${work.job}/${work.stage}/${index}/${work.attempt}`;
    const count = (this.starts.get(key) ?? 0) + 1;
    this.starts.set(key, count);
    const handed = this.handed.get(key)?.size ?? 0;
    this.guard(() => check(count <= handed, 'I6', () => `${key} starts ${count} times for ${handed} assignments`));
    const task = `${work.job}/${work.stage}/${index}`;
    const before = this.runs.get(task) ?? 0;
    this.runs.set(task, before + 1);
    if (before > 0) reached('a task runs again');
    return { run: ++this.runCount, before };
  }

  // ---- a coordinator speaks to a client ----

  onTold(from: SimNode, isLost: boolean, message: ToClient, about: About | undefined): void {
    check(!isLost, 'I13', () => `${from.name} tells ${message.kind} after its leadership was lost`);
    if (message.kind === 'flow') {
      const job = this.model.jobs.get(message.job);
      const stage = job?.stages[message.stage];
      check(
        stage !== undefined && stage.added >= message.added,
        'I3',
        () => `${message.job}: ${message.added} inputs are confirmed, ${stage?.added ?? 0} are stored`,
      );
      check(
        stage!.added > message.added || message.added === 0 || this.isDurable(stage!.addedPosition),
        'I3',
        () => `${message.job}: inputs are confirmed that are not durable`,
      );
    }
    if (message.kind === 'deliver') return;
    if (message.kind === 'refusal' && message.error.code === 'SH1401' && about?.job !== undefined) this.onUnknown(about.job);
    if (message.kind === 'readEnd' && message.error?.code === 'SH1401') this.onUnknown(message.error.message.split(' ').at(-1)!);
    if ((message.kind === 'reply' || message.kind === 'refusal') && about && isChange(about)) this.onChangeTold(message, about);
    if (message.kind !== 'reply' || !about) return;
    if (about.kind === 'setQueue') this.onQueueSet(about);
    if (about.kind === 'putBundle') this.onUploaded(about.hash);
    if (about.kind === 'submit') this.onSubmitted(message.value as SubmitReply);
    if (about.kind === 'wait') this.onEnded(message.value as JobView);
    if (about.kind === 'cancel') this.onCancelled(about.job, message.value as { cancelled: boolean });
  }

  private onChangeTold(message: Extract<ToClient, { kind: 'reply' | 'refusal' }>, about: Asked): void {
    const { change = '' } = about;
    this.model.changes.onTold(about, message, this.answered.has(change));
    this.answered.add(change);
  }

  private onQueueSet({ queue, paused }: Extract<FromClient, { kind: 'setQueue' }>): void {
    const isSet = this.model.paused.has(queue) === paused;
    // Another client may have said the opposite in the same turn.
    if (!isSet) return;
    reached(paused ? 'a queue is paused' : 'a queue goes on');
    const { term } = this.model;
    if (paused) this.paused.set(queue, { term, serial: this.serials.get(term) ?? 0 });
    else this.paused.delete(queue);
  }

  private onUploaded(hash: string): void {
    const program = this.model.programs.get(hash);
    const position = program && this.model.programStreams.get(program.stream);
    const isDurable = position !== undefined && this.isDurable(program!.position) && this.isDurable(position);
    // It may go with its last job in the very turn that tells one who asked before.
    const isGone = (this.model.programsGone.get(hash) ?? -1) >= this.uploads.get(hash)!;
    check(isDurable || isGone, 'I3', () => `the program ${hash} is confirmed and not durable`);
    reached('a program is uploaded');
  }

  /** What a client says has arrived. */
  onAsked(message: FromClient): void {
    if (message.kind === 'inputs') {
      const { job, stage, from } = message;
      if ((this.model.jobs.get(job)?.stages[stage]?.added ?? 0) > from) reached('inputs come again');
    }
    if (message.kind === 'putBundle') this.uploads.set(message.hash, this.disk.log.length);
    if (!isChange(message) || message.change === undefined || message.expectedVersion === undefined) return;
    this.expected.set(message.change, message.expectedVersion);
  }

  private onSubmitted(reply: SubmitReply): void {
    const job = this.model.jobs.get(reply.job);
    check(job !== undefined && this.isDurable(job.position), 'I3', () => `${reply.job} is confirmed and not durable`);
    reached('a submission is confirmed behind its append');
  }

  /** Whoever is told that there is no such job will never hear of it again. */
  private onUnknown(id: string): void {
    const job = this.model.jobs.get(id);
    if (!job) return;
    check(job.isDropped && this.isDurable(job.droppedPosition), 'I3', () => `${id} is said to be gone; that is not durable`);
    reached('a job that is gone is said to be gone');
  }

  private onEnded(view: JobView): void {
    const job = this.model.jobs.get(view.job);
    if (!job || job.isDropped || job.replays > 0) return;
    check(
      job.outcome === view.state && this.isDurable(job.outcomePosition),
      'I3',
      () => `${view.job} is said to have ${view.state}; stored is ${job.outcome ?? 'no end'}`,
    );
  }

  private onCancelled(id: string, { cancelled }: { cancelled: boolean }): void {
    const job = this.model.jobs.get(id);
    if (!cancelled || !job || job.replays > 0) return;
    check(
      job.outcome === 'cancelled' && this.isDurable(job.outcomePosition),
      'I11',
      () => `${id} is said to be cancelled; stored is ${job.outcome ?? 'no end'}`,
    );
    this.cancelled.add(id);
  }

  /** One delivered result is the one that the journal has. */
  onDelivered(job: JobModel, index: number, status: number, frames: readonly Uint8Array[]): readonly number[] {
    const { output, stages } = job.spec;
    const stage = stages[output.stage]!;
    const values: Value[] = frames.map((frame) => decodeValue(frame));
    if (output.take === 'all' && stage.feed.kind !== 'fold') {
      const task = this.model.task(job, output.stage, index);
      const where = (): string => `${job.id}/${output.stage}/${index} is delivered with status ${status}; it is ${task.final ?? 'open'}`;
      if (status === 0 || job.replays === 0) check((status === 0) === (task.final === 'done'), 'I1', where);
      if (status === 0) {
        check(this.isDurable(task.position), 'I3', () => `${where()}, and that is not durable`);
        const runs = values.map(({ by }) => by[3]).join();
        check(runs === task.values.map(({ by }) => by[3]).join(), 'I1', () => `${where()}: run ${runs} instead of ${task.value?.by[3]}`);
      }
    }
    return values.flatMap(({ atoms }) => atoms);
  }
}

/** For people: what an entry says. */
function factsOf(head: Uint8Array): string {
  const brief = ({ fact, wallMs: _, spec: __, error: ___, ...rest }: Record<string, unknown>): string =>
    `${fact as string} ${JSON.stringify(rest, (_key, value: unknown) => (value instanceof Uint32Array ? [...value].join(' ') : value))}`;
  return decodeHead<{ fact: string }>(head)
    .map((fact) => brief(fact as unknown as Record<string, unknown>))
    .join(' · ');
}
