/**
 * One client's conversation with a coordinator over a Session: matches replies to requests, hands deliveries to their
 * readers and flow reports to their feeders. Knows nothing of tasks or values.
 *
 * 1. Each request is answered once: by a reply, a refusal, or the end of the session.
 * 2. Each reader gets deliveries in the order they were sent, each task once, then one end.
 * 3. After the session's end everything that waits has been told so, and whatever asks anew is told at once.
 * 4. Where the line may break and come back (`session.resets`), all that was not answered is said again: requests in their
 *    order, inputs that are not known to be durable, readers from where they were. What repeats is the same job (A03).
 * 5. A submission that opens a reader is answered before that reader hears anything; one that is refused has opened none.
 * 6. The session is told whether something waits here: a process that has nothing else to do ends when nothing does.
 */
import { randomBytes } from 'node:crypto';
import type { JobView, SubmitReply } from '../core/answers.ts';
import type { FromClient, Refusal, Reply, Session, ToClient } from '../core/messages.ts';
import type { ShoalError } from '../lib/errors.ts';
import { ulid } from '../lib/ulid.ts';
import { type LogSink, OpenReaders, type ReaderSink, type ReadOptions } from './open-readers.ts';
import { refusalError } from './task-error.ts';
import { UnconfirmedInputs } from './unconfirmed.ts';

export type { ReaderSink } from './open-readers.ts';

export type FlowSink = (flow: Extract<ToClient, { kind: 'flow' }>) => void;

type Distribute<M> = M extends { request: number } ? Omit<M, 'request'> : never;
/** A message that expects an answer, without its number. */
export type Request = Distribute<FromClient>;

/** A reader that can be opened together with its job. */
export interface ReadAlong extends ReaderSink {
  readonly how: ReadOptions;
  /** Set when it is opened: to be called when its owner has read all. */
  close: () => void;
}

interface Waiting {
  message: FromClient;
  /** Handle of the reader that goes with it. */
  reader?: number | undefined;
  /** Said on more than one line: what it asks for may have been done already. */
  isRepeated: boolean;
  resolve(value: unknown): void;
  reject(error: ShoalError): void;
}

/** A deleted job is known by its being gone. */
type Change = Extract<Request, { kind: 'cancel' | 'replay' | 'purge' | 'setQueue' }>;

function isChange(message: Request): message is Change {
  const { kind } = message;
  return kind === 'cancel' || kind === 'replay' || kind === 'purge' || kind === 'setQueue';
}

function newName(): string {
  return ulid(Date.now(), randomBytes(10));
}

export class Connection {
  readonly #session: Session;
  #nextNumber = 1;
  #over: ShoalError | undefined;
  #isWaiting = true;
  readonly #waiting = new Map<number, Waiting>();
  readonly #readers: OpenReaders;
  readonly #unconfirmed = new UnconfirmedInputs();
  readonly #flows = new Map<string, Set<FlowSink>>();
  readonly #ended = new Map<string, Promise<JobView>>();

  constructor(session: Session) {
    this.#session = session;
    this.#readers = new OpenReaders(() => this.#nextNumber++, session.resets === true);
    session.onMessage = (message) => {
      this.#receive(message);
      this.#hold();
    };
    session.onClose = (refusal) => this.#close(refusal);
    session.onReset = () => this.#sayAgain();
    this.#hold();
  }

  request<T>(message: Request): Promise<T> {
    return this.#ask(message);
  }

