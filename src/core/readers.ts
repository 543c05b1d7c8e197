/**
 * Readers: a client reads a job's output in input order or in order of completion, as far as its credit goes.
 * A delivery is a list of slices of journal entries; the bytes are fetched when the effect is carried out.
 * Skipped and cancelled tasks are not delivered: `done` and the job's outcome tell of them. A reader in input order does not
 * wait for them either; those that a replay brings back behind it are delivered once they are done, in their order.
 */

import type { TaskFailure } from './answers.ts';
import { isFinal, TaskState } from './columns.ts';
import { Given } from './given.ts';
import { deliverBytesMax, deliverTasksMax } from './limits.ts';
import type { DeliverMessage, FromClient, ReadAsked } from './messages.ts';
import { RangeList, ReadyQueue } from './ranges.ts';
import { attach } from './rows.ts';
import type { DefinitionRef } from './spec.ts';
import type { Job, Partial, Reader, Stage, State } from './state.ts';
import type { Turn } from './turn.ts';
import { SliceList } from './turn.ts';
import { attemptsOf, failureOf } from './view.ts';

export function readerKey(session: string, id: number): string {
  return `${session}/${id}`;
}

export function openReader(state: State, session: string, message: Extract<FromClient, { kind: 'read' }>, turn: Turn): void {
  const job = state.jobs.get(message.job);
  if (!job || job.dropping) {
    turn.tell(session, { kind: 'readEnd', reader: message.reader, error: { code: 'SH1401', message: `there is no job ${message.job}` } });
    return;
  }
  const { had, failed } = message;
  addReader(state, session, job, message, had && Given.of({ had, ...(failed && { failed }) }));
}

export function addReader(state: State, session: string, job: Job, asked: ReadAsked, given?: Given): void {
  attach(state, job);
  const { reader: id, order, inputs, credit } = asked;
  const reader: Reader = {
    key: readerKey(session, id),
    session,
    id,
    job,
    order,
    inputs,
    credit,
    next: (order === 'input' && given?.end) || 0,
    behind: new ReadyQueue(),
    given: given?.isEmpty ? undefined : given,
    pair: 0,
    within: 0,
    done: false,
  };
  if (order === 'input') findBehind(reader);
  state.readers.set(reader.key, reader);
  job.readers.add(reader);
  state.touched.add(job);
}

/** It had passed them before its line broke, and was not told of them as they are now. */
function findBehind({ job, next, behind, given }: Reader): void {
  const stage = job.stages[job.spec.output.stage]!;
  const { columns, fold } = stage;
  const end = fold ? 0 : Math.min(next, columns.length);
  for (let index = 0; index < end; index++) {
    if (!isFinal(columns.state(index)) || !given?.has(index, attemptsOf(stage, index))) behind.push(index, 1);
  }
}

/** Sends what is there and the credit allows, in deliveries of bounded size. */
export function deliver(state: State, reader: Reader, turn: Turn): void {
  const { job } = reader;
  const stage = job.stages[job.spec.output.stage]!;
  while (!reader.done) {
    const delivery = new Delivery(state, reader, stage);
    if (stage.fold) {
      if (stage.fold.result && !reader.given) delivery.addFolded(stage.fold.result);
      reader.done = stage.fold.result !== undefined || job.outcome !== undefined;
    } else {
      const isAtEnd = reader.order === 'input' ? walkInputOrder(reader, stage, delivery) : walkCompletion(reader, stage, delivery);
      reader.done = isAtEnd && job.outcome !== undefined;
    }
    if (delivery.count === 0 && !reader.done) return;
    reader.credit -= delivery.count;
    delivery.send(turn, reader.done);
  }
}

/** True when there is nothing further in this direction for now. */
function walkInputOrder(reader: Reader, stage: Stage, delivery: Delivery): boolean {
  const { columns } = stage;
  const isCaughtUp = walkBehind(reader, stage, delivery);
  while (reader.next < columns.length) {
    const taskState = columns.state(reader.next);
    if (taskState < TaskState.done) return false;
    if (taskState === TaskState.skipped || taskState === TaskState.cancelled) {
      reader.next++;
      continue;
    }
    if (delivery.count >= reader.credit || delivery.isFull) return false;
    delivery.add(reader.next++);
  }
  return isCaughtUp;
}

/** What came back behind it; one that is stopped again may come back again. */
function walkBehind({ behind, credit }: Reader, { columns }: Stage, delivery: Delivery): boolean {
  while (!behind.isEmpty) {
    const taskState = columns.state(behind.front);
    if (!isFinal(taskState)) return false;
    if (taskState !== TaskState.skipped && taskState !== TaskState.cancelled) {
      if (delivery.count >= credit || delivery.isFull) return false;
      delivery.add(behind.front);
    }
    behind.advance(1);
  }
  return true;
}

function walkCompletion(reader: Reader, stage: Stage, delivery: Delivery): boolean {
  const { completion, columns } = stage;
  while (reader.pair < completion.length) {
    const from = completion[reader.pair]!;
    const count = completion[reader.pair + 1]!;
    while (reader.within < count) {
      const index = from + reader.within;
      const taskState = columns.state(index);
      const isShown = taskState === TaskState.done || taskState === TaskState.dead || taskState === TaskState.expired;
      if (isShown && !reader.given?.has(index, attemptsOf(stage, index))) {
        if (delivery.count >= reader.credit || delivery.isFull) return false;
        delivery.add(index);
      }
      reader.within++;
    }
    reader.pair += 2;
    reader.within = 0;
  }
  // What completes from here on it was not given.
  reader.given = undefined;
  return true;
}

