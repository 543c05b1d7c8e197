/**
 * Programs that clients upload, by the hash of their bytes. Each lies in a stream of its own, one entry long; the registry
 * knows it by name. It goes with the last job that needs it; one that no job came for goes when the next is added.
 */
import { bundleIdleMs } from './limits.ts';
import type { FromClient, FromWorker } from './messages.ts';
import { bundlesOf } from './spec.ts';
import type { Job, Stage, State, StoredBundle, Worker } from './state.ts';
import { bundleStream } from './state.ts';
import type { Turn } from './turn.ts';

export function putBundle(
  state: State,
  session: string,
  message: Extract<FromClient, { kind: 'putBundle' }>,
  newId: string,
  turn: Turn,
): void {
  const { hash, name, body, request } = message;
  if (!state.bundles.has(hash)) {
    for (const bundle of [...state.bundles.values()]) {
      if (bundle.jobs.size === 0 && turn.wallMs - bundle.addedWallMs > bundleIdleMs) dropBundle(state, bundle, turn);
    }
    const bytes = body.reduce((sum, chunk) => sum + chunk.length, 0);
    const stream = bundleStream(newId);
    turn.entry(stream, { fact: 'bundle-stored', hash }, body);
    turn.registryFact(state, { fact: 'bundle-added', hash, name, stream, bytes, wallMs: turn.wallMs });
  }
  turn.tell(session, { kind: 'reply', request, value: {} });
}

/** A worker asks for a program that it was given tasks of. */
export function onBundleWanted(state: State, worker: Worker, message: Extract<FromWorker, { kind: 'bundleWanted' }>, turn: Turn): void {
  const { hash } = message;
  const bundle = state.bundles.get(hash);
  if (!bundle) return turn.send(worker.address, { kind: 'bundle', term: state.term, hash, isThere: false, body: [] });
  turn.effects.push({
    effect: 'sendBundle',
    address: worker.address,
    stream: bundle.stream,
    message: { kind: 'bundle', term: state.term, hash, isThere: true },
    slices: [{ seq: 0, offset: 0, length: bundle.bytes }],
  });
}

/** The first of its programs that is not here. */
export function missingBundle(state: State, spec: Job['spec']): string | undefined {
  for (const hash of bundlesOf(spec)) if (!state.bundles.has(hash)) return hash;
  return undefined;
}

/**
 * Its bytes were not stored when the last leader died; whoever uploads it was not told and uploads it again. Handed out before, its
 * tasks would be refused by each worker, for good.
 */
export function lacksProgram(state: State, { spec: { definition } }: Stage): boolean {
  return definition?.bundle !== undefined && !state.bundles.has(definition.bundle);
}

/** Programs that the job was submitted with, be it again under its key. */
export function bundlesFor(state: State, job: Job): StoredBundle[] {
  return [...state.bundles.values()].filter(({ jobs }) => jobs.has(job.id));
}

/** After a job was dropped: of its programs, those that only it needed go as well. */
export function dropUnneeded(state: State, bundles: readonly StoredBundle[], turn: Turn): void {
  for (const bundle of bundles) if (bundle.jobs.size === 0) dropBundle(state, bundle, turn);
}

function dropBundle(state: State, { hash, stream }: StoredBundle, turn: Turn): void {
  turn.registryFact(state, { fact: 'bundle-dropped', hash });
  turn.effects.push({ effect: 'dropStream', stream });
}
