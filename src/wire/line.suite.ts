/** Real WebSockets on loopback for tests of lines: a server that hands out accepted sockets, raw connections, a bad road. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import { frameBytesMax } from './link.ts';

export interface SocketServer {
  readonly port: number;
  readonly address: string;
  /** The next socket that is accepted. */
  accepted(): Promise<WebSocket>;
  onAccept: ((socket: WebSocket, request: IncomingMessage) => void) | undefined;
  /** Ends every connection as a crash would. */
  cut(): void;
  close(): Promise<void>;
}

export async function socketServer(port = 0): Promise<SocketServer> {
  const http: Server = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: frameBytesMax });
  const waiting: ((socket: WebSocket) => void)[] = [];
  const ready: WebSocket[] = [];
  http.listen(port, '127.0.0.1');
  await once(http, 'listening');
  const server: SocketServer = {
    port: (http.address() as AddressInfo).port,
    address: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    onAccept: undefined,
    accepted: () => new Promise((resolve) => (ready.length > 0 ? resolve(ready.shift()!) : waiting.push(resolve))),
    cut() {
      for (const socket of sockets.clients) socket.terminate();
    },
    async close() {
      server.cut();
      sockets.close();
      http.closeAllConnections();
      http.close();
      if (http.listening) await once(http, 'close');
    },
  };
  sockets.on('connection', (socket, request) => {
    if (server.onAccept) return server.onAccept(socket, request);
    const next = waiting.shift();
    if (next) next(socket);
    else ready.push(socket);
  });
  return server;
}

/** Both ends of one open WebSocket. */
export async function socketPair(options: ClientOptions = {}): Promise<{ near: WebSocket; far: WebSocket; close(): Promise<void> }> {
  const server = await socketServer();
  const near = new WebSocket(server.address.replace('http', 'ws'), { perMessageDeflate: false, maxPayload: frameBytesMax, ...options });
  const [far] = await Promise.all([server.accepted(), once(near, 'open')]);
  return {
    near,
    far,
    close: async () => {
      near.terminate();
      await server.close();
    },
  };
}

export interface TcpProxy {
  readonly address: string;
  /** From now on every packet vanishes, and neither end is told. */
  swallow(): void;
  close(): Promise<void>;
}

/** A road to `port` that carries bytes both ways until it swallows them. */
export async function tcpProxy(port: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isSwallowing = false;
  const carry = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.on('data', (bytes) => isSwallowing || to.write(bytes));
    from.on('error', () => undefined);
    from.on('close', () => {
      sockets.delete(from);
      if (!isSwallowing) to.destroy();
    });
  };
  const server = createTcpServer((near) => {
    const far = connect(port, '127.0.0.1');
    carry(near, far);
    carry(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    swallow() {
      isSwallowing = true;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
