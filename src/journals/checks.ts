/**
 * What every journal asks of its caller, in one place, so that each adapter refuses the same things
 * with the same words.
 */
import { ShoalError } from '../lib/errors.ts';
import { type BodySlice, type Entry, JournalCorruptError } from './journal.ts';

/** Names travel with a 16-bit length in every format that we write. */
const NAME_BYTES_MAX = 65_535;

/** SH4005: the caller kept a journal that it had closed. */
export function journalClosedError(): ShoalError {
  return new ShoalError('SH4005', 'the journal is closed', { hint: 'open it again; a closed journal takes and gives nothing' });
}

/** SH4008: what was given can't be stored by any journal; a mistake of the caller, nothing was stored. */
export function entryRefusedError(message: string): ShoalError {
  return new ShoalError('SH4008', message);
}

function bodyBytes(entry: Entry): number {
  let bytes = 0;
  for (const chunk of entry.body) bytes += chunk.length;
  return bytes;
}

/** Throws SH4008 when an append breaks the port's contract. */
export function checkEntries(entries: readonly Entry[], entryBytesMax: number): void {
  for (const entry of entries) {
    if (!Number.isSafeInteger(entry.seq) || entry.seq < 0) throw entryRefusedError(`${entry.seq} is no seq of stream ${entry.stream}`);
    checkName('stream', entry.stream);
    checkName('writer', entry.writer);
    const bytes = entry.head.length + bodyBytes(entry);
    if (bytes > entryBytesMax) {
      throw entryRefusedError(`entry ${entry.seq} of stream ${entry.stream} has ${bytes} bytes; this journal takes ${entryBytesMax}`);
    }
  }
  if (entries.length > 1) checkOneEachStream(entries);
}

export function checkName(what: 'stream' | 'writer', name: string): void {
  // A UTF-16 unit becomes at most three bytes: most names need no counting.
  if (name.length > 0 && (name.length * 3 <= NAME_BYTES_MAX || Buffer.byteLength(name) <= NAME_BYTES_MAX)) return;
  throw entryRefusedError(`a ${what} has a name of 1 to ${NAME_BYTES_MAX} bytes`);
}

function checkOneEachStream(entries: readonly Entry[]): void {
  const seen = new Set<string>();
  for (const { stream } of entries) {
    if (seen.has(stream)) throw entryRefusedError(`one append takes one entry a stream; it has two for ${stream}`);
    seen.add(stream);
  }
}

/** A slice that nothing stored answers to: the reader's book and the journal's differ. */
export function missingSliceError(stream: string, slice: BodySlice): JournalCorruptError {
  return new JournalCorruptError(`stream ${stream} has no bytes ${slice.offset}–${slice.offset + slice.length} in entry ${slice.seq}`);
}
