/** All connections of one carrier, so that they end together. */
import type { ConnectNode, KafkaNode, NodeAddress } from './node.ts';

export class Nodes {
  private readonly connectNode: ConnectNode;
  private readonly open = new Set<KafkaNode>();
  private end: (why: Error) => void = () => undefined;
  private readonly ended: Promise<never>;
  private isClosed = false;

  constructor(connectNode: ConnectNode) {
    this.connectNode = connectNode;
    this.ended = new Promise((_resolve, reject) => {
      this.end = reject;
    });
    this.ended.catch(() => undefined);
  }

  connect(address: NodeAddress): Promise<KafkaNode> {
    const connected = this.connectNode(address).then((node) => {
      if (this.isClosed) node.close();
      else this.open.add(node);
      return node;
    });
    return Promise.race([connected, this.ended]);
  }

  /** One that is there, not always looked for at the same one first: it may stand still. Rejects with what the last one said. */
  async connectAny(addresses: readonly NodeAddress[]): Promise<KafkaNode> {
    const first = Math.floor(Math.random() * addresses.length);
    let error: unknown;
    for (const address of [...addresses.slice(first), ...addresses.slice(0, first)]) {
      try {
        return await this.connect(address);
      } catch (cause) {
        error = cause;
        if (this.isClosed) break;
      }
    }
    throw error;
  }

  close(node: KafkaNode): void {
    node.close();
    this.open.delete(node);
  }

  closeAll(): void {
    this.isClosed = true;
    this.end(new Error('the connection was closed'));
    for (const node of this.open) node.close();
    this.open.clear();
  }
}
