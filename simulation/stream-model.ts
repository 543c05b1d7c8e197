/** The checker's view of the journal's streams: I2 no holes, barriers of growing terms; I13 entries by the last barrier's writer. */
import type { Fact } from '../src/core/facts.ts';
import { check } from './violation.ts';

export interface StoredEntry {
  stream: string;
  seq: number;
  writer: string;
  head: Uint8Array;
  body: Uint8Array;
}

interface Stream {
  nextSeq: number;
  term: number;
  writer: string | undefined;
}

export class Streams {
  private readonly byName = new Map<string, Stream>();

  isEmpty(stream: string): boolean {
    return !this.byName.has(stream);
  }

  /** `opener`: who has opened the job whose stream it is; `isPointer`: any leader may have written it. */
  judge(entry: StoredEntry, first: Fact | undefined, opener: string | undefined, isPointer: boolean): void {
    let stream = this.byName.get(entry.stream);
    if (!stream) this.byName.set(entry.stream, (stream = { nextSeq: 0, term: 0, writer: undefined }));
    const { nextSeq } = stream;
    check(entry.seq === nextSeq, 'I2', () => `${entry.stream} has entry ${entry.seq} where ${nextSeq} comes next`);
    stream.nextSeq++;
    if (first?.fact === 'term') return judgeBarrier(entry, stream, first);
    if (isPointer) return;
    const expected = stream.writer ?? opener;
    if (entry.stream === 'registry' || expected !== undefined) {
      check(entry.writer === expected, 'I13', () => `${entry.stream}/${entry.seq} is by ${entry.writer}, not by ${expected}`);
    }
  }
}

function judgeBarrier(entry: StoredEntry, stream: Stream, { term, writer }: Extract<Fact, { fact: 'term' }>): void {
  // Another stream's conflict makes a new leader try again, and put its barrier on this one a second time.
  const isAgain = term === stream.term && entry.writer === stream.writer && !entry.stream.startsWith('registry');
  check(term > stream.term || isAgain, 'I2', () => `${entry.stream}/${entry.seq}: term ${term} after ${stream.term}`);
  check(writer === entry.writer, 'I2', () => `${entry.stream}/${entry.seq}: a barrier in another's name`);
  stream.term = term;
  stream.writer = entry.writer;
}