/** One message in the making. */
class Delivery {
  count = 0;
  private readonly indices = new RangeList();
  private readonly values = new SliceList();
  private readonly inputs = new SliceList();
  private readonly statuses: number[] = [];
  private readonly attempts: number[] = [];
  private readonly durations: number[] = [];
  private readonly workers: number[] = [];
  private readonly workerNames: string[] = [];
  private readonly places = new Map<number | undefined, number>();
  private readonly lengths: number[] = [];
  private readonly counts: number[] = [];
  private readonly inputLengths: number[] = [];
  private readonly failures: TaskFailure[] = [];
  private readonly state: State;
  private readonly reader: Reader;
  private readonly stage: Stage;

  constructor(state: State, reader: Reader, stage: Stage) {
    this.state = state;
    this.reader = reader;
    this.stage = stage;
  }

  get isFull(): boolean {
    return this.count >= deliverTasksMax || this.values.bytes + this.inputs.bytes >= deliverBytesMax;
  }

  add(index: number): void {
    const { stage, reader } = this;
    const { columns } = stage;
    this.count++;
    this.indices.add(index);
    this.attempts.push(attemptsOf(stage, index));
    this.durations.push(columns.durationUs(index));
    this.workers.push(this.placeOf(columns.holder(index)));
    if (columns.state(index) === TaskState.done) {
      this.statuses.push(0);
      this.addValue(index);
    } else {
      this.statuses.push(1);
      if (stage.elements) this.counts.push(0);
      else this.lengths.push(0);
      this.failures.push(failureOf(reader.job, stage, index));
    }
    if (reader.inputs) this.addInput(index);
  }

  /** Of the name of a worker among those of this delivery. */
  private placeOf(worker: number | undefined): number {
    let place = this.places.get(worker);
    if (place === undefined) {
      place = this.workerNames.length;
      this.places.set(worker, place);
      this.workerNames.push((worker === undefined ? undefined : this.state.workersByIndex.get(worker)?.name) ?? '');
    }
    return place;
  }

  private addValue(index: number): void {
    const { columns, elements } = this.stage;
    this.values.add(columns.resultEntry(index), columns.resultOffset(index), columns.resultLength(index));
    if (!elements) {
      this.lengths.push(columns.resultLength(index));
      return;
    }
    const [from, count] = elements.get(index)!;
    const down = this.reader.job.stages[this.stage.links.spread[0]!]!;
    this.counts.push(count);
    for (let i = from; i < from + count; i++) this.lengths.push(down.columns.inputLength(i));
  }

  private addInput(index: number): void {
    const source = inputColumns(this.reader.job, this.stage);
    const { columns } = source.stage;
    if (source.isResult) {
      this.inputs.add(columns.resultEntry(index), columns.resultOffset(index), columns.resultLength(index));
      this.inputLengths.push(columns.resultLength(index));
    } else {
      this.inputs.add(columns.inputEntry(index), columns.inputOffset(index), columns.inputLength(index));
      this.inputLengths.push(columns.inputLength(index));
    }
  }

  addFolded(result: Partial): void {
    this.count = 1;
    this.indices.add(0);
    this.statuses.push(0);
    this.attempts.push(1);
    this.durations.push(0);
    this.workers.push(this.placeOf(undefined));
    this.lengths.push(result.length);
    this.values.add(result.entry, result.offset, result.length);
  }

  send(turn: Turn, done: boolean): void {
    const { reader, stage } = this;
    const { job } = reader;
    const codec = codecOf(job, stage);
    const inputCodec = reader.inputs ? inputColumns(job, stage).codec : undefined;
    const message: Omit<DeliverMessage, 'body'> = {
      kind: 'deliver',
      reader: reader.id,
      indices: this.indices.take(),
      statuses: Uint32Array.from(this.statuses),
      attempts: Uint32Array.from(this.attempts),
      durations: Uint32Array.from(this.durations),
      workers: Uint32Array.from(this.workers),
      workerNames: this.workerNames,
      lengths: Uint32Array.from(this.lengths),
      ...(stage.elements ? { counts: Uint32Array.from(this.counts) } : {}),
      ...(reader.inputs && !stage.fold ? { inputLengths: Uint32Array.from(this.inputLengths) } : {}),
      ...(codec ? { codecOf: codec } : {}),
      ...(inputCodec ? { inputCodecOf: inputCodec } : {}),
      failures: this.failures,
      done,
    };
    const slices = [...this.values.slices, ...this.inputs.slices];
    turn.effects.push({ effect: 'deliver', session: reader.session, stream: job.stream, message, slices });
  }
}

/** Whose codec wrote a stage's results. A fold's are written by its combine task. */
function codecOf(job: Job, stage: Stage): DefinitionRef | undefined {
  return stage.spec.definition ?? job.stages[0]!.spec.definition;
}

/** What a person would call the task's input: for a chain, what went in at its head. */
function inputColumns(job: Job, stage: Stage): { stage: Stage; isResult: boolean; codec: DefinitionRef | undefined } {
  let at = stage;
  while (at.spec.feed.kind === 'each') at = job.stages[at.spec.feed.from]!;
  return { stage: at, isResult: false, codec: at.spec.definition };
}
