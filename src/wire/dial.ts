/** Opening a line to a coordinator: one attempt, with what went wrong in words, and how long to wait before the next. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { ShoalError } from '../lib/errors.ts';
import { printableLine } from '../lib/printable.ts';
import type { Secret } from '../lib/secret.ts';
import { frameBytesMax, protocolVersion } from './link.ts';

export interface DialOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`. */
  address: string;
  path: string;
  token?: Secret;
  /** Default 5000. */
  timeoutMs?: number;
  /** Nobody waits for it any more. */
  signal?: AbortSignal;
}

/** SH3006: the coordinator is there and wants to be left alone for a while. */
export class BusyError extends ShoalError {
  override readonly name = 'BusyError';
  readonly retryAfterMs: number;
  constructor(address: string, why: string, retryAfterMs: number) {
    super('SH3006', `the coordinator at ${address} is busy`, { why, hint: 'it is tried again by itself' });
    this.retryAfterMs = retryAfterMs;
  }
}

/** SH3020: a coordinator is there, and another one leads. */
export class StandbyError extends ShoalError {
  override readonly name = 'StandbyError';
  /** Where the leader is reached, if it knows. */
  readonly leader: string | undefined;
  constructor(address: string, leader: string | undefined) {
    const why = leader === undefined ? 'no leader is known yet' : `${leader} leads`;
    super('SH3020', `the coordinator at ${address} stands by`, { why, hint: 'it is tried again by itself' });
    this.leader = leader;
  }
}

/** Nobody there, too busy, or not the leader: that may pass. */
export function isWorthAnotherTry(error: unknown): boolean {
  return error instanceof ShoalError && ['SH3001', 'SH3006', 'SH3020'].includes(error.code);
}

const timeoutMsDefault = 5_000;
const answerBytesMax = 64 * 1024;
const retryAfterMsMax = 60_000;

/**
 * SH3001 (nobody there), SH3002 (not let in), SH3005 (another protocol), SH3006 (busy), SH3020 (it
 * stands by). The socket is paused, so that nothing
 * is said before somebody listens: `openLink` reads on.
 */
export function dial({ address, path, token, timeoutMs = timeoutMsDefault, signal }: DialOptions): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${webSocketUrl(address)}${path}`, {
      headers: { 'shoal-protocol': String(protocolVersion), ...(token !== undefined && { authorization: `Bearer ${token.reveal()}` }) },
      perMessageDeflate: false,
      maxPayload: frameBytesMax,
      followRedirects: false,
    });
    // Of the whole attempt; ws's own counts idle time only, which a peer can stretch byte by byte (X08).
    const deadline = setTimeout(() => {
      reject(unreachable(address, new Error(`no answer within ${timeoutMs} ms`)));
      socket.terminate();
    }, timeoutMs);
    socket.once('upgrade', (response) => carriers.set(socket, response.socket));
    const giveUp = (): void => socket.terminate();
    signal?.addEventListener('abort', giveUp);
    socket.once('open', () => {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', giveUp);
      socket.pause();
      resolve(socket);
    });
    // Stays: an error between now and openLink is told by the socket's state.
    socket.on('error', (error) => {
      clearTimeout(deadline);
      reject(unreachable(address, error));
    });
    socket.once('unexpected-response', (request, response) => {
      void readAnswer(response).then((answer) => {
        clearTimeout(deadline);
        reject(refusal(address, response, answer, token));
        request.destroy();
      });
    });
  });
}

const carriers = new WeakMap<WebSocket, Socket>();

/** May a process that has nothing else to do end while this socket, which `dial` gave, is open? By default it may not. */
export function holdProcess(socket: WebSocket, holds: boolean): void {
  if (holds) carriers.get(socket)?.ref();
  else carriers.get(socket)?.unref();
}

function webSocketUrl(address: string): string {
  const url = plainUrl(address);
  if (!url) {
    // A password in it is nobody's business (X03).
    throw new ShoalError('SH1301', `"${address.replace(/\/\/.*@/s, '//***@')}" is no address of a coordinator`, {
      hint: 'http://HOST:PORT or https://HOST:PORT',
    });
  }
  return `${url.protocol === 'https:' ? 'wss' : 'ws'}://${url.host}`;
}

/** Of a coordinator: where it is, and nothing else. */
export function plainUrl(address: string): URL | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isPlain = url && url.username + url.password + url.search + url.hash === '' && url.pathname === '/';
  return isPlain && /^https?:$/.test(url.protocol) ? url : undefined;
}

function unreachable(address: string, error: Error): ShoalError {
  const { code, message } = error as NodeJS.ErrnoException & { errors?: Error[] };
  // Both families of an address failed, and the error says so in parts.
  const parts = (error as { errors?: Error[] }).errors?.map((each) => each.message).join(', ');
  return new ShoalError('SH3001', `cannot reach the coordinator at ${address}`, {
    why: parts || message || code,
    hint: tlsHint(address, code) ?? 'shoal doctor',
    cause: error,
  });
}

