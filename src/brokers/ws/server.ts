/**
 * `ws:` — the coordinator's end: workers dial its port, and each line carries the messages of the addresses that its worker
 * listens on. Nothing is kept for an address that nobody listens on at the moment, and nothing survives a line: the protocol
 * above repeats what matters.
 *
 * 1. An address belongs to the line that registered it last: a worker that comes back before its old line was found to be
 *    dead is reached on the new one.
 * 2. Workers may listen on `worker.*` and speak to `hello` and `coordinator.*`; a line that does anything else is closed.
 * 3. Who waits on a closed line is told to `onGone`: the coordinator need not wait for the lease (H12).
 */
import type { WebSocket } from 'ws';
import { messageBytesMax } from '../../core/limits.ts';
import { printableLine } from '../../lib/printable.ts';
import { openLink } from '../../wire/link.ts';
import { type Address, type Broker, BrokerUnavailableError, type Listener } from '../broker.ts';
import { type Control, control, openEnvelope } from './envelope.ts';
import { Inbox } from './inbox.ts';
import { Line } from './line.ts';

export interface WsBrokerServerOptions {
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
  /** Bytes that may wait for one worker before sends wait too. */
  highWaterBytes?: number;
  /** By then a send that waits gives up; default 10 s. */
  sendDeadlineMs?: number;
  /** More lines at once are turned away; default 10 000. */
  linesMax?: number;
  pingMs?: number;
  stalledMs?: number;
}

interface WorkerLine {
  line: Line;
  who: string;
  addresses: Set<Address>;
}

const taken: Promise<void> = Promise.resolve();
/** One worker listens on one address, and while it changes its incarnation on two. */
const addressesPerLineMax = 64;

export class WsBrokerServer implements Broker {
  readonly maxMessageBytes = messageBytesMax - 1024;
  private readonly options: WsBrokerServerOptions;
  private readonly highWaterBytes: number;
  private readonly inboxes = new Map<Address, Inbox[]>();
  private readonly lines = new Set<WorkerLine>();
  private readonly routes = new Map<Address, WorkerLine>();
  private readonly goneTells: ((addresses: readonly string[]) => void)[] = [];
  private readonly stateTells: ((state: 'up' | 'down') => void)[] = [];
  private isClosed = false;

  constructor(options: WsBrokerServerOptions = {}) {
    this.options = options;
    this.highWaterBytes = options.highWaterBytes ?? 8 * 1024 * 1024;
  }

  get state(): 'up' | 'down' {
    return this.isClosed ? 'down' : 'up';
  }

  /** Lines that are open. */
  get lineCount(): number {
    return this.lines.size;
  }

  /** Takes over an open socket. `who`: for the log, where it comes from. */
  accept(socket: WebSocket, who: string): void {
    const { linesMax = 10_000, sendDeadlineMs, pingMs, stalledMs } = this.options;
    if (this.isClosed || this.lines.size >= linesMax) return turnAway(socket);
    const { maxMessageBytes, highWaterBytes } = this;
    const link = openLink(socket, {
      messageBytesMax,
      highWaterBytes,
      ...(pingMs !== undefined && { pingMs }),
      ...(stalledMs !== undefined && { stalledMs }),
      onMessage: (bytes) => this.hear(worker, bytes),
      onClose: (why) => this.gone(worker, why),
    });
    const line = new Line(link, { messageBytesMax: maxMessageBytes, highWaterBytes, sendDeadlineMs });
    const worker: WorkerLine = { line, who, addresses: new Set() };
    this.lines.add(worker);
  }

  /** Leading is over: workers are to look for whoever leads now. It is no news of them, so `onGone` is not told. */
  hangUp(): void {
    const lines = [...this.lines];
    this.lines.clear();
    this.routes.clear();
    for (const { line } of lines) line.link.close(1012, 'this coordinator does not lead any more');
  }

