/**
 * Where the listener at an inbox has come to, kept by Kafka in a group that nobody joins: membership would stop all
 * members whenever one comes or goes.
 *
 * 1. Only what was handled is kept. It is written at most ten times a second, and when the listener closes; whoever
 *    listens next after a crash hears what came since then once more.
 * 2. That it can't be written stops nobody: it is tried again with what comes next, and told once.
 */
import { setTimeout as later } from 'node:timers/promises';
import { ShoalError } from '../../lib/errors.ts';
import { isRefusal, type KafkaNode, type Partition } from './node.ts';
import type { Nodes } from './nodes.ts';

export interface BookmarkOptions {
  nodes: Nodes;
  /** A connection to any of the cluster's nodes. */
  connectAny: () => Promise<KafkaNode>;
  group: string;
  partition: Partition;
  onWarning: (line: string) => void;
  signal: AbortSignal;
}

const everyMs = 100;
const retryMs = 100;
const tries = 80;
/** The cluster is making the topic that positions lie in, or moves it to another node. */
const passing = ['GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP', 'GROUP_LOAD_IN_PROGRESS', 'UNKNOWN_TOPIC_OR_PARTITION'];

export class Bookmark {
  private readonly options: BookmarkOptions;
  private keeper: KafkaNode | undefined;
  private wanted: number | undefined;
  private writing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private hasWarned = false;

  constructor(options: BookmarkOptions) {
    this.options = options;
  }

  async read(): Promise<number | undefined> {
    const { group, partition, signal } = this.options;
    for (let left = tries; ; left--) {
      try {
        return await this.withKeeper((keeper) => keeper.position(group, partition));
      } catch (cause) {
        if (!isRefusal(cause, ...passing)) throw cause;
        if (left === 0) {
          throw new ShoalError('SH3123', `Kafka does not say how far ${group} was read`, { why: cause.message, hint: keeperHint, cause });
        }
      }
      await later(retryMs, undefined, { signal });
    }
  }

  moved(offset: number): void {
    this.wanted = offset;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.write();
    }, everyMs).unref();
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.writing;
    await this.write();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.letGo();
  }

  private letGo(): void {
    if (this.keeper) this.options.nodes.close(this.keeper);
    this.keeper = undefined;
  }

  private write(): Promise<void> {
    this.writing ??= this.writeOnce().finally(() => {
      this.writing = undefined;
    });
    return this.writing;
  }

  private async writeOnce(): Promise<void> {
    const { group, partition, signal, onWarning } = this.options;
    const offset = this.wanted;
    if (offset === undefined || signal.aborted) return;
    this.wanted = undefined;
    try {
      await this.withKeeper((keeper) => keeper.keepPosition(group, partition, offset));
    } catch (error) {
      this.wanted ??= offset;
      if (this.hasWarned || signal.aborted || isRefusal(error, ...passing)) return;
      this.hasWarned = true;
      onWarning(`Kafka does not keep how far ${group} was read; a restart hears it again: ${(error as Error).message}`);
    }
  }

  /** Another node may have become the keeper, and an idle connection may have been closed. */
  private async withKeeper<T>(act: (keeper: KafkaNode) => Promise<T>): Promise<T> {
    const { nodes, connectAny, group } = this.options;
    try {
      if (!this.keeper?.isOpen) {
        this.letGo();
        const any = await connectAny();
        try {
          this.keeper = await nodes.connect(await any.keeperOf(group));
        } finally {
          nodes.close(any);
        }
      }
      return await act(this.keeper);
    } catch (error) {
      this.letGo();
      throw error;
    }
  }
}

const keeperHint = 'on one or two nodes Kafka needs offsets.topic.replication.factor=1';
