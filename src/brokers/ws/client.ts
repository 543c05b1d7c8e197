/**
 * `ws:` — a worker's end: one line to the coordinator's port, dialled anew with full jitter whenever it breaks.
 *
 * 1. `up` means that a probe went round on the present line, after what is listened on was registered on it (N01).
 * 2. While it is down sends reject at once: whoever sends repeats what matters.
 * 3. A refusal (token, protocol) after it was up is told as a warning and tried again, slowly: an operator may mend it.
 */
import type { WebSocket } from 'ws';
import { messageBytesMax } from '../../core/limits.ts';
import { ShoalError } from '../../lib/errors.ts';
import { printableLine } from '../../lib/printable.ts';
import type { Secret } from '../../lib/secret.ts';
import { Coordinators } from '../../wire/coordinators.ts';
import { Redial, StandbyError } from '../../wire/dial.ts';
import { openLink } from '../../wire/link.ts';
import { type Address, type Broker, BrokerUnavailableError, type Listener } from '../broker.ts';
import { type Control, control, openEnvelope } from './envelope.ts';
import { Inbox } from './inbox.ts';
import { Line, sendDeadlineMsDefault } from './line.ts';

export interface WsBrokerOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT` of the coordinator; several with commas between: whichever leads. */
  address: string;
  /** Asked each time that it dials: a coordinator that starts for the first time leaves one. */
  token?: () => Secret | undefined;
  /** Keeps trying if the coordinator is not there at first, rather than rejecting. A refusal rejects in any case. */
  patient?: boolean;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
  pingMs?: number;
}

const path = '/api/v1/workers';
const highWaterBytes = 8 * 1024 * 1024;
const refusedPauseMs = 5_000;
/** A line that lasted as long is no part of a series of failures: coordinators restart one after another in seconds. */
const lastedMs = 1_000;
/** Different warnings in a row; what comes beyond them is not told. */
const warningsMax = 20;

/** Rejects as `dial` does if the first line can't be had, unless it is to be patient. */
export async function dialWsBroker(options: WsBrokerOptions): Promise<Broker> {
  const broker = new WsBroker(options);
  await broker.open();
  return broker;
}

interface Listening {
  address: Address;
  inbox: Inbox;
}

function isRefusal(error: unknown): boolean {
  return (
    error instanceof ShoalError &&
    (error.code === 'SH3002' || error.code === 'SH3005' || error.code === 'SH1301' || error.code === 'SH1309')
  );
}

class WsBroker implements Broker {
  readonly maxMessageBytes = messageBytesMax - 1024;
  private readonly options: WsBrokerOptions;
  private readonly coordinators: Coordinators;
  private readonly redial = new Redial();
  private readonly listening = new Set<Listening>();
  private readonly tells: ((state: 'up' | 'down') => void)[] = [];
  private line: Line | undefined;
  private isUp = false;
  private isClosed = false;
  private retry: NodeJS.Timeout | undefined;
  /** Registered, or asked for, on the present line. */
  private readonly registered = new Set<Address>();
  private upSinceMs = 0;
  private readonly warned = new Set<string>();
  private nextId = 1;
  private readonly answers = new Map<number, () => void>();

  constructor(options: WsBrokerOptions) {
    this.options = options;
    this.coordinators = new Coordinators(options.address);
  }

  get state(): 'up' | 'down' {
    return this.isUp ? 'up' : 'down';
  }

  async open(): Promise<void> {
    try {
      await this.connect(await this.dialOnce());
    } catch (error) {
      if (!this.options.patient || isRefusal(error)) throw error;
      this.later(error);
    }
  }

  async listen(address: Address, handle: (messages: readonly Uint8Array[]) => void | Promise<void>): Promise<Listener> {
    if (this.isClosed) throw new BrokerUnavailableError('the broker was closed');
    const entry: Listening = { address, inbox: new Inbox(handle) };
    this.listening.add(entry);
    // On a line that is not there yet, or breaks meanwhile, it is registered when that is.
    if (this.line && this.isUp) await this.register(this.line, address).catch(() => undefined);
    if (this.isClosed) {
      this.listening.delete(entry);
      throw new BrokerUnavailableError('the broker was closed');
    }
    return {
      close: () => {
        if (this.listening.delete(entry)) this.unregister(address);
        return entry.inbox.close();
      },
    };
  }

  send(address: Address, chunks: readonly Uint8Array[]): Promise<void> {
    if (!this.line || !this.isUp) {
      return Promise.reject(new BrokerUnavailableError(this.isClosed ? 'the broker was closed' : 'there is no line to the coordinator'));
    }
    return this.line.send(address, chunks);
  }

  onState(tell: (state: 'up' | 'down') => void): void {
    this.tells.push(tell);
  }

  async close(): Promise<void> {
    const wasClosed = this.isClosed;
    this.isClosed = true;
    clearTimeout(this.retry);
    const { line } = this;
    this.line = undefined;
    // What was sent last (a goodbye) is behind nothing but itself: closing comes after it.
    line?.link.close(1000, 'the worker closes');
    this.isUp = false;
    if (!wasClosed) for (const tell of this.tells) tell('down');
    await Promise.all([...this.listening].map(({ inbox }) => inbox.close()));
    this.listening.clear();
  }

  // ---- the line ----

  private dialOnce(): Promise<WebSocket> {
    const token = this.options.token?.();
    return this.coordinators.dial({ path, ...(token !== undefined && { token }) });
  }

  private async connect(socket: WebSocket): Promise<void> {
    if (this.isClosed) {
      socket.terminate();
      return;
    }
    const { pingMs } = this.options;
    const link = openLink(socket, {
      messageBytesMax,
      highWaterBytes,
      ...(pingMs !== undefined && { pingMs }),
      onMessage: (bytes) => this.hear(line, bytes),
      onClose: (why) => this.lost(line, why),
    });
    const line = new Line(link, { messageBytesMax: this.maxMessageBytes, highWaterBytes });
    this.line = line;
    this.registered.clear();
    do {
      await Promise.all(this.unregistered().map((address) => this.register(line, address)));
      await this.ask(line, (probe) => ({ say: 'probe', probe }));
    } while (this.unregistered().length > 0);
    if (this.line !== line) throw new BrokerUnavailableError('the line broke');
    this.isUp = true;
    this.upSinceMs = performance.now();
    if (this.warned.size > 0) this.options.onWarning?.('the coordinator is there again');
    this.warned.clear();
    for (const tell of this.tells) tell('up');
  }

  private unregistered(): Address[] {
    const addresses = new Set([...this.listening].map(({ address }) => address));
    return [...addresses].filter((address) => !this.registered.has(address));
  }

  private register(line: Line, address: Address): Promise<void> {
    this.registered.add(address);
    return this.ask(line, (id) => ({ say: 'listen', address, id }));
  }

  private unregister(address: Address): void {
    if ([...this.listening].some((other) => other.address === address) || !this.registered.delete(address)) return;
    this.line?.link.send(control({ say: 'unlisten', address }));
  }

  private ask(line: Line, word: (id: number) => Control): Promise<void> {
    if (!line.link.isOpen) return Promise.reject(new BrokerUnavailableError('the line broke'));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.answers.delete(id);
        line.link.close(1002, 'no answer');
        reject(new BrokerUnavailableError(`the coordinator did not answer within ${sendDeadlineMsDefault} ms`));
      }, sendDeadlineMsDefault);
      timer.unref();
      this.answers.set(id, () => {
        clearTimeout(timer);
        this.answers.delete(id);
        if (line.link.isOpen) resolve();
        else reject(new BrokerUnavailableError('the line broke'));
      });
      line.link.send(control(word(id)));
    });
  }

  private hear(line: Line, bytes: Uint8Array): void {
    if (this.line !== line) return;
    const envelope = openEnvelope(bytes);
    if (!envelope) return line.link.close(1002, 'a message without an address');
    if ('control' in envelope) {
      const word = envelope.control;
      if (word.say === 'listening') this.answers.get(word.id)?.();
      else if (word.say === 'probed') this.answers.get(word.probe)?.();
      return;
    }
    for (const { address, inbox } of this.listening) if (address === envelope.address) inbox.push(envelope.message, line);
  }

  private lost(line: Line, why: string): void {
    if (this.line !== line) return;
    this.line = undefined;
    const wasUp = this.isUp;
    this.isUp = false;
    for (const answer of [...this.answers.values()]) answer();
    if (this.isClosed || !wasUp) return;
    if (performance.now() - this.upSinceMs >= lastedMs) this.redial.reset();
    this.warn(`lost the line to the coordinator: ${why}`);
    for (const tell of this.tells) tell('down');
    this.later(undefined);
  }

  private later(error: unknown): void {
    if (this.isClosed) return;
    const known = error instanceof ShoalError ? error : undefined;
    if (error && !(error instanceof StandbyError)) this.warn(known ? textOf(known) : String(error));
    const pauseMs = isRefusal(error) ? this.redial.nextMs(refusedPauseMs) : this.redial.afterMs(error);
    this.retry = setTimeout(() => void this.again(), pauseMs);
  }

  private async again(): Promise<void> {
    try {
      await this.connect(await this.dialOnce());
    } catch (error) {
      this.later(error);
    }
  }

  /** Once for each reason until it is up again, so that a coordinator that is away does not fill the log. */
  private warn(line: string): void {
    if (this.warned.has(line) || this.warned.size >= warningsMax) return;
    this.warned.add(line);
    this.options.onWarning?.(printableLine(line));
  }
}

function textOf({ message, why, hint }: ShoalError): string {
  return `${message}${why ? ` (${why})` : ''}${hint ? `; try ${hint.replaceAll('\n', ', ')}` : ''}`;
}
