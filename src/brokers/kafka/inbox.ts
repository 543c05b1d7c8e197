/**
 * One inbox: fetches from its partition, hands over what has its key, and goes on behind it. One handle at a time; what is
 * fetched and not yet handled is never more than one answer.
 *
 * Positions are remembered by this process, too, for the connection that takes the place of a lost one: nobody else keeps
 * those of workers and probes, and Kafka may have lost the others.
 */
import type { Subscription } from '../carrier.ts';
import type { Bookmark } from './bookmark.ts';
import { isRefusal, type KafkaNode, type KafkaRecord } from './node.ts';
import type { Place } from './topics.ts';

export interface InboxOptions {
  name: string;
  place: Place;
  /** A connection of its own. */
  node: KafkaNode;
  /** Where messages wait. */
  bookmark: Bookmark | undefined;
  handle: (payloads: readonly Uint8Array[]) => Promise<void>;
  /** Reading failed, and the connection is of no more use. */
  onLost: (error: unknown) => void;
  onClosed: () => void;
}

const fetchBytesMax = 4 * 1024 * 1024;
/** Kafka answers a fetch that waits as soon as something comes. Where it does not (a mock), it comes that much later. */
const waitMsMin = 100;
const waitMsMax = 500;

export class Inbox implements Subscription {
  private readonly options: InboxOptions;
  private isClosed = false;
  private offset = 0;
  private running: Promise<void> = Promise.resolve();
  private closing: Promise<void> | undefined;

  constructor(options: InboxOptions) {
    this.options = options;
  }

  get position(): number {
    return this.offset;
  }

  /** Resolves when it is fixed from where on it hears. */
  async start(remembered: number | undefined): Promise<void> {
    const { bookmark, place } = this.options;
    const kept = bookmark ? await bookmark.read() : remembered;
    const end = await this.edge('end');
    // A position behind the end is one in a topic that was lost since, and made anew.
    if (kept !== undefined && kept <= end) this.offset = kept;
    else if (place.from === 'its first listener' && (kept ?? remembered) === undefined) await this.startAt(end);
    else this.offset = await this.edge();
    this.running = this.run();
  }

  /** Whoever listens next hears on from here, whether or not anything comes meanwhile. */
  private async startAt(offset: number): Promise<void> {
    this.offset = offset;
    this.options.bookmark?.moved(offset);
    await this.options.bookmark?.flush();
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  /** The connection is gone: as `close`, but nothing more is asked of the server. */
  drop(): void {
    this.isClosed = true;
    this.options.bookmark?.stop();
  }

  private async end(): Promise<void> {
    const wasOpen = !this.isClosed;
    this.isClosed = true;
    this.options.node.close();
    await this.running;
    const { bookmark, onClosed } = this.options;
    if (wasOpen) await bookmark?.flush();
    bookmark?.stop();
    onClosed();
  }

  private async run(): Promise<void> {
    let waitMs = waitMsMin;
    while (!this.isClosed) {
      const records = await this.fetch(waitMs);
      if (!records) return;
      waitMs = records.length > 0 ? waitMsMin : Math.min(2 * waitMs, waitMsMax);
      const mine: Uint8Array[] = [];
      let next = this.offset;
      for (const { offset, key, value } of records) {
        if (offset < this.offset) continue;
        if (key === this.options.name) mine.push(value);
        next = Math.max(next, offset + 1);
      }
      if (mine.length > 0 && !this.isClosed) await this.options.handle(mine);
      else if (mine.length > 0) return;
      if (next === this.offset) continue;
      this.offset = next;
      this.options.bookmark?.moved(next);
    }
  }

  private async edge(which: 'first' | 'end' = this.options.bookmark ? 'first' : 'end'): Promise<number> {
    const { node, place } = this.options;
    const [offset] = await node.offsetsOf([place], which);
    return offset!;
  }

  private async fetch(waitMs: number): Promise<readonly KafkaRecord[] | undefined> {
    const { node, place, onLost } = this.options;
    try {
      try {
        return await node.fetch(place, this.offset, { waitMs, bytesMax: fetchBytesMax });
      } catch (error) {
        if (!isRefusal(error, 'OFFSET_OUT_OF_RANGE')) throw error;
        // What lay there was dropped by age, or the topic was lost and made anew.
        this.offset = await this.edge();
        return [];
      }
    } catch (error) {
      if (!this.isClosed) onLost(error);
      return undefined;
    }
  }
}
