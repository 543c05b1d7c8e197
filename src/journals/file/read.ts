/**
 * Reads entries and slices of bodies where the streams say that they lie. Neighbours on disk are read
 * together; what is handed out are windows of what was read, so nothing is copied.
 *
 * Checksums: names and heads are checked at each read, bodies when a whole entry is read; slices rely on the check of
 * every byte when the journal was opened.
 */
import { crc32 } from 'node:zlib';
import { missingSliceError } from '../checks.ts';
import { type BodySlice, type Entry, JournalCorruptError } from '../journal.ts';
import type { DiskFile } from './disk.ts';
import { decodeFrame, emptyFrame, FRAME_BYTES } from './format.ts';
import type { Ledger } from './ledger.ts';
import type { Segment } from './segments.ts';
import { emptyPlace, type Place } from './streams.ts';

/** One read of the disk at most, unless one entry or slice alone is larger. */
const SPAN_BYTES_MAX = 1024 * 1024;
/** Reading over a gap is cheaper than one more read. */
const GAP_BYTES_MAX = 16 * 1024;
/** Reads under way at once. */
const READS_MAX = 8;
/** How many entries `readEntries` hands out at once, and in about how many bytes. */
const BATCH_ENTRIES_MAX = 1024;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

/** A piece of one segment that is read at once. */
interface Span {
  segment: Segment;
  from: number;
  to: number;
  bytes: Buffer;
}

/** Gathers pieces into spans, in the order given. */
class SpanPlan {
  readonly spans: Span[] = [];
  readonly #ledger: Ledger;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** The span that will hold this piece. */
  add(segment: number, from: number, to: number): Span {
    const last = this.spans.at(-1);
    if (last !== undefined && last.segment.number === segment && from >= last.from && from <= last.to + GAP_BYTES_MAX) {
      if (to <= last.to) return last;
      if (to - last.from <= SPAN_BYTES_MAX) {
        last.to = to;
        return last;
      }
    }
    const found = this.#ledger.segments.get(segment);
    if (found === undefined) throw new JournalCorruptError(`segment ${segment} of the journal is not there`);
    const span = { segment: found, from, to, bytes: NO_BYTES };
    this.spans.push(span);
    return span;
  }

  /** Reads all spans. Their segments are held from before the first wait, so that none is removed meanwhile. */
  async read(): Promise<void> {
    const { segments } = this.#ledger;
    const [only] = this.spans;
    if (only === undefined) return;
    if (this.spans.length === 1) return segments.use(only.segment, (file) => readSpan(file, only));
    let next = 0;
    const readOn = async (): Promise<void> => {
      for (let span = this.spans[next++]; span !== undefined; span = this.spans[next++]) {
        const reading = span;
        await segments.use(reading.segment, (file) => readSpan(file, reading));
      }
    };
    const held = [...new Set(this.spans.map(({ segment }) => segment))];
    await segments.holding(held, () => Promise.all(Array.from({ length: Math.min(READS_MAX, this.spans.length) }, readOn)));
  }
}

const NO_BYTES = Buffer.alloc(0);

async function readSpan(file: DiskFile, span: Span): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(span.to - span.from);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, span.from + filled);
    if (bytesRead === 0) throw new JournalCorruptError(`${span.segment.path} ends at offset ${span.from + filled}, within confirmed bytes`);
    filled += bytesRead;
  }
  span.bytes = bytes;
}

/** The bytes of each slice, in the order asked. */
export async function readSlices(ledger: Ledger, stream: string, slices: readonly BodySlice[]): Promise<Uint8Array[]> {
  const plan = new SpanPlan(ledger);
  const place = emptyPlace();
  const nameBytes = ledger.streams.nameBytes(stream);
  const spans: Span[] = [];
  const starts = new Float64Array(slices.length);
  let seq = -1;
  let bodyAt = 0;
  for (const slice of slices) {
    if (slice.seq !== seq) {
      if (!ledger.streams.find(stream, slice.seq, place)) throw missingSliceError(stream, slice);
      seq = slice.seq;
      bodyAt = place.at + FRAME_BYTES + nameBytes + place.writerBytes + place.headBytes;
    }
    if (!(slice.offset >= 0 && slice.length >= 0 && slice.offset + slice.length <= place.bodyBytes)) throw missingSliceError(stream, slice);
    const from = bodyAt + slice.offset;
    starts[spans.length] = from;
    spans.push(plan.add(place.segment, from, from + slice.length));
  }
  await plan.read();
  return slices.map(({ length }, index) => {
    const span = spans[index]!;
    const from = starts[index]! - span.from;
    return span.bytes.subarray(from, from + length);
  });
}

/** Entries in order, up to `to` or the first hole, in batches. */
export async function* readEntries(
  ledger: Ledger,
  stream: string,
  range: { from: number; to?: number; part: 'head' | 'all' },
): AsyncGenerator<readonly Entry[]> {
  const to = range.to ?? Number.POSITIVE_INFINITY;
  let seq = range.from;
  for (;;) {
    const end = Math.min(to, ledger.streams.count(stream), seq + BATCH_ENTRIES_MAX);
    if (!(seq < end)) return;
    const entries = await readBatch(ledger, stream, { from: seq, to: end, part: range.part });
    seq += entries.length;
    yield entries;
  }
}

interface Wanted {
  place: Place;
  span: Span;
}

async function readBatch(ledger: Ledger, stream: string, range: { from: number; to: number; part: 'head' | 'all' }): Promise<Entry[]> {
  const plan = new SpanPlan(ledger);
  const nameBytes = ledger.streams.nameBytes(stream);
  const wanted: Wanted[] = [];
  let bytes = 0;
  for (let seq = range.from; seq < range.to && bytes < BATCH_BYTES_MAX; seq += 1) {
    const place = emptyPlace();
    ledger.streams.find(stream, seq, place);
    const length = FRAME_BYTES + nameBytes + place.writerBytes + place.headBytes + (range.part === 'all' ? place.bodyBytes : 0);
    wanted.push({ place, span: plan.add(place.segment, place.at, place.at + length) });
    bytes += length;
  }
  await plan.read();
  return wanted.map((one, index) => decodeEntry(stream, range.from + index, nameBytes, one, range.part));
}

const frame = emptyFrame();

function decodeEntry(stream: string, seq: number, nameBytes: number, { place, span }: Wanted, part: 'head' | 'all'): Entry {
  const { bytes, segment } = span;
  const at = place.at - span.from;
  const headAt = at + FRAME_BYTES + nameBytes + place.writerBytes;
  const bodyAt = headAt + place.headBytes;
  const isWhole =
    decodeFrame(bytes, at, place.at, segment.salt, frame) &&
    frame.seq === seq &&
    crc32(bytes.subarray(at + FRAME_BYTES, bodyAt)) === frame.headCrc &&
    (part === 'head' || place.bodyBytes === 0 || crc32(bytes.subarray(bodyAt, bodyAt + place.bodyBytes)) === frame.bodyCrc);
  if (!isWhole) throw new JournalCorruptError(`${segment.path} is damaged at offset ${place.at}: entry ${seq} of stream ${stream}`);
  const body = part === 'all' && place.bodyBytes > 0 ? [bytes.subarray(bodyAt, bodyAt + place.bodyBytes)] : [];
  return { stream, seq, writer: place.writer, head: bytes.subarray(headAt, bodyAt), body };
}
