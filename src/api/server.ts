/**
 * The coordinator's port: health for supervisors, and the lines of clients and workers. Nothing of a request beyond its
 * headers is looked at before its token is.
 *
 *   GET /livez            the process runs
 *   GET /readyz           it leads and takes work; a standby says that it is one
 *   WebSocket /api/v1/stream     a client (client-line.ts)
 *   WebSocket /api/v1/workers    a worker's broker line
 *
 * While another coordinator leads, all under /api/ is answered by pointing there (N15), once the token was looked at.
 */
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Session } from '../core/messages.ts';
import { ShoalError } from '../lib/errors.ts';
import type { Role, Tokens } from '../lib/tokens.ts';
import { frameBytesMax, type Link } from '../wire/link.ts';
import { bindClient } from './client-line.ts';
import { Guard } from './guard.ts';
import { answerProblem, type Problem, refuseUpgrade, remoteOf } from './problem.ts';
import { clientRoles } from './roles.ts';

export interface ApiOptions {
  listen: { host: string; port: number };
  /** PEM. */
  tls?: { cert: string; key: string };
  /** Another address than loopback without TLS. */
  insecurePlaintext?: boolean;
  tokens: Tokens;
  /** Who leads, if not this one; default: this one does. */
  standing?: () => Standing;
  session: () => Session;
  /** Resolves when the coordinator takes more from clients; undefined while it does. */
  room?: () => Promise<void> | undefined;
  /** None: workers come by a broker, and not by this port. */
  acceptWorker?: (socket: WebSocket, who: string) => void;
  isReady: () => { ready: boolean; why?: string };
  onWarning?: (line: string) => void;
  /** How long a request may take to arrive; default 5000. */
  headersMs?: number;
  /** Lines at once; default 10 000. Connections that are no lines yet come on top. */
  linesMax?: number;
  /** The clock of limits a minute and a second; default `performance.now`. */
  nowMs?: () => number;
}

/** `leader`: as clients reach it, if that is known. */
export type Standing = { leads: true } | { leads: false; leader?: string };

/** Connections that have not shown a token yet: each is gone after `headersMs`. */
const strangersMax = 6_000;
const closeWaitMs = 1_000;
/** With so much waiting for a peer its pings are not answered: it does not read what it asks for. */
const pongBytesMax = 2 * 1024 * 1024;

export interface Api {
  /** As clients are given it, with the port that was really taken. */
  readonly address: string;
  /** Takes nobody more, and ends all lines in an orderly way. Idempotent. */
  close(): Promise<void>;
}

interface Entrance {
  roles: readonly Role[];
  enter(socket: WebSocket, role: Role, request: IncomingMessage): void;
}

/** SH1322 (no such certificate), SH1324 (not without TLS), SH1325 (the port is taken), SH1326 (no such address here). */
export async function openApi(options: ApiOptions): Promise<Api> {
  const port = new Port(options);
  await port.listen();
  return port;
}

