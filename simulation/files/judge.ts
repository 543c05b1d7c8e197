/**
 * What a journal on files owes its users, whoever opens it and whatever happens to the machine (the contract of
 * src/journals/journal.ts, FAULTS S01, S02, S04, S06, S11, S13):
 *
 * F1: what was confirmed stays; so does what was read, for whoever read it goes on from that.
 * F2: a place holds one entry, for ever: nobody is confirmed, or shown, another one.
 * F3: what is read is what somebody has appended, byte for byte.
 * F4: a dropped stream stays empty and closed.
 * F5: whoever has the journal alone can read and write it; nothing is taken for damage that was none.
 *
 * Whoever made the highest segment has the journal. Others are told so when they write, and read what they knew.
 */
import type { Entry } from '../../src/journals/journal.ts';
import { check } from '../violation.ts';

interface Place {
  /** What each writer wanted here. */
  wanted: Map<string, string>;
  /** Whose entry it is. */
  writer: string | undefined;
}

export class Judge {
  private readonly streams = new Map<string, Place[]>();
  /** `asked`: it may be dropped, or not. */
  private readonly dropped = new Map<string, 'asked' | 'done'>();

  isDropped(stream: string): boolean {
    return this.dropped.get(stream) === 'done';
  }

  mayBeDropped(stream: string): boolean {
    return this.dropped.has(stream);
  }

  onAppend(entries: readonly Entry[]): void {
    for (const entry of entries) this.place(entry.stream, entry.seq).wanted.set(entry.writer, textOf(entry));
  }

  onAppended(entries: readonly Entry[]): void {
    for (const { stream, seq, writer } of entries) {
      check(!this.isDropped(stream), 'F4', () => `${stream}/${seq} of ${writer} is confirmed in a stream that was dropped`);
      this.settle(stream, seq, writer);
    }
  }

  /** Whether somebody else may have this place, so that an append there conflicts. */
  mayConflict({ stream, seq, writer }: Entry): boolean {
    return this.mayBeDropped(stream) || [...this.place(stream, seq).wanted.keys()].some((other) => other !== writer);
  }

  /** None of them is stored. */
  onRefused(entries: readonly Entry[]): void {
    for (const { stream, seq, writer } of entries) this.place(stream, seq).wanted.delete(writer);
  }

  /** The first place that nobody has, and that this writer has not asked for. */
  free(stream: string, writer: string): number {
    const places = this.streams.get(stream) ?? [];
    const at = places.findIndex((place) => place.writer === undefined && !place.wanted.has(writer));
    return at < 0 ? places.length : at;
  }

  onDrop(stream: string): void {
    if (!this.isDropped(stream)) this.dropped.set(stream, 'asked');
  }

  onDropped(stream: string): void {
    this.dropped.set(stream, 'done');
  }

  /** So many entries of a stream are there, up to the first hole. */
  count(stream: string): number {
    if (this.mayBeDropped(stream)) return 0;
    const places = this.streams.get(stream) ?? [];
    const hole = places.findIndex(({ writer }) => writer === undefined);
    return hole < 0 ? places.length : hole;
  }

  /** `owed`: so many it had to find. `isCurrent`: it had the journal all the while. */
  onRead(reader: string, stream: string, entries: readonly Entry[], owed: number, isCurrent: boolean): void {
    for (const [at, entry] of entries.entries()) {
      const { seq, writer } = entry;
      check(seq === at, 'F3', () => `${reader} reads ${stream}/${seq} where ${at} is due`);
      check(
        this.place(stream, seq).wanted.get(writer) === textOf(entry),
        'F3',
        () => `${reader} reads ${stream}/${seq} of ${writer} altered`,
      );
      this.settle(stream, seq, writer);
    }
    check(
      !isCurrent || entries.length >= owed || this.mayBeDropped(stream),
      'F1',
      () => `${reader} reads ${entries.length} of ${owed} entries of ${stream}`,
    );
  }

  onReadDropped(reader: string, stream: string, entries: readonly Entry[]): void {
    check(entries.length === 0, 'F4', () => `${reader} reads ${entries.length} entries of ${stream}, which was dropped`);
  }

  get names(): string[] {
    return [...this.streams.keys()];
  }

  private settle(stream: string, seq: number, writer: string): void {
    const place = this.place(stream, seq);
    check(place.writer === undefined || place.writer === writer, 'F2', () => `${stream}/${seq} is of ${place.writer} and of ${writer}`);
    place.writer = writer;
  }

  private place(stream: string, seq: number): Place {
    let places = this.streams.get(stream);
    if (!places) this.streams.set(stream, (places = []));
    while (places.length <= seq) places.push({ wanted: new Map(), writer: undefined });
    return places[seq]!;
  }
}

function textOf({ head, body }: Entry): string {
  return [head, ...body].map((bytes) => Buffer.from(bytes).toString('latin1')).join('');
}
