/**
 * `memory:` — the broker of one process: an address is a queue of messages for whoever listens there.
 *
 * It is the hot path of `local:` and `inline:`. A send delivers in the next microtask, with no timer between, and
 * what arrives while a handle is under way is handed over together. What it promises beyond the port:
 * 1. Messages to one address arrive in the order of their sends; nothing is lost, repeated or copied
 *    (several chunks are joined), except where nobody listens: then they are dropped, as any broker may.
 *    With `byHand` objects travel as they are, to listeners of objects; bytes and objects do not meet.
 * 2. Several listeners on one address all get each message.
 * 3. A listener's queue holds `queueBytesMax`; a send beyond it pends until there is room, and rejects by
 *    `sendDeadlineMs`. A rejected send is never delivered.
 * 4. A handle that throws gets the same batch once more; after that the batch is dropped.
 * 5. Parties that answer each other for ever from microtasks would starve timers and I/O (Ctrl-C among
 *    them): every `deliveriesInRow`-th delivery waits for the event loop to go round once.
 */
import { concatBytes } from '../lib/bytes.ts';
import { type Address, type Broker, BrokerUnavailableError, type ByHand, type Listener, MessageTooLargeError } from './broker.ts';

export interface MemoryBrokerOptions {
  /** One message. */
  maxMessageBytes?: number;
  /** Waiting for one listener; a single larger message is taken when nothing else waits. */
  queueBytesMax?: number;
  /** A send that finds no room gives up. */
  sendDeadlineMs?: number;
  /** Offer to carry objects: for a process that is all parties. */
  byHand?: boolean;
}

const deliveriesInRow = 64;
const taken: Promise<void> = Promise.resolve();

export function memoryBroker(options: MemoryBrokerOptions = {}): Broker {
  const maxMessageBytes = options.maxMessageBytes ?? 256 * 1024 * 1024;
  const queueBytesMax = options.queueBytesMax ?? 64 * 1024 * 1024;
  const sendDeadlineMs = options.sendDeadlineMs ?? 30_000;
  type Heard = Uint8Array | object;
  const queues = new Map<Address, Queue<Heard>[]>();
  const tells: ((state: 'up' | 'down') => void)[] = [];
  let state: 'up' | 'down' = 'up';

  async function listen<M extends Heard>(address: Address, handle: (messages: readonly M[]) => void | Promise<void>): Promise<Listener> {
    if (state === 'down') throw closedError();
    const queue = new Queue<Heard>(handle as (messages: readonly Heard[]) => void | Promise<void>, queueBytesMax, sendDeadlineMs);
    queues.set(address, [...(queues.get(address) ?? []), queue]);
    return {
      close() {
        const others = (queues.get(address) ?? []).filter((other) => other !== queue);
        if (others.length > 0) queues.set(address, others);
        else queues.delete(address);
        return queue.close();
      },
    };
  }

  function send(address: Address, message: Heard, bytes: number): Promise<void> {
    if (state === 'down') return Promise.reject(closedError());
    if (bytes > maxMessageBytes) return Promise.reject(new MessageTooLargeError(bytes, maxMessageBytes));
    const listening = queues.get(address);
    if (!listening) return taken;
    if (listening.length === 1) return listening[0]!.push(message, bytes);
    return Promise.all(listening.map((queue) => queue.push(message, bytes))).then(() => undefined);
  }

  const byHand: ByHand = { listen, send };
  return {
    maxMessageBytes,
    ...(options.byHand && { byHand }),
    listen,
    send(address, chunks) {
      const message = concatBytes(chunks);
      return send(address, message, message.length);
    },
    get state() {
      return state;
    },
    onState(tell) {
      tells.push(tell);
    },
    async close() {
      const wasUp = state === 'up';
      state = 'down';
      const closing = [...queues.values()].flat().map((queue) => queue.close());
      queues.clear();
      if (wasUp) for (const tell of tells) tell('down');
      await Promise.all(closing);
    },
  };
}