/** Nothing that holds a key is a plain field: `inspect` would print it (X03). */
class Port implements Api {
  address = '';
  readonly #options: ApiOptions;
  readonly #server: Server;
  readonly #guard: Guard;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
    maxFragments: 1_024,
    maxBufferedChunks: 64 * 1024,
    autoPong: false,
    skipUTF8Validation: true,
  });
  readonly #connections = new Set<Socket>();
  readonly #clients = new Set<Link>();
  /** Their lines are the broker's. */
  readonly #workers = new Set<WebSocket>();
  readonly #entrances: ReadonlyMap<string, Entrance>;
  readonly #linesMax: number;
  #closing: Promise<void> | undefined;

  constructor(options: ApiOptions) {
    refuseOpenPlaintext(options);
    this.#options = options;
    const { host } = options.listen;
    this.#guard = new Guard({ tokens: options.tokens, isLoopback: isLoopback(host), ...(options.nowMs && { nowMs: options.nowMs }) });
    this.#entrances = new Map<string, Entrance>([
      ['/api/v1/stream', { roles: clientRoles, enter: (socket, role) => this.#enterClient(socket, role) }],
      [workersPath, { roles: ['worker', 'admin'], enter: (socket, _role, request) => this.#enterWorker(socket, request) }],
    ]);
    this.#linesMax = options.linesMax ?? 10_000;
    this.#server = createServer(options);
    this.#server.maxConnections = this.#linesMax + strangersMax;
    this.#server.on('connection', (socket) => this.#remember(socket));
    this.#server.on('request', (request, response) => this.#answer(request, response));
    this.#server.on('checkContinue', (request, response) => this.#answer(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    this.#server.listen(port, host);
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      throw listenError(error as NodeJS.ErrnoException, host, port);
    }
    const taken = (this.#server.address() as AddressInfo).port;
    this.address = `${this.#options.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${taken}`;
    if (isLoopback(host) || this.#options.tls) return;
    this.#options.onWarning?.(`INSECURE: ${this.address} is without TLS: everybody on the way can read tokens and data`);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    const ended = once(this.#server, 'close');
    this.#server.close();
    for (const link of this.#clients) link.close(1012, restart);
    for (const socket of this.#workers) socket.close(1012, restart);
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const socket of this.#connections) socket.destroy();
    }, closeWaitMs);
    await ended;
    clearTimeout(timer);
  }

  #remember(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const problem = this.#guard.checkOrigin(request);
    if (problem) return answerProblem(response, problem);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answerProblem(response, {
        status: 405,
        code: 'SH1331',
        title: 'not here',
        detail: 'there is nothing to change over plain HTTP',
      });
    }
    if (hasBody(request)) {
      return answerProblem(response, { status: 413, code: 'SH1331', title: 'too large', detail: 'nothing here takes a body' });
    }
    const pathname = pathOf(request);
    if (pathname === '/livez') return plain(response, 200, 'ok');
    if (pathname === '/readyz') {
      const { ready, why } = this.#options.isReady();
      return plain(response, ready ? 200 : 503, ready ? 'ok' : (why ?? 'not ready'));
    }
    const elsewhere = pathname.startsWith('/api/') ? this.#elsewhere(request) : undefined;
    answerProblem(response, elsewhere ?? notFound(pathname));
  }

  /** Undefined while this one leads. */
  #elsewhere({ url = '/' }: IncomingMessage): Problem | undefined {
    const standing = this.#options.standing?.() ?? { leads: true };
    if (standing.leads) return undefined;
    const { leader } = standing;
    const problem = { code: 'SH3020', title: 'not the leader' };
    if (leader === undefined) return { ...problem, status: 503, detail: 'no leader is known yet', retryAfter: 1 };
    return { ...problem, status: 307, detail: `${leader} leads`, leader, location: new URL(url, leader).href };
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const problem = this.#guard.checkOrigin(request);
    if (problem) return refuseUpgrade(socket, problem);
    const pathname = pathOf(request);
    const entrance = this.#entrances.get(pathname);
    if (!entrance) return refuseUpgrade(socket, notFound(pathname));
    if (pathname === workersPath && !this.#options.acceptWorker) return refuseUpgrade(socket, byBroker);
    if (this.#closing) return refuseUpgrade(socket, busy('the coordinator stops', 1));
    const admitted = this.#guard.admit(request, entrance.roles);
    if (typeof admitted !== 'string') return refuseUpgrade(socket, admitted);
    const elsewhere = this.#elsewhere(request);
    if (elsewhere) return refuseUpgrade(socket, elsewhere);
    if (this.#sockets.clients.size >= this.#linesMax) return refuseUpgrade(socket, busy(`it has ${this.#linesMax} lines already`, 10));
    this.#sockets.handleUpgrade(request, socket, head, (opened) => {
      opened.on('ping', (data: Buffer) => {
        if (opened.bufferedAmount < pongBytesMax) opened.pong(data);
      });
      entrance.enter(opened, admitted, request);
    });
  }

  #enterClient(socket: WebSocket, role: Role): void {
    const link = bindClient(socket, this.#options.session(), {
      role,
      room: this.#options.room ?? (() => undefined),
      onEnd: () => this.#clients.delete(link),
    });
    this.#clients.add(link);
  }

  #enterWorker(socket: WebSocket, request: IncomingMessage): void {
    this.#workers.add(socket);
    socket.once('close', () => this.#workers.delete(socket));
    this.#options.acceptWorker!(socket, remoteOf(request));
  }
}

const workersPath = '/api/v1/workers';
const byBroker: Problem = { status: 409, code: 'SH1309', title: 'elsewhere', detail: 'its workers come by a broker, not by its port' };

const restart = 'the coordinator stops';

function createServer({ tls, headersMs = 5_000 }: ApiOptions): Server {
  const limits = {
    maxHeaderSize: 16 * 1024,
    headersTimeout: headersMs,
    requestTimeout: 2 * headersMs,
    keepAliveTimeout: headersMs,
    connectionsCheckingInterval: Math.min(1_000, headersMs),
  };
  if (!tls) return createHttp(limits);
  try {
    return createHttps({ ...limits, ...tls, handshakeTimeout: headersMs });
  } catch (cause) {
    const hint = 'both are PEM texts, and the key is the one that the certificate was made for';
    throw new ShoalError('SH1322', 'the TLS certificate and its key cannot be used', { why: (cause as Error).message, hint, cause });
  }
}

/** As it was written: what is no address must not throw. */
function pathOf({ url = '/' }: IncomingMessage): string {
  return url.split('?', 1)[0]!;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

function busy(detail: string, retryAfter: number): Problem {
  return { status: 503, code: 'SH3006', title: 'busy', detail, retryAfter };
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host);
}

/** SH1324 */
export function refuseOpenPlaintext({
  listen: { host, port },
  tls,
  insecurePlaintext,
}: Pick<ApiOptions, 'listen' | 'tls' | 'insecurePlaintext'>): void {
  if (isLoopback(host) || tls || insecurePlaintext) return;
  throw new ShoalError(
    'SH1324',
    `${host}:${port} can be reached by other machines, and without TLS everybody on the way can read tokens and data`,
    {
      hint: '--tls-cert FILE --tls-key FILE\nor, where the network is yours alone: --insecure-plaintext',
    },
  );
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): ShoalError {
  if (error.code === 'EADDRINUSE') {
    return new ShoalError('SH1325', `${host}:${port} is taken by another process`, {
      why: 'a coordinator may run there already',
      hint: `shoal status --address http://${host}:${port}\nor take another port: --listen ${host}:0`,
      cause: error,
    });
  }
  return new ShoalError('SH1326', `cannot listen on ${host}:${port}`, { why: error.message, hint: 'check --listen', cause: error });
}

function notFound(path: string): Problem {
  return { status: 404, code: 'SH1331', title: 'not found', detail: `there is nothing at ${path.slice(0, 200)}` };
}

function plain(response: ServerResponse, status: number, line: string): void {
  const body = `${line}\n`;
  response
    .writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    })
    .end(body);
}