  /** Submits a job and reads it from the start. */
  submitAndRead(message: Extract<Request, { kind: 'submit' }>, along: ReadAlong): Promise<SubmitReply> {
    if (this.#over) return Promise.reject(this.#over);
    const { handle, asked } = this.#readers.readAlong(along, along.how);
    along.close = () => this.unread(handle);
    message.read = asked;
    return this.#ask(message, handle);
  }

  #ask<T>(message: Request, reader?: number): Promise<T> {
    if (this.#over) return Promise.reject(this.#over);
    const request = this.#nextNumber++;
    // On the message itself: whoever has to say it again, once its program is uploaded, means the same submission (A03).
    if (this.#session.resets && message.kind === 'submit') message.submission ??= newName();
    if (this.#session.resets && isChange(message)) message.change ??= newName();
    const whole = { request, ...message } as FromClient;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(request, { message: whole, reader, isRepeated: false, resolve: resolve as (value: unknown) => void, reject });
      this.#hold();
      this.#session.send(whole);
    });
  }

  /** For inputs and their seal, which are not answered. After the end they go nowhere: whoever waits for the job is told. */
  feed(message: Extract<FromClient, { kind: 'inputs' | 'seal' }>): void {
    if (this.#over) return;
    this.#session.send(this.#session.resets ? this.#unconfirmed.sent(message) : message);
    this.#hold();
  }

  /** How the job ended; one request however many ask. */
  ended(job: string): Promise<JobView> {
    let ended = this.#ended.get(job);
    if (!ended) {
      ended = this.request<JobView>({ kind: 'wait', job }).finally(() => {
        this.#ended.delete(job);
        this.#unconfirmed.forget(job);
        this.#hold();
      });
      // Someone who only feeds or draws does not look at how it failed; those who do, do.
      ended.catch(() => undefined);
      this.#ended.set(job, ended);
    }
    return ended;
  }

  /** Gives the handle for `readCredit` and `unread`. */
  read(job: string, sink: ReaderSink, how: ReadOptions): number {
    return this.#open(this.#readers.read(job, sink, how), sink);
  }

  /** What the job's tasks printed. */
  readLogs(job: string, sink: LogSink, follow: boolean): number {
    return this.#open(this.#readers.readLogs(job, sink, follow), sink);
  }

  readCredit(reader: number, credit: number): void {
    const message = this.#readers.credit(reader, credit);
    if (message && !this.#over) this.#session.send(message);
  }

  /**
   * Stops reading; the sink hears nothing more. Owed after the end, too: a job that is kept until it was read goes
   * when its reader does.
   */
  unread(reader: number): void {
    const number = this.#readers.close(reader);
    if (number === undefined || this.#over) return;
    this.#session.send({ kind: 'unread', reader: number });
    this.#hold();
  }

  /** Inputs of the job are being sent, or are not known to be durable. Only on lines that may break. */
  isFeeding(job: string): boolean {
    return this.#unconfirmed.has(job);
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** A number by which the feeder of a keyed job is told apart from others of that job. */
  newFeeder(): number {
    return this.#nextNumber++;
  }

  onFlow(job: string, sink: FlowSink): void {
    const sinks = this.#flows.get(job);
    if (sinks) sinks.add(sink);
    else this.#flows.set(job, new Set([sink]));
  }

  offFlow(job: string, sink: FlowSink): void {
    const sinks = this.#flows.get(job);
    if (sinks?.delete(sink) && sinks.size === 0) this.#flows.delete(job);
  }

  close(): void {
    if (this.#over) return;
    this.#close({ code: 'SH1302', message: 'the cluster is closed', hint: 'call connect() again' });
    this.#session.close();
  }

  #open({ handle, message }: { handle: number; message: FromClient }, sink: { end(error: ShoalError): void }): number {
    const over = this.#over;
    if (over) {
      this.#readers.close(handle);
      queueMicrotask(() => sink.end(over));
    } else this.#session.send(message);
    this.#hold();
    return handle;
  }

  #hold(): void {
    const isWaiting = this.#waiting.size > 0 || this.#readers.areWaiting || !this.#unconfirmed.isEmpty;
    if (isWaiting === this.#isWaiting) return;
    this.#isWaiting = isWaiting;
    this.#session.holdProcess?.(isWaiting);
  }

  #sayAgain(): void {
    const readers = this.#readers.again();
    for (const waiting of this.#waiting.values()) {
      waiting.isRepeated = true;
      this.#session.send(waiting.message);
    }
    for (const message of this.#unconfirmed.again()) this.#session.send(message);
    for (const message of readers) this.#session.send(message);
  }

  #receive(message: ToClient): void {
    switch (message.kind) {
      case 'reply':
        return this.#answered(message);
      case 'refusal':
        this.#refused(message.request, message.error);
        return;
      case 'flow':
        this.#unconfirmed.confirmed(message);
        for (const sink of this.#flows.get(message.job) ?? []) sink(message);
        return;
      case 'deliver':
        for (const reply of message.replies ?? []) this.#answered(reply);
        this.#readers.deliver(message);
        return;
      case 'printed':
        this.#readers.print(message);
        return;
      case 'readEnd':
        this.#readers.end(message.reader, message.error && refusalError(message.error));
        return;
    }
  }

  #answered({ request, value }: Reply): void {
    const waiting = this.#take(request);
    if (!waiting) return;
    if (waiting.reader !== undefined) this.#readers.submitted(waiting.reader, (value as SubmitReply).job);
    waiting.resolve(value);
  }

  #refused(request: number, error: Refusal): void {
    const waiting = this.#take(request);
    if (!waiting) return;
    if (waiting.reader !== undefined) this.#readers.close(waiting.reader);
    // The first time it was done, and the line broke before we heard so.
    if (waiting.isRepeated && waiting.message.kind === 'deleteJob' && error.code === 'SH1401') waiting.resolve({});
    else waiting.reject(refusalError(error));
  }

  #take(request: number): Waiting | undefined {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    return waiting;
  }

  #close(refusal: Refusal): void {
    if (this.#over) return;
    const error = refusalError(refusal);
    this.#over = error;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reader, reject } of waiting) {
      if (reader !== undefined) this.#readers.close(reader);
      reject(error);
    }
    this.#readers.endAll(error);
  }
}
