/**
 * The registry rolls: when it holds far more facts than are still true, it goes on in a fresh stream that begins with those
 * (rule 12). So what a new leader has to read is bounded by what lives, and not by what has been.
 *
 * 1. The beginning of the fresh stream is durable before the old one ends with `stream-rolled`, its last fact. As with any
 *    other entry, put-if-absent decides: a leader that has been replaced can't roll (S11).
 * 2. The root, which is the first of them and stays, names the present one. It is told after 1, and only then the old one goes.
 * 3. A beginning that was never named is of a term that can write no more: the next leader drops it.
 */
import type { RegistryFact } from './facts.ts';
import { rollPartMax } from './limits.ts';
import { bundlesOf } from './spec.ts';
import type { Registry, State } from './state.ts';
import type { Draft, Turn } from './turn.ts';

type Rolled = Extract<RegistryFact, { fact: 'stream-rolled' }>;

/** At the end of a turn. */
export function rollRegistry(state: State, turn: Turn): void {
  const { registry } = state;
  if (!registry.isNamed) return nameInRoot(state, turn);
  const living = state.jobs.size + state.workers.length + state.bundles.size;
  if (registry.facts < Math.max(state.bounds.rollFactsMin, 2 * living)) return;
  const { root, stream } = registry;
  if (stream !== root) state.orphans.add(stream);
  const generation = registry.generation + 1;
  const next = freshStream(registry, state.term);
  const parts = stillTrue(state, turn);
  turn.registryFact(state, { fact: 'stream-rolled', next, generation, entries: parts.length });
  turn.roll = { stream: next, parts };
}

/** What this term would call the stream that comes next. */
export function freshStream({ root, generation }: Registry, term: number): string {
  return `${root}.${generation + 1}.${term}`;
}

/** Nobody needs the old stream any more once the root leads past it. */
function nameInRoot({ registry }: State, turn: Turn): void {
  const { stream, generation, snapshotEntries, previous } = registry;
  registry.isNamed = true;
  turn.entryOf(registry.root, registry.rootSeq, { fact: 'stream-rolled', next: stream, generation, entries: snapshotEntries });
  if (previous !== undefined) turn.effects.push({ effect: 'dropStream', stream: previous });
}

/** As facts, in entries that are not too long; a job weighs as many as it has stages. */
function stillTrue(state: State, { wallMs }: Turn): RegistryFact[][] {
  const parts: RegistryFact[][] = [[]];
  let weight = 0;
  const add = (fact: RegistryFact, weighs = 1): void => {
    if (weight + weighs > rollPartMax && weight > 0) {
      parts.push([]);
      weight = 0;
    }
    parts.at(-1)!.push(fact);
    weight += weighs;
  };
  add({ fact: 'term', term: state.term, writer: state.writer, wallMs });
  for (const [queue, { version, last }] of state.queueChanges) {
    add({ fact: 'queue-set', queue, paused: state.pausedQueues.has(queue), changes: { version, last: [...last] } });
  }
  for (const { name, incarnation, index, past } of state.workers) {
    add({ fact: 'worker-joined', worker: name, incarnation, index, ...(past.size > 0 && { past: [...past] }) });
  }
  for (const { hash, name, stream, bytes, addedWallMs, jobs: needed } of state.bundles.values()) {
    // Workers may have tasks of what a job was before its code changed; all others are told by the jobs.
    const jobs = [...needed].filter((id) => !bundlesOf(state.jobs.get(id)!.spec).has(hash));
    add({ fact: 'bundle-added', hash, name, stream, bytes, wallMs: addedWallMs, ...(jobs.length > 0 && { jobs }) });
  }
  for (const { id, digest, spec, submission, createdWallMs } of state.jobs.values()) {
    const opened = { fact: 'job-opened', job: id, digest, spec, wallMs: createdWallMs } as const;
    add(submission === undefined ? opened : { ...opened, submission }, 1 + spec.stages.length);
  }
  // Behind the jobs, which any of them may have worked for.
  for (const { name, incarnation, status, why = '' } of state.workers) {
    if (status === 'left') add({ fact: 'worker-left', worker: name, incarnation, why });
  }
  for (const stream of state.orphans) add({ fact: 'stream-orphaned', stream });
  return parts;
}

/** A draft of the registry, or of its root, was stored. */
export function advanceRegistry(state: State, { stream, seq, facts }: Draft): void {
  const { registry } = state;
  if (stream === registry.root) registry.rootSeq = seq + 1;
  if (stream !== registry.stream) return;
  registry.nextSeq = seq + 1;
  const last = facts.at(-1);
  if (last?.fact === 'stream-rolled') goOn(state, last);
}

/** The present stream is folded to its end, which says where it goes on: how that begins is known already. */
export function goOn(state: State, { next, generation, entries }: Rolled): void {
  const { registry } = state;
  const isRoot = registry.stream === registry.root;
  if (!isRoot) state.orphans.add(registry.stream);
  registry.previous = isRoot ? undefined : registry.stream;
  registry.isNamed = isRoot;
  registry.stream = next;
  registry.nextSeq = entries;
  registry.snapshotEntries = entries;
  registry.generation = generation;
  registry.facts = 0;
}

/** Of a state that has folded nothing: the root names this stream, to be read from its beginning. */
export function startAt({ registry }: State, { next, generation, entries }: Rolled): void {
  registry.stream = next;
  registry.nextSeq = 0;
  registry.snapshotEntries = entries;
  registry.generation = generation;
}
