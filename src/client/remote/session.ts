/**
 * A session over the network: one line to the coordinator at a time, dialled anew whenever it breaks. It loses what was
 * said on a broken line and says so (`onReset`); the Connection above says again what was not answered.
 *
 * 1. Opening tries `attempts` times; a refusal (wrong token, another protocol) ends it at once.
 * 2. Once open it comes back by itself, for as long as it takes, and tells through `onState` when that takes long.
 * 3. A refusal on coming back ends the session: nothing that is tried again would help.
 * 4. Where nothing waits for it (`holdProcess`), neither its line nor its tries to come back keep the process.
 */
import type { WebSocket } from 'ws';
import { messageBytesMax, unreadAlongMax } from '../../core/limits.ts';
import type { FromClient, Refusal, Session, ToClient } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import type { Secret } from '../../lib/secret.ts';
import { Coordinators } from '../../wire/coordinators.ts';
import { holdProcess, isWorthAnotherTry, Redial } from '../../wire/dial.ts';
import { decodeMessage, encodeMessage } from '../../wire/frame.ts';
import { type Link, openLink } from '../../wire/link.ts';

export interface RemoteOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`; several with commas between: whichever leads. */
  address: string;
  token: Secret | undefined;
  /** Where the address came from, for errors: `SHOAL_ADDRESS (environment)`. */
  from?: string | undefined;
  /** Tries before opening gives up; default 5, within 10 s. */
  attempts?: number;
  /** The line has been away for `noticeMs`, and why; later that it is back. */
  onState?: (state: 'away' | 'back', why: string) => void;
  noticeMs?: number;
}

const path = '/api/v1/stream';
/** Of RFC 6455: what we said makes no sense, is not allowed or is too large. Saying it again would not help. */
const refusedCodes = new Set([1002, 1003, 1008, 1009]);
/** Between the attempts to open, ms. */
const pausesMs = [500, 1_000, 2_500, 5_000];

export async function openRemoteSession(options: RemoteOptions): Promise<RemoteSession> {
  const attempts = options.attempts ?? pausesMs.length + 1;
  const startMs = performance.now();
  const coordinators = new Coordinators(options.address);
  for (let attempt = 1; ; attempt++) {
    try {
      return new RemoteSession(options, coordinators, await dialOnce(coordinators, options));
    } catch (error) {
      if (!isWorthAnotherTry(error)) throw withFrom(error, options);
      if (attempt >= attempts) throw unreachable(options, error, attempt, performance.now() - startMs);
      await new Promise((resolve) => setTimeout(resolve, pausesMs[attempt - 1] ?? pausesMs.at(-1)));
    }
  }
}

function dialOnce(coordinators: Coordinators, { token }: RemoteOptions): Promise<WebSocket> {
  return coordinators.dial({ path, ...(token !== undefined && { token }) });
}

function unreachable({ address, from }: RemoteOptions, last: unknown, attempts: number, tookMs: number): ShoalError {
  const { why, message, hint } = last as ShoalError;
  const tries = attempts === 1 ? '' : `, ${attempts} attempts in ${Math.round(tookMs / 1000)} s`;
  return new ShoalError('SH3001', `cannot reach the coordinator at ${address}`, {
    why: `${why ?? message}${tries}`,
    from,
    hint: hint ?? 'shoal doctor, or run without a cluster: shoal run <file>',
    cause: last,
  });
}

function notUnderstood(address: string, why: string): ShoalError {
  return new ShoalError('SH3007', `the coordinator at ${address} has closed the line for good`, {
    why,
    hint: 'run the same release of shoal on both sides; if they are, please report it',
  });
}

function withFrom(error: unknown, { from }: RemoteOptions): unknown {
  if (!(error instanceof ShoalError) || error.from !== undefined || from === undefined) return error;
  const { code, message, why, hint } = error;
  return new ShoalError(code, message, { why, hint, from, cause: error });
}

class RemoteSession implements Session {
  readonly resets = true;
  onMessage: (message: ToClient) => void = () => undefined;
  onClose: (error: Refusal) => void = () => undefined;
  onReset: () => void = () => undefined;
  readonly #options: RemoteOptions;
  readonly #coordinators: Coordinators;
  readonly #redial = new Redial();
  #link: Link | undefined;
  #socket: WebSocket | undefined;
  #holdsProcess = true;
  #isOver = false;
  #notice: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isAway = false;
  /** Readers that are done with: told with the next submission, if that comes at once. */
  readonly #unread: number[] = [];

  constructor(options: RemoteOptions, coordinators: Coordinators, socket: WebSocket) {
    this.#options = options;
    this.#coordinators = coordinators;
    this.#link = this.#open(socket);
  }

  /** Lost while the line is away: the reset says everything again. */
  send(message: FromClient): void {
    if (!this.#link) return;
    if (message.kind === 'unread' && this.#unread.length < unreadAlongMax) return this.#unreadSoon(message.reader);
    if (this.#unread.length === 0) return this.#link.send(encodeMessage(message));
    if (message.kind === 'submit') return this.#link.send(encodeMessage({ ...message, unread: this.#unread.splice(0) }));
    this.#sayUnread();
    this.#link.send(encodeMessage(message));
  }

  #unreadSoon(reader: number): void {
    this.#unread.push(reader);
    if (this.#unread.length === 1) setImmediate(() => this.#sayUnread());
  }

  #sayUnread(): void {
    for (const reader of this.#unread.splice(0)) this.#link?.send(encodeMessage({ kind: 'unread', reader }));
  }

  holdProcess(holds: boolean): void {
    this.#holdsProcess = holds;
    if (this.#socket) holdProcess(this.#socket, holds);
    if (holds) this.#retry?.ref();
    else this.#retry?.unref();
  }

  close(): void {
    if (this.#isOver) return;
    this.#end();
    // What was said last goes out before the process ends.
    if (this.#socket) holdProcess(this.#socket, true);
    this.#sayUnread();
    this.#link?.close(1000, 'the client closes');
    this.#link = undefined;
  }

  #open(socket: WebSocket): Link {
    this.#socket = socket;
    holdProcess(socket, this.#holdsProcess);
    const link = openLink(socket, {
      messageBytesMax,
      isOrdered: true,
      onMessage: (bytes) => {
        if (this.#link === link) this.#receive(bytes);
      },
      onClose: (why, code) => {
        if (this.#link !== link) return;
        if (code !== undefined && refusedCodes.has(code)) this.#refused(notUnderstood(this.#options.address, why));
        else this.#lost(why);
      },
    });
    return link;
  }

  #receive(bytes: Uint8Array): void {
    let message: ToClient;
    try {
      message = decodeMessage<ToClient>(bytes);
    } catch (error) {
      this.#link?.close(1002, (error as Error).message);
      return;
    }
    this.onMessage(message);
  }

  #lost(why: string): void {
    this.#link = undefined;
    this.#socket = undefined;
    // The coordinator closes all readers of a line that broke.
    this.#unread.length = 0;
    if (this.#isOver) return;
    this.#notice ??= setTimeout(() => {
      this.#isAway = true;
      this.#options.onState?.('away', why);
    }, this.#options.noticeMs ?? 10_000).unref();
    this.#later(this.#redial.nextMs());
  }

  #later(ms: number): void {
    this.#retry = setTimeout(() => void this.#again(), ms);
    if (!this.#holdsProcess) this.#retry.unref();
  }

  async #again(): Promise<void> {
    this.#retry = undefined;
    try {
      const socket = await dialOnce(this.#coordinators, this.#options);
      if (this.#isOver) socket.terminate();
      else this.#back(socket);
    } catch (error) {
      if (this.#isOver) return;
      if (isWorthAnotherTry(error)) this.#later(this.#redial.afterMs(error));
      else this.#refused(withFrom(error, this.#options));
    }
  }

  #back(socket: WebSocket): void {
    this.#redial.reset();
    clearTimeout(this.#notice);
    this.#notice = undefined;
    this.#link = this.#open(socket);
    if (this.#isAway) this.#options.onState?.('back', '');
    this.#isAway = false;
    this.onReset();
  }

  #refused(error: unknown): void {
    this.#end();
    const { code, message, why, hint } = error as ShoalError;
    this.onClose({
      code: code ?? 'SH3001',
      message,
      ...(why !== undefined && { why }),
      ...(hint !== undefined && { hint }),
    });
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#notice);
    clearTimeout(this.#retry);
  }
}