const untrusted = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT)/;

/** Node's words for what goes wrong with TLS say nothing of what to do. */
function tlsHint(address: string, code: string | undefined): string | undefined {
  if (code === undefined) return undefined;
  if (untrusted.test(code)) return 'NODE_EXTRA_CA_CERTS=FILE in the environment, with the certificate of its authority, or its own';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'reach it by a name that its certificate was made for';
  if (code !== 'ECONNRESET' && code !== 'EPROTO') return undefined;
  if (address.startsWith('https:')) return `shoal doctor\nor, if it was started without --tls-cert: ${address.replace('https:', 'http:')}`;
  return `shoal doctor\nor, if it was started with --tls-cert: ${address.replace('http:', 'https:')}`;
}

interface Answer {
  detail?: string;
  code?: string;
  leader?: string;
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > answerBytesMax) return {};
    }
    const problem = JSON.parse(Buffer.concat(chunks).toString()) as { [name in keyof Answer | 'title']?: unknown };
    const line = (said: unknown): string | undefined => (typeof said === 'string' ? printableLine(said) : undefined);
    const [detail, code, leader] = [line(problem.detail ?? problem.title), line(problem.code), line(problem.leader)];
    return { ...(detail !== undefined && { detail }), ...(code !== undefined && { code }), ...(leader !== undefined && { leader }) };
  } catch {
    return {};
  }
}

function refusal(
  address: string,
  { statusCode = 0, headers }: IncomingMessage,
  { detail, code, leader }: Answer,
  token: Secret | undefined,
): ShoalError {
  const why = detail ?? `it answered with HTTP ${statusCode}`;
  if (code === 'SH3020') return new StandbyError(address, leader);
  switch (statusCode) {
    case 401:
      return new ShoalError('SH3002', `the coordinator at ${address} does not let us in`, {
        // It says the same to both; which of them it was is known here.
        why: code !== 'SH3002' ? why : token ? 'it does not know the token that it was shown' : 'it was shown no token',
        from: token ? token.from : 'neither --token-file nor SHOAL_TOKEN is set, and no coordinator there left one on this machine',
        hint: `${token ? 'show it another one' : 'show it one'} of the coordinator's tokens file: SHOAL_TOKEN, or --token-file FILE`,
      });
    case 403:
      return new ShoalError('SH3002', `the coordinator at ${address} does not let us in`, {
        why,
        from: token?.from,
        hint: 'use a token of another role',
      });
    case 409:
      return new ShoalError('SH1309', `the coordinator at ${address} does not take workers on its port`, {
        why,
        hint: 'shoal worker --broker URL, with the broker that the coordinator was started with',
      });
    case 426:
      return new ShoalError('SH3005', `the coordinator at ${address} speaks another protocol`, {
        why,
        hint: 'run the same release of shoal on both sides',
      });
    case 429:
    case 503:
      return new BusyError(address, why, Math.min(retryAfterMsMax, 1000 * (Number(headers['retry-after']) || 1)));
    default:
      return new ShoalError('SH3001', `what answers at ${address} is no coordinator`, { why, hint: 'check the host and the port' });
  }
}

/** Another leads already or is being elected: the first tries are so close that a clean change of leaders costs no more than it must. */
const standbyMsFirst = 100;
const standbyMs = 200;
const standbyTriesClose = 5;
const firstMs = 100;
const lastMsDefault = 5_000;

/**
 * How long to wait before each next attempt: exponential backoff with full jitter, so that a thousand that were cut off
 * together do not come back together (N13). Source of the scheme: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
 */
export class Redial {
  readonly #random: () => number;
  readonly #lastMs: number;
  #boundMs = firstMs;
  #standbys = 0;

  constructor(random: () => number = Math.random, lastMs = lastMsDefault) {
    this.#random = random;
    this.#lastMs = lastMs;
  }

  /** At least `atLeastMs`, where the other side asked for that. */
  nextMs(atLeastMs = 0): number {
    const ms = atLeastMs + this.#random() * this.#boundMs;
    this.#boundMs = Math.min(this.#lastMs, this.#boundMs * 2);
    return ms;
  }

  /** After this error. Whoever stands by is no reason to wait ever longer: somebody leads soon. */
  afterMs(error: unknown): number {
    if (error instanceof StandbyError) return (this.#standbys++ < standbyTriesClose ? standbyMsFirst : standbyMs) * (1 + this.#random());
    return this.nextMs((error as { retryAfterMs?: number } | undefined)?.retryAfterMs);
  }

  /** It worked. */
  reset(): void {
    this.#boundMs = firstMs;
    this.#standbys = 0;
  }
}