function closedError(): BrokerUnavailableError {
  return new BrokerUnavailableError('the memory broker was closed');
}

interface WaitingSend<M> {
  message: M;
  bytes: number;
  resolve: () => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/** One listener's queue: `waiting` are sends that found no room, in order. */
class Queue<M> {
  private readonly handle: (messages: readonly M[]) => void | Promise<void>;
  private readonly bytesMax: number;
  private readonly deadlineMs: number;
  private messages: M[] = [];
  private bytes = 0;
  private readonly waiting: WaitingSend<M>[] = [];
  /** idle: nothing to do. due: a delivery is scheduled. busy: a handle is under way. */
  private phase: 'idle' | 'due' | 'busy' = 'idle';
  private isClosed = false;
  private deliveries = 0;
  private onIdle: (() => void)[] = [];

  constructor(handle: (messages: readonly M[]) => void | Promise<void>, bytesMax: number, deadlineMs: number) {
    this.handle = handle;
    this.bytesMax = bytesMax;
    this.deadlineMs = deadlineMs;
  }

  push(message: M, bytes: number): Promise<void> {
    if (this.isClosed) return taken;
    if (this.waiting.length > 0 || !this.hasRoom(bytes)) return this.wait(message, bytes);
    this.admit(message, bytes);
    return taken;
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.messages = [];
    this.bytes = 0;
    for (const { timer, reject } of this.waiting.splice(0)) {
      clearTimeout(timer);
      reject(new BrokerUnavailableError('the listener was closed before it took the message'));
    }
    if (this.phase !== 'busy') return taken;
    return new Promise((resolve) => this.onIdle.push(resolve));
  }

  private hasRoom(bytes: number): boolean {
    return this.bytes === 0 || this.bytes + bytes <= this.bytesMax;
  }

  private admit(message: M, bytes: number): void {
    this.messages.push(message);
    this.bytes += bytes;
    if (this.phase === 'idle') this.schedule();
  }

  private wait(message: M, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const send: WaitingSend<M> = {
        message,
        bytes,
        resolve,
        reject,
        timer: setTimeout(() => {
          this.waiting.splice(this.waiting.indexOf(send), 1);
          reject(new BrokerUnavailableError(`the listener took nothing for ${this.deadlineMs} ms`));
          this.admitWaiting();
        }, this.deadlineMs),
      };
      send.timer.unref();
      this.waiting.push(send);
    });
  }

  private admitWaiting(): void {
    while (this.waiting.length > 0 && this.hasRoom(this.waiting[0]!.bytes)) {
      const send = this.waiting.shift()!;
      clearTimeout(send.timer);
      this.admit(send.message, send.bytes);
      send.resolve();
    }
  }

  private schedule(): void {
    this.phase = 'due';
    this.deliveries += 1;
    if (this.deliveries % deliveriesInRow === 0) setImmediate(this.deliver);
    else queueMicrotask(this.deliver);
  }

  private readonly deliver = (): void => {
    if (this.isClosed) {
      this.phase = 'idle';
      return;
    }
    const batch = this.messages;
    this.messages = [];
    this.bytes = 0;
    this.phase = 'busy';
    if (this.waiting.length > 0) this.admitWaiting();
    this.hand(batch, true);
  };

  private hand(batch: readonly M[], again: boolean): void {
    let pending: void | Promise<void>;
    try {
      pending = this.handle(batch);
    } catch {
      this.failed(batch, again);
      return;
    }
    if (pending === undefined) {
      this.done();
      return;
    }
    pending.then(
      () => this.done(),
      () => this.failed(batch, again),
    );
  }

  private failed(batch: readonly M[], again: boolean): void {
    if (again && !this.isClosed) this.hand(batch, false);
    else this.done();
  }

  private done(): void {
    this.phase = 'idle';
    if (this.isClosed) {
      for (const resolve of this.onIdle.splice(0)) resolve();
      return;
    }
    if (this.messages.length > 0) this.schedule();
  }
}
