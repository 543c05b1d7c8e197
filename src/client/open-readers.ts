/**
 * The readers of one client: who gets which delivery, and where each goes on after the line broke. A reader has one
 * handle for its owner, and another number on each line, so that what an old line still brings is nobody's.
 */
import type { LogPlace } from '../core/answers.ts';
import { Given } from '../core/given.ts';
import type { DeliverMessage, FromClient, LogLine, ReadAsked, ToClient } from '../core/messages.ts';
import type { ShoalError } from '../lib/errors.ts';

export interface ReaderSink {
  deliver(message: DeliverMessage): void;
  /** No more will come: it was told all (`done`), or an error. */
  end(error: ShoalError | undefined): void;
}

export interface LogSink {
  lines(lines: readonly LogLine[]): void;
  end(error: ShoalError | undefined): void;
}

export interface ReadOptions {
  order: 'input' | 'completion';
  credit: number;
  inputs: boolean;
}

interface ResultReader {
  kind: 'results';
  job: string;
  /** In a submission that was not answered yet: what opens it. */
  asked: ReadAsked | undefined;
  sink: ReaderSink;
  order: 'input' | 'completion';
  inputs: boolean;
  /** Tasks that may still come. */
  credit: number;
  /** Where the line may break: what it goes on behind. */
  given: Given | undefined;
}

interface LogReader {
  kind: 'logs';
  job: string;
  sink: LogSink;
  follow: boolean;
  /** Of the last line that it got: where it goes on after a break. */
  place: LogPlace | undefined;
}

/** `isDone`: told its end; the owner of one of results still says that it has read all. */
type Reader = (ResultReader | LogReader) & { handle: number; number: number; isDone: boolean };

export class OpenReaders {
  readonly #byNumber = new Map<number, Reader>();
  readonly #byHandle = new Map<number, Reader>();
  readonly #newNumber: () => number;
  readonly #resets: boolean;

  /** `resets`: the line may break and come back. */
  constructor(newNumber: () => number, resets: boolean) {
    this.#newNumber = newNumber;
    this.#resets = resets;
  }

  /** Something is still to come for one of them. */
  get areWaiting(): boolean {
    return this.#byNumber.size > 0;
  }

  read(job: string, sink: ReaderSink, { order, credit, inputs }: ReadOptions): { handle: number; message: FromClient } {
    return this.#open({ kind: 'results', job, asked: undefined, sink, order, inputs, credit, given: this.#newGiven() });
  }

  /** A reader of a job that is being submitted; `asked` goes with the submission, as often as that is said. */
  readAlong(sink: ReaderSink, how: ReadOptions): { handle: number; asked: ReadAsked } {
    const number = this.#newNumber();
    const asked = { reader: number, ...how };
    this.#add({ handle: number, number, isDone: false, kind: 'results', job: '', asked, sink, ...how, given: this.#newGiven() });
    return { handle: number, asked };
  }

  /** The submission was answered. */
  submitted(handle: number, job: string): void {
    const reader = this.#byHandle.get(handle);
    if (reader?.kind !== 'results') return;
    reader.job = job;
    reader.asked = undefined;
  }

  readLogs(job: string, sink: LogSink, follow: boolean): { handle: number; message: FromClient } {
    return this.#open({ kind: 'logs', job, sink, follow, place: undefined });
  }

  credit(handle: number, credit: number): FromClient | undefined {
    const reader = this.#byHandle.get(handle);
    if (reader?.kind !== 'results' || reader.isDone) return undefined;
    reader.credit += credit;
    return { kind: 'readCredit', reader: reader.number, credit };
  }

  /** The number by which the coordinator knows it; undefined: it was closed before. */
  close(handle: number): number | undefined {
    const reader = this.#byHandle.get(handle);
    if (!reader) return undefined;
    this.#finish(reader);
    this.#byHandle.delete(handle);
    return reader.number;
  }

  deliver(message: DeliverMessage): void {
    const reader = this.#byNumber.get(message.reader);
    if (reader?.kind !== 'results') return;
    reader.credit -= message.statuses.length;
    reader.given?.add(message);
    reader.sink.deliver(message);
    // It may have been closed from within.
    if (!message.done || this.#byNumber.get(message.reader) !== reader) return;
    this.#finish(reader);
    reader.sink.end(undefined);
  }

  print({ reader: number, lines, done, dropped = 0, place }: Extract<ToClient, { kind: 'printed' }>): void {
    const reader = this.#byNumber.get(number);
    if (reader?.kind !== 'logs') return;
    reader.place = place ?? reader.place;
    const all = dropped > 0 ? [gapLine(reader.job, dropped, lines[0]?.wallMs), ...lines] : lines;
    if (all.length > 0) reader.sink.lines(all);
    if (!done) return;
    this.#finish(reader);
    reader.sink.end(undefined);
  }

  end(number: number, error: ShoalError | undefined): void {
    const reader = this.#byNumber.get(number);
    if (!reader) return;
    this.#finish(reader);
    reader.sink.end(error);
  }

  endAll(error: ShoalError): void {
    const readers = [...this.#byHandle.values()].filter(({ isDone }) => !isDone);
    this.#byNumber.clear();
    this.#byHandle.clear();
    for (const reader of readers) reader.sink.end(error);
  }

  /** Under new numbers, from where each was. Those that go with a submission are opened by that, which has their numbers then. */
  again(): FromClient[] {
    this.#byNumber.clear();
    const readers = [...this.#byHandle.values()].filter(({ isDone }) => !isDone);
    return readers.flatMap((reader) => {
      reader.number = this.#newNumber();
      this.#byNumber.set(reader.number, reader);
      if (reader.kind === 'logs' || !reader.asked) return messageOf(reader);
      reader.asked.reader = reader.number;
      return [];
    });
  }

  #newGiven(): Given | undefined {
    return this.#resets ? new Given() : undefined;
  }

  #open(what: ResultReader | LogReader): { handle: number; message: FromClient } {
    const number = this.#newNumber();
    const reader: Reader = { handle: number, number, isDone: false, ...what };
    this.#add(reader);
    return { handle: number, message: messageOf(reader) };
  }

  #add(reader: Reader): void {
    this.#byNumber.set(reader.number, reader);
    this.#byHandle.set(reader.handle, reader);
  }

  #finish(reader: Reader): void {
    reader.isDone = true;
    this.#byNumber.delete(reader.number);
    // Nothing waits for its having been read, at the coordinator neither.
    if (reader.kind === 'logs') this.#byHandle.delete(reader.handle);
  }
}

function messageOf(reader: Reader): FromClient {
  const { number, job } = reader;
  if (reader.kind === 'logs') {
    const { follow, place } = reader;
    return { kind: 'readLogs', reader: number, job, follow, ...(place && { from: place }) };
  }
  const { order, credit, inputs, given } = reader;
  return { kind: 'read', reader: number, job, order, credit, inputs, ...(given && !given.isEmpty && given.columns()) };
}

function gapLine(job: string, count: number, wallMs = 0): LogLine {
  const message = `${count} ${count === 1 ? 'line' : 'lines'} dropped: of what a job prints the newest is kept`;
  return { wallMs, job, stage: 0, index: 0, attempt: 0, task: 'shoal', level: 'warn', message };
}
