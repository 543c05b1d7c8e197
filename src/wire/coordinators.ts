/**
 * The coordinators that a client or a worker was told of, one of which leads. A round asks them until one opens a line: first
 * whoever led last, then the others, each a little after the one before, so that a machine that swallows everything costs
 * a moment and not a deadline. Whoever stands by points to the leader, which is asked next (N15).
 *
 * A pointer is followed only to a plain address, and never from TLS to the clear: it is handed the same token.
 */
import type { WebSocket } from 'ws';
import { ShoalError } from '../lib/errors.ts';
import { type DialOptions, dial, isWorthAnotherTry, plainUrl, StandbyError } from './dial.ts';

const staggerMs = 300;
/** Pointers followed in one round: who leads may change meanwhile, but not for ever. */
const pointersMax = 4;

type RoundOptions = Omit<DialOptions, 'address' | 'signal'>;

export class Coordinators {
  readonly #addresses: readonly string[];
  readonly #dial: (options: DialOptions) => Promise<WebSocket>;
  #leader: string | undefined;

  /** `addresses`: with commas between. */
  constructor(addresses: string, dialOne = dial) {
    this.#addresses = [...new Set(addresses.split(',').map((address) => address.trim().replace(/\/+$/, '')))];
    this.#dial = dialOne;
  }

  /** One round. Rejects as `dial` does; if several were asked, with what is worth another try, if anything is. */
  dial(options: RoundOptions): Promise<WebSocket> {
    const first = this.#leader;
    const others = this.#addresses.filter((address) => address !== first);
    const round = new Round(first === undefined ? others : [first, ...others], options, this.#dial);
    return round.result.then(
      ({ socket, address }) => {
        this.#leader = address;
        return socket;
      },
      (error: unknown) => {
        this.#leader = undefined;
        throw error;
      },
    );
  }
}

interface Found {
  socket: WebSocket;
  address: string;
}

class Round {
  readonly result: Promise<Found>;
  readonly #options: RoundOptions;
  readonly #dial: (options: DialOptions) => Promise<WebSocket>;
  readonly #next: string[];
  readonly #asked = new Set<string>();
  readonly #errors: { address: string; error: unknown }[] = [];
  readonly #over = new AbortController();
  #resolve!: (found: Found) => void;
  #reject!: (error: unknown) => void;
  #running = 0;
  #pointers = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(addresses: readonly string[], options: RoundOptions, dialOne: (options: DialOptions) => Promise<WebSocket>) {
    this.#options = options;
    this.#dial = dialOne;
    this.#next = [...addresses];
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#askNext();
  }

  #askNext(): void {
    clearTimeout(this.#timer);
    const address = this.#next.shift();
    if (address !== undefined) void this.#ask(address);
    else if (this.#running === 0) return this.#fail();
    if (this.#next.length > 0) this.#timer = setTimeout(() => this.#askNext(), staggerMs);
  }

  async #ask(address: string): Promise<void> {
    this.#asked.add(address);
    this.#running++;
    try {
      const socket = await this.#dial({ ...this.#options, address, signal: this.#over.signal });
      this.#won({ socket, address });
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#running--;
      this.#errors.push({ address, error });
      const leader = error instanceof StandbyError ? this.#pointer(address, error.leader) : undefined;
      if (leader !== undefined) this.#next.unshift(leader);
      this.#askNext();
    }
  }

  #won(found: Found): void {
    if (this.#over.signal.aborted) return void found.socket.terminate();
    clearTimeout(this.#timer);
    this.#over.abort();
    this.#resolve(found);
  }

  #pointer(from: string, leader: string | undefined): string | undefined {
    const url = plainUrl(leader ?? '');
    if (!url || (plainUrl(from)?.protocol === 'https:' && url.protocol !== 'https:')) return undefined;
    const address = `${url.protocol}//${url.host}`;
    if (this.#asked.has(address) || ++this.#pointers > pointersMax) return undefined;
    const waiting = this.#next.indexOf(address);
    if (waiting >= 0) this.#next.splice(waiting, 1);
    return address;
  }

  #fail(): void {
    this.#over.abort();
    const [only] = this.#errors;
    if (this.#errors.length === 1) return this.#reject(only!.error);
    const hopeful = this.#errors.filter(({ error }) => isWorthAnotherTry(error));
    // Somebody stands by: it will not be long.
    const standby = hopeful.find(({ error }) => error instanceof StandbyError);
    if (standby) return this.#reject(standby.error);
    if (hopeful.length === 0) return this.#reject(only!.error);
    const why = this.#errors.map(({ address, error }) => `${address}: ${(error as ShoalError).why ?? (error as Error).message}`).join('; ');
    const addresses = this.#errors.map(({ address }) => address).join(', ');
    this.#reject(new ShoalError('SH3001', `cannot reach a coordinator at ${addresses}`, { why, hint: 'shoal doctor', cause: only!.error }));
  }
}
