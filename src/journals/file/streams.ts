/**
 * Where each entry lies: 20 bytes an entry, no payload. Owns the open streams' columns and the set of closed ones;
 * knows nothing of files. What is in here is durable: the committer adds an entry after its write was confirmed.
 */
import { ClosedStreams, streamHash } from './closed.ts';
import { FRAME_BYTES } from './format.ts';

/** Where one entry lies; `at` is the offset of its record in the segment. */
export interface Place {
  segment: number;
  at: number;
  headBytes: number;
  bodyBytes: number;
  writer: string;
  writerBytes: number;
}

export function emptyPlace(): Place {
  return { segment: 0, at: 0, headBytes: 0, bodyBytes: 0, writer: '', writerBytes: 0 };
}

const WIDTH = 5;

interface Stream {
  nameBytes: number;
  /** segment, at, headBytes, bodyBytes, writer's number, for each entry up to the first hole. */
  columns: Uint32Array;
  count: number;
  /** Entries after the first hole. */
  beyond: Map<number, Uint32Array> | undefined;
}

export class Streams {
  readonly closed = new ClosedStreams();
  readonly #streams = new Map<string, Stream>();
  readonly #writers: string[] = [];
  readonly #writerBytes: number[] = [];
  readonly #writerNumbers = new Map<string, number>();

  /** True and `place` filled, if there is such an entry. */
  find(name: string, seq: number, place: Place): boolean {
    const stream = this.#streams.get(name);
    if (stream === undefined) return false;
    if (seq < stream.count) {
      this.#fill(place, stream.columns, seq * WIDTH);
      return true;
    }
    const entry = stream.beyond?.get(seq);
    if (entry === undefined) return false;
    this.#fill(place, entry, 0);
    return true;
  }

  isClosed(name: string): boolean {
    return !this.#streams.has(name) && this.closed.has(name);
  }

  /** The first hole: what readers see ends there. */
  count(name: string): number {
    return this.#streams.get(name)?.count ?? 0;
  }

  nameBytes(name: string): number {
    return this.#streams.get(name)?.nameBytes ?? Buffer.byteLength(name);
  }

  /** Adds an entry, or moves it to where its copy lies. */
  set(name: string, seq: number, place: Omit<Place, 'writerBytes'>): void {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      stream = { nameBytes: Buffer.byteLength(name), columns: new Uint32Array(WIDTH), count: 0, beyond: undefined };
      this.#streams.set(name, stream);
    }
    const row = [place.segment, place.at, place.headBytes, place.bodyBytes, this.#writerNumber(place.writer)];
    if (seq < stream.count) {
      stream.columns.set(row, seq * WIDTH);
    } else if (seq > stream.count) {
      stream.beyond ??= new Map();
      stream.beyond.set(seq, Uint32Array.from(row));
    } else {
      push(stream, row);
      for (let next = stream.beyond?.get(stream.count); next !== undefined; next = stream.beyond?.get(stream.count)) {
        stream.beyond?.delete(stream.count);
        push(stream, next);
      }
    }
  }

  /** Closes a stream and forgets its entries, telling of each how many bytes it had in which segment. */
  close(name: string, freed: (segment: number, bytes: number) => void): void {
    this.closed.add(streamHash(name));
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    this.#streams.delete(name);
    for (let at = 0; at < stream.count * WIDTH; at += WIDTH) this.#free(stream, stream.columns, at, freed);
    for (const entry of stream.beyond?.values() ?? []) this.#free(stream, entry, 0, freed);
  }

  /** The open streams. */
  names(): IterableIterator<string> {
    return this.#streams.keys();
  }

  #free(stream: Stream, columns: Uint32Array, at: number, freed: (segment: number, bytes: number) => void): void {
    const writerBytes = this.#writerBytes[columns[at + 4] ?? 0] ?? 0;
    const bytes = FRAME_BYTES + stream.nameBytes + writerBytes + (columns[at + 2] ?? 0) + (columns[at + 3] ?? 0);
    freed(columns[at] ?? 0, bytes);
  }

  #fill(place: Place, columns: Uint32Array, at: number): void {
    const writer = columns[at + 4] ?? 0;
    place.segment = columns[at] ?? 0;
    place.at = columns[at + 1] ?? 0;
    place.headBytes = columns[at + 2] ?? 0;
    place.bodyBytes = columns[at + 3] ?? 0;
    place.writer = this.#writers[writer] ?? '';
    place.writerBytes = this.#writerBytes[writer] ?? 0;
  }

  #writerNumber(writer: string): number {
    let number = this.#writerNumbers.get(writer);
    if (number === undefined) {
      number = this.#writers.length;
      this.#writers.push(writer);
      this.#writerBytes.push(Buffer.byteLength(writer));
      this.#writerNumbers.set(writer, number);
    }
    return number;
  }
}

function push(stream: Stream, row: ArrayLike<number>): void {
  const at = stream.count * WIDTH;
  if (at === stream.columns.length) {
    const grown = new Uint32Array(at * 2);
    grown.set(stream.columns);
    stream.columns = grown;
  }
  stream.columns.set(row, at);
  stream.count += 1;
}