  /** The addresses that a line listened on when it closed. */
  onGone(tell: (addresses: readonly string[]) => void): void {
    this.goneTells.push(tell);
  }

  listen(address: Address, handle: (messages: readonly Uint8Array[]) => void | Promise<void>): Promise<Listener> {
    if (this.isClosed) return Promise.reject(closedError());
    const inbox = new Inbox(handle);
    this.inboxes.set(address, [...(this.inboxes.get(address) ?? []), inbox]);
    return Promise.resolve({
      close: () => {
        const others = (this.inboxes.get(address) ?? []).filter((other) => other !== inbox);
        if (others.length > 0) this.inboxes.set(address, others);
        else this.inboxes.delete(address);
        return inbox.close();
      },
    });
  }

  send(address: Address, chunks: readonly Uint8Array[]): Promise<void> {
    if (this.isClosed) return Promise.reject(closedError());
    const worker = this.routes.get(address);
    if (!worker) return taken;
    return worker.line.send(address, chunks);
  }

  onState(tell: (state: 'up' | 'down') => void): void {
    this.stateTells.push(tell);
  }

  async close(): Promise<void> {
    const wasOpen = !this.isClosed;
    this.isClosed = true;
    for (const { line } of [...this.lines]) line.link.close(1012, 'the coordinator stops');
    if (wasOpen) for (const tell of this.stateTells) tell('down');
    const closing = [...this.inboxes.values()].flat().map((inbox) => inbox.close());
    this.inboxes.clear();
    await Promise.all(closing);
  }

  private hear(worker: WorkerLine, bytes: Uint8Array): void {
    const envelope = openEnvelope(bytes);
    if (!envelope) return this.refuse(worker, 'a message without an address');
    if ('control' in envelope) return this.obey(worker, envelope.control);
    const { address, message } = envelope;
    if (address !== 'hello' && !address.startsWith('coordinator.')) return this.refuse(worker, `workers do not speak to ${address}`);
    for (const inbox of this.inboxes.get(address) ?? []) inbox.push(message, worker.line);
  }

  private obey(worker: WorkerLine, word: Control): void {
    const { link } = worker.line;
    switch (word.say) {
      case 'listen':
        if (!word.address.startsWith('worker.')) return this.refuse(worker, `it may not listen on ${word.address}`);
        if (worker.addresses.size >= addressesPerLineMax) return this.refuse(worker, 'it listens on too many addresses');
        this.routes.get(word.address)?.addresses.delete(word.address);
        worker.addresses.add(word.address);
        this.routes.set(word.address, worker);
        return link.send(control({ say: 'listening', id: word.id }));
      case 'unlisten':
        if (!worker.addresses.delete(word.address)) return;
        this.routes.delete(word.address);
        return;
      case 'probe':
        return link.send(control({ say: 'probed', probe: word.probe }));
      default:
        return this.refuse(worker, 'a word that makes no sense');
    }
  }

  private refuse(worker: WorkerLine, why: string): void {
    this.warn(`the line of ${worker.who} is closed: ${why}`);
    worker.line.link.close(1008, why);
  }

  private gone(worker: WorkerLine, why: string): void {
    if (!this.lines.delete(worker)) return;
    for (const address of worker.addresses) this.routes.delete(address);
    // Our own stop is no news of the workers.
    if (worker.addresses.size === 0 || this.isClosed) return;
    const addresses = [...worker.addresses];
    this.warn(`lost the line to ${addresses.join(', ')}: ${why}`);
    for (const tell of this.goneTells) tell(addresses);
  }

  /** Addresses and reasons are the peer's words (X13). */
  private warn(line: string): void {
    this.options.onWarning?.(printableLine(line));
  }
}

function turnAway(socket: WebSocket): void {
  socket.on('error', () => undefined);
  socket.close(1013, 'no more lines');
  socket.terminate();
}

function closedError(): BrokerUnavailableError {
  return new BrokerUnavailableError('the broker was closed');
}
