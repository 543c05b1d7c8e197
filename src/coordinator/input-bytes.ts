/** How much room an input takes in the inbox. */
import type { Input } from '../core/inputs.ts';

/** What an input takes beside its payload, about: many small ones fill an inbox, too. */
const inputBytes = 512;
/** A task counts as so many, whatever its payload: a turn of tiny ones would hold the event loop for as long as it has tasks. */
const taskBytes = 64;

export function bytesOf(input: Input): number {
  if (input.from === 'self' || input.message === 'closed') return 0;
  const { message } = input;
  let bytes = inputBytes;
  if ('lengths' in message && message.lengths) bytes += taskBytes * message.lengths.length;
  if (!('body' in message)) return bytes;
  for (const chunk of message.body ?? []) bytes += chunk.length;
  return bytes;
}
