/**
 * Credit of a line's readers, passed on in portions. A client says how many tasks it takes; but results may be large and
 * its line slow, and all that is delivered waits in this process until it is written (N10).
 *
 * 1. For each reader the coordinator is given as much credit as `bytesMax` of results are expected to take, and nothing
 *    more while the line is above its high-water mark.
 * 2. How large a result is, is learned from what was delivered. Until then it is taken to be large.
 * 3. A reader for which nothing is on the way has credit for one task at least, as far as the client gave any.
 * 4. When the line is over nothing more is passed on, or waited for.
 */
import type { DeliverMessage, FromClient, ReadAsked } from '../core/messages.ts';
import type { Link } from '../wire/link.ts';

interface Reader {
  /** Given by the client and not passed on. */
  owed: number;
  /** Passed on and not delivered. */
  out: number;
  bytesPerTask: number;
}

const bytesMax = 16 * 1024 * 1024;
const unknownBytesPerTask = 256 * 1024;
/** A result weighs something, however small: its place in the columns. */
const leastBytesPerTask = 256;
/** One look at a small delivery is no proof that all are small. */
const forgets = 8;

export class Credit {
  private readonly link: Pick<Link, 'isOpen' | 'queuedBytes' | 'room'>;
  private readonly highWaterBytes: number;
  private readonly give: (message: FromClient) => void;
  private readonly readers = new Map<number, Reader>();
  private isWaiting = false;

  /** `give` says something to the coordinator in the client's name. */
  constructor(link: Pick<Link, 'isOpen' | 'queuedBytes' | 'room'>, highWaterBytes: number, give: (message: FromClient) => void) {
    this.link = link;
    this.highWaterBytes = highWaterBytes;
    this.give = give;
  }

  /** `asking`: what opens it, with so much of its credit. */
  open({ reader: number, credit }: ReadAsked, asking: (credit: number) => FromClient): void {
    const reader: Reader = { owed: credit, out: 0, bytesPerTask: unknownBytesPerTask };
    this.readers.set(number, reader);
    const hasRoom = !this.isWaiting && this.link.queuedBytes < this.highWaterBytes;
    this.give(asking(hasRoom ? take(reader) : 0));
    this.passOn();
  }

  more(number: number, credit: number): void {
    const reader = this.readers.get(number);
    if (!reader) return;
    reader.owed += credit;
    this.passOn();
  }

  /** It has gone to the line. */
  delivered({ reader: number, statuses, body, done }: DeliverMessage): void {
    const reader = this.readers.get(number);
    if (!reader) return;
    if (done) this.readers.delete(number);
    else if (statuses.length > 0) learn(reader, statuses.length, body);
    this.passOn();
  }

  close(number: number): void {
    this.readers.delete(number);
  }

  private passOn(): void {
    // A line that is over has room at once, and what it counts may never be written: there is nothing to wait for.
    if (this.isWaiting || !this.link.isOpen) return;
    if (this.link.queuedBytes < this.highWaterBytes) {
      for (const [number, reader] of this.readers) if (reader.owed > 0) this.passOnTo(number, reader);
      return;
    }
    this.isWaiting = true;
    void this.link.room().then(() => {
      this.isWaiting = false;
      this.passOn();
    });
  }

  private passOnTo(number: number, reader: Reader): void {
    const credit = take(reader);
    if (credit > 0) this.give({ kind: 'readCredit', reader: number, credit });
  }
}

/** In good portions, not task by task; 0 where there is nothing worth passing on. */
function take(reader: Reader): number {
  const window = Math.max(1, Math.floor(bytesMax / reader.bytesPerTask));
  const credit = Math.min(reader.owed, window - reader.out);
  if (credit <= 0 || credit < Math.min(reader.owed, window / 4)) return 0;
  reader.owed -= credit;
  reader.out += credit;
  return credit;
}

function learn(reader: Reader, tasks: number, body: readonly Uint8Array[]): void {
  let bytes = 0;
  for (const chunk of body) bytes += chunk.length;
  reader.out = Math.max(0, reader.out - tasks);
  reader.bytesPerTask = Math.max(leastBytesPerTask, bytes / tasks, reader.bytesPerTask / forgets);
}
