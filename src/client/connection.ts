/**
 * One client's conversation with a coordinator over a Session: matches replies to requests, hands deliveries to their
 * readers and flow reports to their feeders. Knows nothing of tasks or values.
 *
 * 1. Each request is answered once: by a reply, a refusal, or the end of the session.
 * 2. Each reader gets deliveries in the order they were sent, then one end.
 * 3. After the session's end everything that waits has been told so, and whatever asks anew is told at once.
 */
import type { DeliverMessage, FromClient, JobView, LogLine, Refusal, Session, ToClient } from '../core/messages.ts';
import type { ShoalError } from '../lib/errors.ts';
import { refusalError } from './task-error.ts';

export interface ReaderSink {
  deliver(message: DeliverMessage): void;
  /** No more will come: it was told all (`done`), or an error. */
  end(error: ShoalError | undefined): void;
}

export type FlowSink = (flow: { stage: number; added: number; final: number }) => void;

type Distribute<M> = M extends { request: number } ? Omit<M, 'request'> : never;
/** A message that expects an answer, without its number. */
export type Request = Distribute<FromClient>;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: ShoalError): void;
}

/** Log lines kept for `job.logs()`, over all jobs of a cluster. */
const logLinesMax = 20_000;

export class Connection {
  readonly #session: Session;
  #nextNumber = 1;
  #over: ShoalError | undefined;
  readonly #waiting = new Map<number, Waiting>();
  readonly #readers = new Map<number, ReaderSink>();
  readonly #flows = new Map<string, FlowSink>();
  readonly #ended = new Map<string, Promise<JobView>>();
  readonly #logs: LogLine[] = [];
  readonly #logListeners = new Set<(line: LogLine) => void>();

  constructor(session: Session) {
    this.#session = session;
    session.onMessage = (message) => this.#receive(message);
    session.onClose = (refusal) => this.#close(refusal);
  }

  request<T>(message: Request): Promise<T> {
    if (this.#over) return Promise.reject(this.#over);
    const request = this.#nextNumber++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(request, { resolve: resolve as (value: unknown) => void, reject });
      this.#session.send({ ...message, request } as FromClient);
    });
  }

  /** For what is not answered. After the end it goes nowhere: the reader or request beside it is told. */
  send(message: FromClient): void {
    if (!this.#over) this.#session.send(message);
  }

  /** How the job ended; one request however many ask. */
  ended(job: string): Promise<JobView> {
    let ended = this.#ended.get(job);
    if (!ended) {
      ended = this.request<JobView>({ kind: 'wait', job }).finally(() => this.#ended.delete(job));
      // Someone who only feeds or draws does not look at how it failed; those who do, do.
      ended.catch(() => undefined);
      this.#ended.set(job, ended);
    }
    return ended;
  }

  read(job: string, sink: ReaderSink, how: { order: 'input' | 'completion'; credit: number; inputs: boolean }): number {
    const reader = this.#nextNumber++;
    const over = this.#over;
    if (over) {
      queueMicrotask(() => sink.end(over));
      return reader;
    }
    this.#readers.set(reader, sink);
    this.#session.send({ kind: 'read', reader, job, ...how });
    return reader;
  }

  /**
   * Stops reading; the sink hears nothing more. Owed after the end, too: a job that is kept until it was read goes
   * when its reader does.
   */
  unread(reader: number): void {
    this.#readers.delete(reader);
    this.send({ kind: 'unread', reader });
  }

  onFlow(job: string, sink: FlowSink): void {
    this.#flows.set(job, sink);
  }

  offFlow(job: string): void {
    this.#flows.delete(job);
  }

  addLog(line: LogLine): void {
    this.#logs.push(line);
    // Cut in halves, so that dropping old lines costs nothing per line.
    if (this.#logs.length > logLinesMax) this.#logs.splice(0, logLinesMax / 2);
    for (const listener of this.#logListeners) listener(line);
  }

  logsOf(job: string): LogLine[] {
    return this.#logs.filter((line) => line.job === job);
  }

  /** Returns what ends the listening. */
  onLog(listener: (line: LogLine) => void): () => void {
    this.#logListeners.add(listener);
    return () => this.#logListeners.delete(listener);
  }

  close(): void {
    if (this.#over) return;
    this.#close({ code: 'SH1302', message: 'the cluster is closed', hint: 'call connect() again' });
    this.#session.close();
  }

  #receive(message: ToClient): void {
    switch (message.kind) {
      case 'reply':
        this.#take(message.request)?.resolve(message.value);
        return;
      case 'refusal':
        this.#take(message.request)?.reject(refusalError(message.error));
        return;
      case 'flow':
        this.#flows.get(message.job)?.(message);
        return;
      case 'deliver': {
        const sink = this.#readers.get(message.reader);
        sink?.deliver(message);
        if (message.done && this.#readers.delete(message.reader)) sink?.end(undefined);
        return;
      }
      case 'readEnd': {
        const sink = this.#readers.get(message.reader);
        this.#readers.delete(message.reader);
        sink?.end(message.error && refusalError(message.error));
        return;
      }
    }
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
    const readers = [...this.#readers.values()];
    this.#waiting.clear();
    this.#readers.clear();
    for (const each of waiting) each.reject(error);
    for (const reader of readers) reader.end(error);
  }
}
