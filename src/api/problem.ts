/** Refusals over HTTP, as `application/problem+json` (RFC 9457). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  /** Seconds. */
  retryAfter?: number;
  /** Another coordinator leads: where it is reached, and where there the same is asked. */
  leader?: string;
  location?: string;
}

const reasons: Record<number, string> = {
  307: 'Temporary Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};

function bodyOf({ status, code, title, detail, leader }: Problem): string {
  return JSON.stringify({ type: 'about:blank', title, status, detail, code, ...(leader !== undefined && { leader }) });
}

export function answerProblem(response: ServerResponse, problem: Problem): void {
  const body = bodyOf(problem);
  response.writeHead(problem.status, headersOf(problem, body)).end(body);
}

/** Of a refused connection that the other end does not close. */
const lingerMs = 1_000;

/** To a socket that wanted to be a WebSocket. The HTTP server has let go of it, so it is ended here. */
export function refuseUpgrade(socket: Duplex, problem: Problem): void {
  const body = bodyOf(problem);
  const lines = Object.entries(headersOf(problem, body)).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} ${reasons[problem.status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`);
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
}

function headersOf({ status, retryAfter, location }: Problem, body: string): Record<string, string> {
  return {
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    // Whatever else such a peer sends is not read.
    connection: 'close',
    ...(status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(status === 405 && { allow: 'GET, HEAD' }),
    ...(status === 426 && { upgrade: 'websocket' }),
    ...(location !== undefined && { location }),
    ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
  };
}

export function remoteOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? 'unknown';
}
