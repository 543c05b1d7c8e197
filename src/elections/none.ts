/** `none:` — the only coordinator there is leads at once and for ever. */
import type { Candidate, Election } from './election.ts';

export function noElection(): Election {
  let leading: Candidate | undefined;
  return {
    async campaign(me, signal) {
      signal.throwIfAborted();
      leading = me;
      return { lost: new AbortController().signal, ttlMs: Number.POSITIVE_INFINITY, resign: async () => void (leading = undefined) };
    },
    leader: async () => leading,
    close: async () => {},
  };
}
