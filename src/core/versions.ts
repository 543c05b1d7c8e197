/**
 * Versions of jobs and queues. What people change about one is counted, so that two who look at it and then change it can't
 * overwrite each other. Making the changes is in changes.ts.
 *
 * 1. A change that expects a version is made at that version or not at all: of several that expect the same, one at most.
 * 2. The version is what the fold counts: a change and its effect are facts of one entry, and it is the same under every leader.
 * 3. What changes nothing is no change. Nor is what tasks do: a job that goes on, or ends by itself, stays at its version.
 * 4. A change that is said again, because its answer was lost, is known by its name and answered as it was (A03). It is not
 *    refused because of itself, and not made twice.
 */
import { formatElapsed } from '../lib/format.ts';
import type { Change, Changes, JobFact, RegistryFact } from './facts.ts';
import { changesKept } from './limits.ts';
import type { Refusal } from './messages.ts';
import type { State } from './state.ts';

export function foldChange(changes: Changes, { what, count, change, wallMs }: Extract<JobFact, { fact: 'job-changed' }>): void {
  remember(changes, what, count, change, wallMs);
}

/** A queue that goes on stays known: if it began at nothing again, an old expectation would fit a second time. */
export function foldQueueSet(state: State, fact: Extract<RegistryFact, { fact: 'queue-set' }>): void {
  const { queue, paused, change, wallMs, changes: whole } = fact;
  if (paused) state.pausedQueues.add(queue);
  else state.pausedQueues.delete(queue);
  const changes: Changes = state.queueChanges.get(queue) ?? { version: 0, last: [] };
  state.queueChanges.set(queue, whole ? { version: whole.version, last: [...whole.last] } : changes);
  // Journals of before there were versions tell no time.
  if (!whole) remember(changes, paused ? 'paused' : 'resumed', 1, change, wallMs ?? 0);
}

function remember(changes: Changes, what: Change['what'], count: number, name: string | undefined, wallMs: number): void {
  changes.version++;
  changes.last.push({ version: changes.version, what, count, ...(name === undefined ? {} : { name }), wallMs });
  if (changes.last.length > changesKept) changes.last.shift();
}

/** The same change, made before. */
export function madeBefore(changes: Changes, name: string | undefined): Change | undefined {
  return name === undefined ? undefined : changes.last.find((change) => change.name === name);
}

/** `look`: the command that shows the thing as it is now. */
export function refusalOf(
  thing: string,
  { version, last }: Changes,
  expected: number | undefined,
  look: string,
  wallMs: number,
): Refusal | undefined {
  if (expected === undefined || expected === version) return undefined;
  const since = last.filter((change) => change.version > expected);
  const steps = since.map((change) => `${change.what}${agoOf(change, wallMs)} (version ${change.version})`);
  const more = expected + since.length < version ? 'changed, and then ' : '';
  return {
    code: 'SH1414',
    message: `${thing} is at version ${version}, and you looked at ${expected}`,
    why: expected > version ? `it has never been at version ${expected}` : `since then it was ${more}${steps.join(', ')}`,
    hint: `look again: ${look}`,
  };
}

function agoOf(change: Change, wallMs: number): string {
  return change.wallMs === 0 ? '' : ` ${formatElapsed(wallMs - change.wallMs)} ago`;
}
