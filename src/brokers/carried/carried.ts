/**
 * A Broker made of a Carrier: whatever a message system must not be asked for is done here, alike for all of them.
 *
 * 1. `up` means that a probe went round on the present connection, after all that is listened on was subscribed there (N01).
 * 2. While it is down sends reject at once, and it is dialled anew with full jitter: whoever sends repeats what matters.
 * 3. A message is heard whole, once, and only if the cluster's secret says that it comes from the cluster; what is not
 *    heard is counted and told. Large messages travel in parts; maxMessageBytes is the same whatever the carrier takes.
 * 4. Nothing grows without bound: sends wait for room (`send-room.ts`), parts for each other (`assembly.ts`).
 * 5. Settings that a server must not have (`refuse`) keep it from opening; at a later connection they are told and tried
 *    again, since an operator may mend them.
 */
import { randomBytes } from 'node:crypto';
import { messageBytesMax } from '../../core/limits.ts';
import { ShoalError } from '../../lib/errors.ts';
import { printableLine } from '../../lib/printable.ts';
import type { Secret } from '../../lib/secret.ts';
import { Redial } from '../../wire/dial.ts';
import { type Address, type Broker, BrokerUnavailableError, type Listener, MessageTooLargeError } from '../broker.ts';
import type { Carrier, Finding, OpenCarrier } from '../carrier.ts';
import { Assembly } from './assembly.ts';
import { Connection } from './connection.ts';
import { Listening, type OneListener } from './listening.ts';
import { openPayload, overheadBytes, type Refused, refusalPayload, sealPayload, senderBytes, signerOf } from './payload.ts';
import { pulseDefaults } from './pulse.ts';
import { Refusals } from './refusals.ts';
import { Seen } from './seen.ts';
import { SendRoom } from './send-room.ts';
import { addressOf, textWithout, unreachable } from './words.ts';

export interface CarriedOptions {
  open: OpenCarrier;
  url: URL;
  otherHosts?: readonly string[];
  cluster: string;
  /** Messages are signed, and others are not heard. */
  secret?: Secret;
  /** Keeps trying if the server is not there at first, rather than rejecting. Settings that are refused reject in any case. */
  patient?: boolean;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
  probeEveryMs?: number;
  silentMs?: number;
  sendDeadlineMs?: number;
  /** How long the server may leave a publish without an answer. */
  publishDeadlineMs?: number;
  partDeadlineMs?: number;
  sendBytesMax?: number;
}

export interface CarriedBroker extends Broker {
  /** Where it is, without credentials. */
  readonly where: string;
  /** Payloads that were not heard, by what was wrong with them. */
  readonly refused: Readonly<Record<Refused, number>>;
  readonly refusedCount: number;
  /** Of the present connection's server. */
  inspect(): Promise<readonly Finding[]>;
}

const openMsMax = 10_000;
/** Of one payload of 4 MiB at 70 KB/s. */
const publishMsDefault = 60_000;
const redialMsMax = 3_000;
const lastedMs = 5_000;
const refusedPauseMs = 5_000;
/** Different warnings in a row; what comes beyond them is not told. */
const warningsMax = 20;

/** Rejects with SH3103 if the server is not there, unless it is to be patient, and with SH3104 for settings that do harm. */
export async function openCarried(options: CarriedOptions): Promise<CarriedBroker> {
  const broker = new Carried(options);
  await broker.open();
  return broker;
}

class Carried implements CarriedBroker {
  readonly maxMessageBytes = messageBytesMax - 1024;
  private readonly options: CarriedOptions;
  private readonly id = randomBytes(senderBytes);
  private readonly probeInbox = `probe.${this.id.toString('hex')}`;
  private readonly signer;
  private readonly textOf: (error: unknown) => string;
  readonly where: string;
  private readonly redial = new Redial(Math.random, redialMsMax);
  private readonly listening = new Map<Address, Listening>();
  private readonly tells: ((state: 'up' | 'down') => void)[] = [];
  private readonly refusals: Refusals;
  private readonly seen = new Seen();
  private readonly assembly: Assembly;
  private readonly room: SendRoom;
  private connection: Connection | undefined;
  private isUp = false;
  private upSinceMs = 0;
  private isClosed = false;
  private retry: NodeJS.Timeout | undefined;
  private sequence = 0;
  private messageNumber = 0;
  private readonly warned = new Set<string>();
  private hasToldFindings = false;

