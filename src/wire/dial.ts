/** Opening a line to a coordinator: one attempt, with what went wrong in words, and how long to wait before the next. */
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { ShoalError } from '../lib/errors.ts';
import type { Secret } from '../lib/secret.ts';
import { frameBytesMax, protocolVersion } from './link.ts';

export interface DialOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`. */
  address: string;
  path: string;
  token?: Secret;
  /** Default 5000. */
  timeoutMs?: number;
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

const timeoutMsDefault = 5_000;
const answerBytesMax = 64 * 1024;

/** SH3001 (nobody there), SH3002 (not let in), SH3005 (another protocol), SH3006 (busy). */
export function dial({ address, path, token, timeoutMs = timeoutMsDefault }: DialOptions): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${webSocketUrl(address)}${path}`, {
      headers: { 'shoal-protocol': String(protocolVersion), ...(token !== undefined && { authorization: `Bearer ${token.reveal()}` }) },
      handshakeTimeout: timeoutMs,
      perMessageDeflate: false,
      maxPayload: frameBytesMax,
      followRedirects: false,
    });
    socket.once('open', () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    socket.on('error', (error) => reject(unreachable(address, error)));
    socket.once('unexpected-response', (request, response) => {
      void readAnswer(response).then((detail) => {
        reject(refusal(address, response, detail));
        request.destroy();
      });
    });
  });
}

function webSocketUrl(address: string): string {
  if (!/^https?:\/\/[^/]+\/?$/.test(address)) {
    throw new ShoalError('SH1301', `"${address}" is no address of a coordinator`, { hint: 'http://HOST:PORT or https://HOST:PORT' });
  }
  return address.replace(/^http/, 'ws').replace(/\/$/, '');
}

function unreachable(address: string, error: Error): ShoalError {
  const { code, message } = error as NodeJS.ErrnoException & { errors?: Error[] };
  // Both families of an address failed, and the error says so in parts.
  const parts = (error as { errors?: Error[] }).errors?.map((each) => each.message).join(', ');
  return new ShoalError('SH3001', `cannot reach the coordinator at ${address}`, {
    why: parts || message || code,
    hint: 'shoal doctor',
    cause: error,
  });
}

async function readAnswer(response: IncomingMessage): Promise<string | undefined> {
  let text = '';
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > answerBytesMax) break;
    }
    const problem = JSON.parse(text) as { detail?: unknown; title?: unknown };
    const said = problem.detail ?? problem.title;
    return typeof said === 'string' ? said : undefined;
  } catch {
    return undefined;
  }
}

function refusal(address: string, { statusCode = 0, headers }: IncomingMessage, detail: string | undefined): ShoalError {
  const why = detail ?? `it answered with HTTP ${statusCode}`;
  switch (statusCode) {
    case 401:
      return new ShoalError('SH3002', `the coordinator at ${address} does not let us in`, {
        why,
        hint: "set SHOAL_TOKEN or --token-file to a token of the coordinator's tokens file",
      });
    case 403:
      return new ShoalError('SH3002', `the coordinator at ${address} does not let us in`, { why, hint: 'use a token of another role' });
    case 426:
      return new ShoalError('SH3005', `the coordinator at ${address} speaks another protocol`, {
        why,
        hint: 'run the same release of shoal on both sides',
      });
    case 429:
    case 503:
      return new BusyError(address, why, 1000 * (Number(headers['retry-after']) || 1));
    default:
      return new ShoalError('SH3001', `what answers at ${address} is no coordinator`, { why, hint: 'check the host and the port' });
  }
}

const firstMs = 100;
const lastMs = 5_000;

/**
 * How long to wait before each next attempt: exponential backoff with full jitter, so that a thousand that were cut off
 * together do not come back together (N13). Source of the scheme: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
 */
export class Redial {
  readonly #random: () => number;
  #boundMs = firstMs;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** At least `atLeastMs`, where the other side asked for that. */
  nextMs(atLeastMs = 0): number {
    const ms = atLeastMs + this.#random() * this.#boundMs;
    this.#boundMs = Math.min(lastMs, this.#boundMs * 2);
    return ms;
  }

  /** It worked. */
  reset(): void {
    this.#boundMs = firstMs;
  }
}
