/**
 * The lanes of a slot, for works whose tasks wait for I/O (`concurrency` above 1). Works begin in the order in which they were
 * posted and share the lanes: as soon as one has nothing left to start the next one begins in those that are free, so that
 * `concurrency` tasks run at a time however small works are.
 *
 * 1. While more tasks run than a work allows, it starts none.
 * 2. A lane is the least number that is free, and so below the `concurrency` of its work: where the host reads its mark.
 */
import type { Batch } from './batch.ts';
import type { WorkMessage } from './channel.ts';

export interface LaneWorks {
  /** Takes the next work off the line, if it may run beside so many tasks. */
  next(taken: number): WorkMessage | undefined;
  /** Loads what it needs, in this lane. Undefined: it can't be run, and that was told. */
  open(message: WorkMessage, lane: number): Promise<Batch | undefined>;
  /** All was told. */
  closed(batch: Batch): void;
}

export class Lanes {
  private readonly works: LaneWorks;
  private readonly isTaken: boolean[] = [];
  private taken = 0;
  /** Lanes of each work that has begun. */
  private readonly running = new Map<Batch, number>();
  /** The last that has begun: only it can have tasks left to start. */
  private newest: Batch | undefined;
  private isOpening = false;
  private end: (() => void) | undefined;

  constructor(works: LaneWorks) {
    this.works = works;
  }

  /** Resolves when all is through, of this work and of those that began beside it. */
  run(first: WorkMessage): Promise<void> {
    return new Promise((resolve) => {
      this.end = resolve;
      void this.begin(first);
    });
  }

  /** Something was posted: lanes may be free for it. */
  fill(): void {
    if (!this.end) return;
    while (!this.isOpening) {
      const { newest } = this;
      if (newest?.hasMore) {
        if (this.taken >= newest.lanes) return;
        this.start(newest, this.take());
      } else {
        const message = this.works.next(this.taken);
        if (!message) break;
        void this.begin(message);
      }
    }
    if (this.isOpening || this.running.size > 0) return;
    this.newest = undefined;
    const { end } = this;
    this.end = undefined;
    end();
  }

  private async begin(message: WorkMessage): Promise<void> {
    this.isOpening = true;
    const lane = this.take();
    const batch = await this.works.open(message, lane);
    this.isOpening = false;
    if (batch) {
      this.newest = batch;
      this.start(batch, lane);
    } else this.free(lane);
    this.fill();
  }

  private start(batch: Batch, lane: number): void {
    this.running.set(batch, (this.running.get(batch) ?? 0) + 1);
    void batch.runLane(lane).then(() => this.ended(batch, lane));
  }

  /** A lane ends when its work has nothing left to start; the last one tells the end. */
  private async ended(batch: Batch, lane: number): Promise<void> {
    const others = this.running.get(batch)! - 1;
    this.running.set(batch, others);
    if (others === 0) {
      await batch.finish(lane);
      this.running.delete(batch);
      this.works.closed(batch);
    }
    this.free(lane);
    this.fill();
  }

  private take(): number {
    const free = this.isTaken.indexOf(false);
    const lane = free < 0 ? this.isTaken.length : free;
    this.isTaken[lane] = true;
    this.taken += 1;
    return lane;
  }

  private free(lane: number): void {
    this.isTaken[lane] = false;
    this.taken -= 1;
  }
}
