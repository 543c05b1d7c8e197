/**
 * Whether what a client feeds under a key is what the job has already (A02). Clients that began at the same time learn nothing of
 * each other when they submit: each of their batches says where the inputs before it, and each of its own, leave a running
 * mark, and the one behind the last input that the stage has must be the stage's. Who differs is told; the job goes on.
 */
import type { FromClient } from './messages.ts';
import type { Stage } from './state.ts';

type Inputs = Extract<FromClient, { kind: 'inputs' }>;
type Seal = Extract<FromClient, { kind: 'seal' }>;

/** How they differ from those of the stage, as far as this message tells. */
export function otherInputs({ columns, sealed, mark, digest }: Stage, message: Inputs | Seal): string | undefined {
  if (message.feeder === undefined) return undefined;
  const count = columns.length;
  if (message.kind === 'seal') {
    const { total } = message;
    if (total < count || (sealed && total > count)) return `there were ${count} inputs, now there are ${total}`;
    const differ = total === count && mark !== undefined && message.mark !== undefined && message.mark !== mark;
    return differ ? notTheSame(count) : undefined;
  }
  const { from, lengths, marks } = message;
  const known = count - from;
  if (marks && mark !== undefined && known >= 0 && known <= lengths.length) {
    if (marks[known] !== mark) return notTheSame(count);
    const ends = known === lengths.length && known > 0;
    if (ends && message.digest !== undefined && digest !== undefined && message.digest !== digest) return notTheSame(count);
  }
  return sealed && from + lengths.length > count ? `there were ${count} inputs, now there are more` : undefined;
}

function notTheSame(count: number): string {
  return `the first ${count} inputs are not what they were`;
}
