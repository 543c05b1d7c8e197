/**
 * Who may come in. Everything here is decided from the headers, before anything else of a request is read.
 *
 * 1. A page of another origin gets nowhere, and on loopback no name but this machine's own is answered (X07).
 * 2. A wrong token and none at all look the same, and take equally long (X02); after `failuresMax` a minute an address waits.
 * 3. At most `upgradesPerSecondMax` new lines a second: a thousand that come back at once are told when to try (N13).
 */
import type { IncomingMessage } from 'node:http';
import type { Role, Tokens } from '../lib/tokens.ts';
import { protocolVersion } from '../wire/link.ts';
import { type Problem, remoteOf } from './problem.ts';

export interface GuardOptions {
  tokens: Tokens;
  /** Only names of this machine are answered. */
  isLoopback: boolean;
  nowMs?: () => number;
}

const failuresMax = 20;
const windowMs = 60_000;
const upgradesPerSecondMax = 300;
const addressesMax = 10_000;
const loopbackNames = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d+)?$/i;

export class Guard {
  private readonly options: GuardOptions;
  private readonly nowMs: () => number;
  private readonly failures = new Map<string, { count: number; sinceMs: number }>();
  private second = { startMs: Number.NEGATIVE_INFINITY, count: 0 };

  constructor(options: GuardOptions) {
    this.options = options;
    this.nowMs = options.nowMs ?? (() => performance.now());
  }

  /** For every request, with or without a token. */
  checkOrigin({ headers }: IncomingMessage): Problem | undefined {
    const host = headers.host ?? '';
    if (this.options.isLoopback && !loopbackNames.test(host)) {
      return forbidden('this coordinator answers to the names of its own machine alone');
    }
    const { origin } = headers;
    if (origin === undefined) return undefined;
    const isOwn = origin === `http://${host}` || origin === `https://${host}`;
    return isOwn ? undefined : forbidden('pages of other origins may not talk to a coordinator');
  }

  /** The role of who wants a line, or why there is none. */
  admit(request: IncomingMessage, allowed: readonly Role[]): Role | Problem {
    const from = remoteOf(request);
    const barredMs = this.barredMs(from);
    if (barredMs > 0) {
      const retryAfter = Math.ceil(barredMs / 1_000);
      return { status: 429, code: 'SH3006', title: 'too many refused tokens', detail: `try again in ${retryAfter} s`, retryAfter };
    }
    if (this.isRushed()) {
      return { status: 503, code: 'SH3006', title: 'too many at once', detail: 'too many lines are being opened right now', retryAfter: 1 };
    }
    const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const role = this.options.tokens.roleOf(token);
    if (role === undefined) {
      this.failed(from);
      return { status: 401, code: 'SH3002', title: 'not authenticated', detail: 'the token is missing or wrong' };
    }
    if (!allowed.includes(role)) return forbidden(`a ${role} token may not do this`);
    const theirs = request.headers['shoal-protocol'];
    if (theirs !== String(protocolVersion)) {
      const detail = `it speaks version ${protocolVersion}, and was asked for ${theirs ?? 'none'}`;
      return { status: 426, code: 'SH3005', title: 'another protocol', detail };
    }
    return role;
  }

  /** How long an address has to wait; 0 if it may try. */
  private barredMs(from: string): number {
    const known = this.failures.get(from);
    if (!known) return 0;
    const leftMs = known.sinceMs + windowMs - this.nowMs();
    if (leftMs > 0) return known.count >= failuresMax ? leftMs : 0;
    this.failures.delete(from);
    return 0;
  }

  private failed(from: string): void {
    const known = this.failures.get(from);
    if (known) known.count++;
    else {
      // The one that is known longest makes room: whoever has that many addresses is not kept out by counting anyway.
      if (this.failures.size >= addressesMax) this.failures.delete(this.failures.keys().next().value!);
      this.failures.set(from, { count: 1, sinceMs: this.nowMs() });
    }
  }

  private isRushed(): boolean {
    const nowMs = this.nowMs();
    if (nowMs - this.second.startMs >= 1_000) this.second = { startMs: nowMs, count: 0 };
    return ++this.second.count > upgradesPerSecondMax;
  }
}

function forbidden(detail: string): Problem {
  return { status: 403, code: 'SH3002', title: 'not allowed', detail };
}
