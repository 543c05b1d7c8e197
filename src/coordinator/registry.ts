/**
 * The registry in the journal, from its root to its end: see core/roll.ts. Streams are followed only while nothing was written yet;
 * whoever finds later that it has rolled on is not alone.
 */
import type { Fact, RegistryFact } from '../core/facts.ts';
import { applyRegistryFact } from '../core/fold.ts';
import { goOn, startAt } from '../core/roll.ts';
import type { State } from '../core/state.ts';
import { ConflictError, type Journal, JournalCorruptError } from '../journals/journal.ts';
import { ShoalError } from '../lib/errors.ts';
import { decodeHead, encodeHead } from '../wire/frame.ts';

export interface Clock {
  nowMs(): number;
  wallMs(): number;
}

type Rolled = Extract<RegistryFact, { fact: 'stream-rolled' }>;

/** SH3003: another coordinator leads. */
export class NotLeaderError extends ShoalError {
  override readonly name = 'NotLeaderError';
  constructor(term: number) {
    super('SH3003', `another coordinator leads (term ${term})`, { hint: 'stop it first, or use another journal' });
  }
}

/** Into a state that has folded nothing. */
export async function foldRegistry(state: State, journal: Journal, clock: Clock): Promise<void> {
  const { registry } = state;
  const named = await lastOfRoot(state, journal);
  if (named) startAt(state, named);
  for (;;) {
    const { stream } = registry;
    const rolled = await foldOn(state, journal, clock);
    if (registry.nextSeq < registry.snapshotEntries) return lost(state, journal, stream);
    if (!rolled) break;
    goOn(state, rolled);
  }
  if (registry.stream === registry.root) registry.rootSeq = registry.nextSeq;
}

/** After a conflict: what somebody else has written meanwhile. */
export async function foldNewRegistry(state: State, journal: Journal, clock: Clock): Promise<void> {
  const { registry } = state;
  const { nextSeq } = registry;
  const rolled = await foldOn(state, journal, clock);
  if (rolled) throw new NotLeaderError(state.term);
  // It may be gone altogether, since the root leads past it.
  if (registry.nextSeq === nextSeq) mustBe(state, await lastOfRoot(state, journal));
}

/** The last leader may not have come to it. This term's barrier is there: nobody else can roll on from here. */
export async function nameInRoot(state: State, journal: Journal): Promise<void> {
  const { registry, writer } = state;
  const { root, stream, generation, snapshotEntries } = registry;
  if (registry.isNamed) return;
  const fact: Fact = { fact: 'stream-rolled', next: stream, generation, entries: snapshotEntries };
  try {
    await journal.append([{ stream: root, seq: registry.rootSeq, writer, head: encodeHead([fact]), body: [] }]);
    registry.rootSeq++;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    // Whoever rolled was about to say the same.
    mustBe(state, await lastOfRoot(state, journal));
  }
  registry.isNamed = true;
}

/** Folds the present stream to its end; what it ends with if it has rolled. */
async function foldOn(state: State, journal: Journal, clock: Clock): Promise<Rolled | undefined> {
  const { registry } = state;
  let last: RegistryFact | undefined;
  for await (const entries of journal.read(registry.stream, { from: registry.nextSeq, part: 'head' })) {
    const at = { nowMs: clock.nowMs(), wallMs: clock.wallMs() };
    for (const { head, seq } of entries) {
      // Of the root: it has rolled, and was told of the next stream meanwhile.
      if (last?.fact === 'stream-rolled') throw new NotLeaderError(state.term);
      for (last of decodeHead<RegistryFact>(head)) applyRegistryFact(state, last, at);
      registry.nextSeq = seq + 1;
      if (registry.nextSeq <= registry.snapshotEntries) registry.facts = 0;
    }
  }
  return last?.fact === 'stream-rolled' ? last : undefined;
}

/** Which stream the root names; undefined while it is the present one itself. */
async function lastOfRoot({ registry }: State, journal: Journal): Promise<Rolled | undefined> {
  let head: Uint8Array | undefined;
  for await (const entries of journal.read(registry.root, { from: registry.rootSeq, part: 'head' })) {
    head = entries.at(-1)!.head;
    registry.rootSeq += entries.length;
  }
  const last = head && decodeHead<RegistryFact>(head).at(-1);
  return last?.fact === 'stream-rolled' ? last : undefined;
}

function mustBe({ registry, term }: State, named: Rolled | undefined): void {
  if (named && named.next !== registry.stream) throw new NotLeaderError(term);
}

/** It was there when the root named it: dropped since, or damage. */
async function lost(state: State, journal: Journal, stream: string): Promise<never> {
  if (await lastOfRoot(state, journal)) throw new NotLeaderError(state.term);
  throw new JournalCorruptError(`the registry goes on in stream ${stream}, which is not there`);
}
