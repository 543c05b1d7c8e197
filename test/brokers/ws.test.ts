import { TcpProxy } from '../cluster/proxy.ts';
import { brokerMatrix, type MatrixServer } from './matrix.ts';

/** What could go wrong with a server goes wrong with the way to the coordinator's port. */
class Way implements MatrixServer {
  readonly url = 'ws:';
  private proxy: TcpProxy | undefined;

  async to(coordinatorPort: number): Promise<string> {
    this.proxy = await TcpProxy.to(coordinatorPort);
    return this.proxy.address;
  }

  async stop(): Promise<void> {
    await this.proxy?.close();
  }

  async kill(): Promise<void> {
    this.proxy?.refuse();
  }

  async shutdown(): Promise<void> {
    this.proxy?.refuse();
  }

  async restart(): Promise<void> {
    this.proxy?.refuse(false);
  }

  async pause(): Promise<void> {
    this.proxy?.silence();
  }

  resume(): void {
    this.proxy?.silence(false);
  }
}

brokerMatrix('ws:', { start: async () => new Way(), reach: (way, port) => way.to(port) });
