/**
 * What goes to one node. One request is under way at a time; what is published meanwhile, to whatever partitions the node
 * leads, rides with the next one, so that many inboxes cost no more round trips than one.
 *
 * 1. Order is kept within a partition. No piece of a publish is larger than what Kafka takes as one batch.
 * 2. A connection that was idle may have been closed by the server; it is opened anew when there is something to send.
 */
import type { Batch, KafkaNode, KafkaRefusal, Partition } from './node.ts';

export interface PublisherOptions {
  connect: () => Promise<KafkaNode>;
  discard: (node: KafkaNode) => void;
  /** Kafka's limit for one batch of one partition. */
  batchBytesMax: number;
}

interface Piece {
  partition: Partition;
  key: string;
  payloads: Uint8Array[];
  bytes: number;
  settle: (error?: unknown) => void;
}

/** At most, in a batch's head and before each record. */
const batchHeadBytes = 128;
const recordHeadBytes = 40;
const recordsMax = 10_000;
const requestBytesMax = 8 * 1024 * 1024;

/** What a batch of one record needs beside its value. */
export function besideValueBytes(keyBytes: number): number {
  return batchHeadBytes + recordHeadBytes + keyBytes;
}

export class Publisher {
  private readonly options: PublisherOptions;
  private waiting: Piece[] = [];
  private node: KafkaNode | undefined;
  private isSending = false;

  constructor(options: PublisherOptions) {
    this.options = options;
  }

  async publish(partition: Partition, key: string, payloads: readonly Uint8Array[]): Promise<void> {
    await Promise.all(
      this.cut(partition, key, payloads).map(
        (piece) =>
          new Promise<void>((resolve, reject) => {
            this.waiting.push({ ...piece, settle: (error) => (error === undefined ? resolve() : reject(error as Error)) });
            if (this.isSending) return;
            this.isSending = true;
            queueMicrotask(() => void this.sendAll());
          }),
      ),
    );
  }

  private cut(partition: Partition, key: string, payloads: readonly Uint8Array[]): Omit<Piece, 'settle'>[] {
    const besideBytes = recordHeadBytes + Buffer.byteLength(key);
    const pieces: Omit<Piece, 'settle'>[] = [];
    for (const payload of payloads) {
      const bytes = payload.length + besideBytes;
      const last = pieces.at(-1);
      if (last && last.bytes + bytes + batchHeadBytes <= this.options.batchBytesMax && last.payloads.length < recordsMax) {
        last.payloads.push(payload);
        last.bytes += bytes;
      } else pieces.push({ partition, key, payloads: [payload], bytes });
    }
    return pieces;
  }

  private async sendAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const pieces = this.next();
      const batches = [...pieces].map(
        ([, together]): Batch => ({
          partition: together[0]!.partition,
          records: together.flatMap(({ key, payloads }) => payloads.map((value) => ({ key, value }))),
        }),
      );
      let outcomes: readonly (KafkaRefusal | undefined)[] = [];
      let failure: unknown;
      try {
        outcomes = await this.produce(batches);
      } catch (error) {
        failure = error;
      }
      let index = 0;
      for (const together of pieces.values()) {
        const error = failure ?? outcomes[index++];
        for (const { settle } of together) settle(error);
      }
    }
    this.isSending = false;
  }

  private async produce(batches: readonly Batch[]): Promise<readonly (KafkaRefusal | undefined)[]> {
    if (this.node && !this.node.isOpen) this.discard(this.node);
    const node = (this.node ??= await this.options.connect());
    try {
      return await node.produce(batches);
    } catch (error) {
      this.discard(node);
      throw error;
    }
  }

  private discard(node: KafkaNode): void {
    this.options.discard(node);
    this.node = undefined;
  }

  /** As much as one request takes, one batch a partition; what is left stays in its order. */
  private next(): Map<string, Piece[]> {
    const taken = new Map<string, Piece[]>();
    const bytesOf = new Map<string, number>();
    const left: Piece[] = [];
    let total = 0;
    for (const piece of this.waiting) {
      const { topic, index } = piece.partition;
      const name = `${topic}/${index}`;
      const before = bytesOf.get(name) ?? batchHeadBytes;
      const fits = before + piece.bytes <= this.options.batchBytesMax && total + piece.bytes <= requestBytesMax;
      if (total > 0 && !fits) {
        left.push(piece);
        // Nothing overtakes it.
        bytesOf.set(name, Number.POSITIVE_INFINITY);
        continue;
      }
      bytesOf.set(name, before + piece.bytes);
      total += piece.bytes;
      const together = taken.get(name);
      if (together) together.push(piece);
      else taken.set(name, [piece]);
    }
    this.waiting = left;
    return taken;
  }
}
