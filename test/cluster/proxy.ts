/** A TCP proxy that hurts what goes through it: delays, cuts, half-opens (takes bytes and passes none on). */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly port: number;
  private readonly server: Server;
  private readonly pairs = new Set<[Socket, Socket]>();
  private isSilent = false;
  /** Pieces that still pass before it falls silent. */
  private left = Number.POSITIVE_INFINITY;
  private isRefusing = false;
  private delayMs = 0;

  private constructor(server: Server, port: number) {
    this.server = server;
    this.port = port;
  }

  static async to(targetPort: number, host = '127.0.0.1'): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: false });
    server.listen(0, host);
    await once(server, 'listening');
    const proxy = new TcpProxy(server, (server.address() as { port: number }).port);
    server.on('connection', (near) => proxy.accept(near, targetPort));
    return proxy;
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections that go through it right now. */
  get openCount(): number {
    return this.pairs.size;
  }

  /** Ends every connection; new ones are welcome. */
  cut(): void {
    for (const [near, far] of this.pairs) {
      near.destroy();
      far.destroy();
    }
  }

  /** Connections stay, nothing passes either way, new ones get nowhere either (N11); once so many `pieces` have passed. */
  silence(isSilent = true, pieces = 0): void {
    this.isSilent = isSilent && pieces === 0;
    this.left = isSilent ? pieces : Number.POSITIVE_INFINITY;
    for (const [near, far] of this.pairs) {
      if (isSilent) continue;
      // What was swallowed is missing in the stream: it can only be cut.
      near.destroy();
      far.destroy();
    }
  }

  refuse(isRefusing = true): void {
    this.isRefusing = isRefusing;
    if (isRefusing) this.cut();
  }

  delay(ms: number): void {
    this.delayMs = ms;
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(near: Socket, targetPort: number): void {
    if (this.isRefusing) {
      near.destroy();
      return;
    }
    const far = connect(targetPort, '127.0.0.1');
    const pair: [Socket, Socket] = [near, far];
    this.pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => this.pass(bytes, to));
      from.on('error', () => undefined);
      from.on('close', () => {
        this.pairs.delete(pair);
        to.destroy();
      });
    }
  }

  private pass(bytes: Buffer, to: Socket): void {
    if (this.isSilent || to.destroyed) return;
    this.isSilent = --this.left <= 0;
    if (this.delayMs === 0) to.write(bytes);
    else setTimeout(() => to.destroyed || to.write(bytes), this.delayMs);
  }
}
