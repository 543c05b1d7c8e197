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

  /** The first of them that is there; rejects with what the last one said. */
  async connectAny(addresses: readonly NodeAddress[]): Promise<KafkaNode> {
    let error: unknown;
    for (const address of addresses) {
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