  constructor(options: CarriedOptions) {
    this.options = options;
    const { url, otherHosts, secret, cluster } = options;
    this.signer = signerOf(secret, cluster);
    this.textOf = textWithout(url);
    this.where = addressOf(url, otherHosts);
    this.refusals = new Refusals(secret !== undefined, (line) => this.say(line));
    this.assembly = new Assembly({
      messageBytesMax: this.maxMessageBytes,
      bytesMax: 2 * messageBytesMax,
      deadlineMs: options.partDeadlineMs ?? 60_000,
      onGivenUp: (why) => this.warn(why),
    });
    const sendBytesMax = options.sendBytesMax ?? 64 * 1024 * 1024;
    this.room = new SendRoom({
      bytesMax: sendBytesMax,
      waitingBytesMax: sendBytesMax,
      deadlineMs: options.sendDeadlineMs ?? 10_000,
    });
  }

  get state(): 'up' | 'down' {
    return this.isUp ? 'up' : 'down';
  }

  get refused(): Readonly<Record<Refused, number>> {
    return this.refusals.counts;
  }

  /** Without those that the carrier itself may have repeated. */
  get refusedCount(): number {
    const { 'seen before': _repeated, ...others } = this.refusals.counts;
    return Object.values(others).reduce((sum, count) => sum + count, 0);
  }

