/** Both ends of a `ws:` broker for tests: a coordinator's server, a worker, and a road between them that can go bad. */
import { type SocketServer, socketServer, type TcpProxy, tcpProxy } from '../../wire/line.suite.ts';
import type { Broker } from '../broker.ts';
import { dialWsBroker } from './client.ts';
import { WsBrokerServer, type WsBrokerServerOptions } from './server.ts';

export interface Ends {
  server: SocketServer;
  coordinator: WsBrokerServer;
  worker: Broker;
  warnings: string[];
  /** The worker's road to the server. */
  road: TcpProxy;
  close(): Promise<void>;
}

export async function open(options: WsBrokerServerOptions = {}): Promise<Ends> {
  const server = await socketServer();
  const road = await tcpProxy(server.port);
  const warnings: string[] = [];
  const onWarning = (line: string): void => void warnings.push(line);
  const coordinator = new WsBrokerServer({ onWarning, pingMs: 500, ...options });
  server.onAccept = (socket) => coordinator.accept(socket, 'test');
  const worker = await dialWsBroker({ address: road.address, pingMs: 500, onWarning });
  return {
    server,
    coordinator,
    worker,
    warnings,
    road,
    async close() {
      await worker.close();
      await coordinator.close();
      await road.close();
      await server.close();
    },
  };
}

export const text = (batch: readonly Uint8Array[]): string[] => batch.map((message) => Buffer.from(message).toString());
export const bytes = (word: string): Uint8Array => Buffer.from(word);
export const address = 'worker.w1.i1';
