/** What a turn stores, as entries of the journal. */
import type { SomeBounds } from '../core/limits.ts';
import type { State } from '../core/state.ts';
import type { Draft, Turn } from '../core/turn.ts';
import type { Entry, Journal } from '../journals/journal.ts';
import { encodeHead } from '../wire/frame.ts';

const noHead = new Uint8Array();

export function entriesOf(drafts: Iterable<Draft>, { writer, about }: State): Entry[] {
  // What ends with this process is never folded again: only its payload is worth keeping.
  if (about.durability === 'none') {
    const entries: Entry[] = [];
    for (const { stream, seq, body } of drafts) if (body.length > 0) entries.push({ stream, seq, writer, head: noHead, body });
    return entries;
  }
  return Array.from(drafts, ({ stream, seq, facts, body }) => ({ stream, seq, writer, head: encodeHead(facts), body }));
}

/** Of the stream that the registry goes on in with this turn, if it does. */
export function beginningOf(roll: Turn['roll'], writer: string): Entry[] {
  if (!roll) return [];
  return roll.parts.map((facts, seq) => ({ stream: roll.stream, seq, writer, head: encodeHead(facts), body: [] }));
}

/** What ends with this process is not written, so it need not roll either. */
export function boundsOf({ durability }: Journal, asked: SomeBounds = {}): SomeBounds {
  return durability === 'none' ? { ...asked, rollFactsMin: Number.POSITIVE_INFINITY } : asked;
}