  async open(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      if (!this.options.patient || isFinal(error)) {
        this.isClosed = true;
        throw error;
      }
      this.later(error);
    }
  }

  async inspect(): Promise<readonly Finding[]> {
    if (!this.connection || !this.isUp) throw this.unavailable();
    return this.connection.carrier.inspect();
  }

  async listen(address: Address, handle: (messages: readonly Uint8Array[]) => void | Promise<void>): Promise<Listener> {
    if (this.isClosed) throw this.unavailable();
    const listening = this.listening.get(address) ?? new Listening(address);
    this.listening.set(address, listening);
    const listener = listening.add(handle);
    // On a connection that is not there yet, or breaks meanwhile, it is subscribed when that is.
    if (this.connection && this.isUp) await this.connection.subscribe(address).catch(() => undefined);
    if (this.isClosed) throw this.unavailable();
    return { close: () => this.unlisten(listening, listener) };
  }

  send(address: Address, chunks: readonly Uint8Array[]): Promise<void> {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (bytes > this.maxMessageBytes) return Promise.reject(new MessageTooLargeError(bytes, this.maxMessageBytes));
    if (!this.isUp) return Promise.reject(this.unavailable());
    const number = (this.messageNumber = (this.messageNumber + 1) >>> 0);
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        this.room.leave(bytes);
        if (error) reject(error);
        else resolve();
      };
      const go = (): void => {
        if (this.connection) this.connection.push(address, { kind: 'message', number, chunks, bytes, settle });
        else settle(this.unavailable());
      };
      this.room.enter(bytes, go, reject);
    });
  }

  onState(tell: (state: 'up' | 'down') => void): void {
    this.tells.push(tell);
  }

  async close(): Promise<void> {
    const wasClosed = this.isClosed;
    this.isClosed = true;
    clearTimeout(this.retry);
    if (!this.isUp) this.connection?.end('the broker was closed');
    this.isUp = false;
    if (!wasClosed) for (const tell of this.tells) tell('down');
    const { connection } = this;
    await connection?.close();
    this.room.refuseAll(this.unavailable());
    await Promise.all([...this.listening.values()].map((listening) => listening.close()));
    this.listening.clear();
  }

  // ---- the connection ----

  private async connect(): Promise<void> {
    const { open, url, otherHosts, cluster, probeEveryMs, silentMs, publishDeadlineMs } = { ...pulseDefaults, ...this.options };
    let connection: Connection | undefined;
    let lostBefore: string | undefined;
    const onLost = (why: string): void => {
      lostBefore ??= this.textOf(why);
      connection?.end(lostBefore);
    };
    const carrier = await this.attempt(() =>
      within(open({ url, cluster, onLost, onWarning: (line) => this.warn(this.textOf(line)), ...(otherHosts && { otherHosts }) }), dispose),
    );
    if (this.isClosed) {
      dispose(carrier);
      throw this.unavailable();
    }
    let over: (why: string) => void = () => undefined;
    const whenOver = new Promise<never>((_resolve, reject) => {
      over = (why) => reject(new Error(why));
    });
    whenOver.catch(() => undefined);
    connection = new Connection({
      carrier,
      probeInbox: this.probeInbox,
      probeEveryMs,
      silentMs,
      publishDeadlineMs: publishDeadlineMs ?? publishMsDefault,
      roomBytes: carrier.payloadBytesMax - overheadBytes(this.signer),
      seal: (inbox, pieces) => sealPayload(this.signer, this.id, this.sequence++, inbox, pieces),
      textOf: this.textOf,
      hear: (inbox, payloads) => this.hear(inbox, payloads),
      onOver: (why) => {
        over(why);
        this.lost(connection!, why);
      },
    });
    if (lostBefore !== undefined) connection.end(lostBefore);
    this.connection = connection;
    try {
      await this.attempt(() => Promise.race([whenOver, within(this.ready(connection!), () => undefined)]));
    } catch (error) {
      connection.end(error instanceof ShoalError && error.why ? error.why : this.textOf(error));
      if (this.connection === connection) this.connection = undefined;
      throw error;
    }
    if (this.isClosed) return void (await connection.close());
    this.isUp = true;
    // For those who came after the last look at who listens, and saw that it was not up yet.
    void this.subscribeAll(connection).catch(() => undefined);
    this.upSinceMs = performance.now();
    if (this.warned.size > 0) this.say(`the broker at ${this.where} is there again`);
    this.warned.clear();
    for (const tell of this.tells) tell('up');
  }

  private async ready(connection: Connection): Promise<void> {
    this.judge(await connection.carrier.inspect());
    // Together: on a full server what lies in one inbox may have to be heard before there is room for another.
    await Promise.all([connection.subscribe(this.probeInbox), this.subscribeAll(connection)]);
    await connection.pulse.start();
    await this.subscribeAll(connection);
  }

  private async subscribeAll(connection: Connection): Promise<void> {
    await Promise.all([...this.listening.keys()].map((address) => connection.subscribe(address)));
  }

  private judge(findings: readonly Finding[]): void {
    const refused = findings.find(({ level }) => level === 'refuse');
    if (refused) {
      throw new ShoalError('SH3104', `the broker at ${this.where} would lose messages: ${refused.setting}`, {
        why: refused.meaning,
        hint: refused.fix,
      });
    }
    if (this.hasToldFindings) return;
    this.hasToldFindings = true;
    for (const { level, setting, meaning, fix } of findings) {
      if (level === 'warning') this.say(`the broker at ${this.where}: ${setting}: ${meaning}${fix ? `; ${fix}` : ''}`);
    }
  }

  private async attempt<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw unreachable(error, this.options.url, this.options.otherHosts);
    }
  }

  private lost(connection: Connection, why: string): void {
    if (this.connection !== connection) return;
    this.connection = undefined;
    const wasUp = this.isUp;
    this.isUp = false;
    if (this.isClosed || !wasUp) return;
    this.room.refuseAll(this.unavailable());
    if (performance.now() - this.upSinceMs >= lastedMs) this.redial.reset();
    this.warn(`lost the broker at ${this.where}: ${why}`);
    for (const tell of this.tells) tell('down');
    this.later(undefined);
  }

  private later(error: unknown): void {
    if (this.isClosed) return;
    if (error) this.warn(wordsOf(error));
    this.retry = setTimeout(() => void this.again(), this.redial.nextMs(isFinal(error) ? refusedPauseMs : 0));
  }

  private async again(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      this.later(error);
    }
  }

  private async unlisten(listening: Listening, listener: OneListener): Promise<void> {
    const { address } = listening;
    const isLast = listening.remove(listener) && listening.isEmpty && this.listening.get(address) === listening;
    if (!isLast) return listener.close();
    this.listening.delete(address);
    const closed = listener.close();
    // Its server need not answer: nothing is heard any more in any case.
    void this.connection?.unsubscribe(address);
    await closed;
  }

  // ---- what arrives ----

  private async hear(inbox: string, payloads: readonly Uint8Array[]): Promise<void> {
    const nowMs = performance.now();
    this.assembly.expire(nowMs);
    const messages: Uint8Array[] = [];
    for (const payload of payloads) this.read(inbox, payload, messages, nowMs);
    if (messages.length > 0) await this.listening.get(inbox)?.hand(messages);
  }

  private read(inbox: string, payload: Uint8Array, messages: Uint8Array[], nowMs: number): void {
    const opened = openPayload(this.signer, inbox, payload);
    if ('refused' in opened) return this.refuse(inbox, opened.refused, opened.sender, nowMs);
    if ('refusal' in opened) {
      if (inbox !== this.probeInbox) return this.refuse(inbox, 'senseless', undefined, nowMs);
      return this.refusals.heardOf(opened.refusal, nowMs);
    }
    const { sender, sequence, frames } = opened;
    if (!this.seen.isNew(sender, inbox, sequence)) return this.refuse(inbox, 'seen before', undefined, nowMs);
    for (const frame of frames) {
      if (frame.kind === 'message') messages.push(frame.bytes);
      else if (frame.kind === 'part') {
        const message = this.assembly.add(sender, inbox, frame, nowMs);
        if (message) messages.push(message);
      } else if (inbox === this.probeInbox) this.connection?.pulse.cameBack(frame.number);
    }
  }

  /** A sender that is told why is no more than a line richer: see `payload.ts`. */
  private refuse(inbox: string, why: Refused, sender: string | undefined, nowMs: number): void {
    const wasTold = this.refusals.refuse(why, inbox, nowMs);
    if (!wasTold || sender === undefined || inbox === this.probeInbox) return;
    const notice = refusalPayload(this.id, why);
    void this.connection?.carrier.publish(`probe.${sender}`, [notice]).catch(() => undefined);
  }

  // ---- words ----

  private unavailable(): BrokerUnavailableError {
    return new BrokerUnavailableError(this.isClosed ? 'the broker was closed' : `there is no connection to ${this.where}`);
  }

  /** Once for each reason until it is up again, so that a broker that is away does not fill the log. */
  private warn(line: string): void {
    if (this.warned.has(line) || this.warned.size >= warningsMax) return;
    this.warned.add(line);
    this.say(line);
  }

  private say(line: string): void {
    this.options.onWarning?.(printableLine(line));
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof ShoalError && error.code !== 'SH3103' && error.code !== 'SH3102';
}

function wordsOf(error: unknown): string {
  if (!(error instanceof ShoalError)) return String(error);
  const { message, why, hint } = error;
  return `${message}${why ? ` (${why})` : ''}${hint ? `; try ${hint.replaceAll('\n', ', ')}` : ''}`;
}

/** What comes too late is disposed of. */
function within<T>(promise: Promise<T>, late: (value: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      reject(new Error(`no answer within ${openMsMax / 1000} s`));
    }, openMsMax);
    promise.then(
      (value) => {
        clearTimeout(timer);
        if (isLate) late(value);
        else resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error as Error);
      },
    );
  });
}

function dispose(carrier: Carrier): void {
  void carrier.close().catch(() => undefined);
}
