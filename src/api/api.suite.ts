/** A real coordinator behind a real port, for tests: tokens of all roles, and raw ways to speak to it. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import type { Broker } from '../brokers/broker.ts';
import { Coordinator } from '../coordinator/coordinator.ts';
import type { LocalSession } from '../coordinator/sessions.ts';
import type { FromClient, ToClient } from '../core/messages.ts';
import type { Election } from '../elections/election.ts';
import type { Journal } from '../journals/journal.ts';
import { type Role, readTokens, type Tokens } from '../lib/tokens.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { type Link, openLink } from '../wire/link.ts';
import { type Api, type ApiOptions, openApi } from './server.ts';

const allRoles: readonly Role[] = ['admin', 'client', 'client+bundles', 'worker', 'read-only'];
export const tokenOf = (role: Role): string => `shoal_${role.replace('+', '_')}_${'t'.repeat(30)}`;

export function tokensOfAllRoles(): Tokens {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-api-'));
  try {
    const file = join(folder, 'tokens');
    writeFileSync(file, allRoles.map((role) => `${role} ${tokenOf(role)}\n`).join(''), { mode: 0o600 });
    return readTokens(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface Served {
  readonly api: Api;
  readonly port: number;
  readonly coordinator: Coordinator;
  readonly sessions: LocalSession[];
  /** Sockets that came to the workers' path. */
  readonly workers: WebSocket[];
  readonly warnings: string[];
  close(): Promise<void>;
}

export interface Plugs {
  broker: Broker & { accept(socket: WebSocket, who: string): void };
  journal: Journal;
  election: Election;
}

export async function serve({ broker, journal, election }: Plugs, options: Partial<ApiOptions> = {}): Promise<Served> {
  let failure: unknown;
  const coordinator = new Coordinator({
    broker,
    journal,
    election,
    isOneMachine: false,
    onFailed: (error) => {
      failure = error;
    },
  });
  await coordinator.start();
  const sessions: LocalSession[] = [];
  const workers: WebSocket[] = [];
  const warnings: string[] = [];
  const api = await openApi({
    listen: { host: '127.0.0.1', port: 0 },
    tokens: tokensOfAllRoles(),
    session: () => {
      const session = coordinator.session();
      sessions.push(session);
      return session;
    },
    room: () => coordinator.room(),
    acceptWorker: (socket, who) => {
      workers.push(socket);
      broker.accept(socket, who);
    },
    isReady: () => (coordinator.isServing ? { ready: true } : { ready: false, why: 'it does not lead' }),
    onWarning: (line) => warnings.push(line),
    ...options,
  });
  return {
    api,
    port: Number(new URL(api.address).port),
    coordinator,
    sessions,
    workers,
    warnings,
    async close() {
      await api.close();
      await coordinator.stop();
      await broker.close();
      if (failure !== undefined) throw failure;
    },
  };
}

/** Sends `text` as it is, and gives all that comes back until the other end closes. */
export async function raw(port: number, text: string | Buffer): Promise<string> {
  const socket = connectTcp(port, '127.0.0.1');
  const whole = untilClosed(socket);
  socket.write(text);
  return await whole;
}

export async function untilClosed(socket: Socket): Promise<string> {
  let said = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  // Being cut off is an end like others.
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('close', resolve));
  return said;
}

export interface UpgradeHeaders {
  path?: string;
  token?: string;
  protocol?: string;
  host?: string;
  origin?: string;
}

export function upgradeText({ path = '/api/v1/stream', token, protocol = '1', host = '127.0.0.1', origin }: UpgradeHeaders): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${Buffer.alloc(16, 1).toString('base64')}`,
  ];
  if (protocol !== '') lines.push(`Shoal-Protocol: ${protocol}`);
  if (token !== undefined) lines.push(`Authorization: Bearer ${token}`);
  if (origin !== undefined) lines.push(`Origin: ${origin}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

export interface Answer {
  status: number;
  headers: string;
  body: string;
}

/** The first answer that comes; a socket that was let in is dropped. */
export async function upgrade(port: number, headers: UpgradeHeaders): Promise<Answer> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.setEncoding('utf8').on('error', () => undefined);
  socket.write(upgradeText(headers));
  let said = '';
  for await (const part of socket) {
    said += String(part);
    if (said.startsWith('HTTP/1.1 101') && said.includes('\r\n\r\n')) break;
  }
  socket.destroy();
  return parse(said);
}

export function parse(said: string): Answer {
  const [headers = '', body = ''] = said.split('\r\n\r\n', 2);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(headers)?.[1] ?? 0), headers, body };
}

/** A client that says what it is told to, well-formed or not. */
export class RawClient {
  readonly told: ToClient[] = [];
  readonly socket: WebSocket;
  readonly link: Link;
  /** Code and reason. */
  readonly closed: Promise<[number, string]>;
  private lookers: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = once(socket, 'close').then(([code, reason]) => [code as number, String(reason)]);
    this.link = openLink(socket, {
      messageBytesMax: 1024 ** 3,
      isOrdered: true,
      onMessage: (bytes) => {
        const message = decodeMessage<ToClient>(bytes);
        if (message.kind === 'deliver') this.told.push(...(message.replies ?? []));
        this.told.push(message);
        for (const look of this.lookers) look();
      },
      onClose: () => undefined,
    });
  }

  static async open(port: number, role: Role, path = '/api/v1/stream'): Promise<RawClient> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${tokenOf(role)}`, 'shoal-protocol': '1' },
      perMessageDeflate: false,
    });
    await once(socket, 'open');
    return new RawClient(socket);
  }

  send(message: unknown): void {
    this.link.send(encodeMessage(message as FromClient));
  }

  /** The first message of those told so far or later that `isIt`; rejects when the line closes without one. */
  heard<M extends ToClient = ToClient>(isIt: (message: ToClient) => boolean): Promise<M> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.told.find(isIt);
        if (!found) return;
        this.lookers = this.lookers.filter((other) => other !== look);
        resolve(found as M);
      };
      this.lookers.push(look);
      look();
      void this.closed.then(([code, reason]) => reject(new Error(`closed with ${code} ${reason}`)));
    });
  }

  /** Says it, and gives what is answered to its number. */
  ask(message: { request: number } & Record<string, unknown>): Promise<Extract<ToClient, { kind: 'reply' | 'refusal' }>> {
    this.send(message);
    return this.heard((told) => 'request' in told && told.request === message.request);
  }
}

/** Numbers from 0 to 1, the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
