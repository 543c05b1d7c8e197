/** Whether a job that is submitted under a key is the one that is there: what of it differs, and whose code it runs. */
import type { RegistryFact } from './facts.ts';
import { changeKind } from './rings.ts';
import type { JobSpec, RetrySpec, StageSpec } from './spec.ts';
import type { Job, State } from './state.ts';
import type { Turn } from './turn.ts';

const ofJob = { delayMs: 'delay', output: 'what is read of it' } as const satisfies { [K in keyof JobSpec]?: string };
const ofRetry: Record<keyof RetrySpec, string> = {
  retries: 'retries',
  backoff: 'retries.backoff',
  delayMs: 'retries.delay',
  delayMsMax: 'retries.maxDelay',
  jitter: 'retries.jitter',
};
const ofStage: Record<Exclude<keyof StageSpec, 'definition' | 'retry'>, string> = {
  feed: 'graph',
  args: 'arguments',
  template: 'arguments',
  after: 'graph',
  queue: 'queue',
  resources: 'resources',
  timeoutMs: 'timeout',
  ttlMs: 'ttl',
  crashLimit: 'crashLimit',
  failuresMax: 'maxFailures',
  onFailure: 'onFailure',
  chunkSize: 'chunkSize',
  concurrency: 'concurrency',
};

/** The names, as people write them, of what is not the same; with what it was and is, where that is short. */
export function differences(was: JobSpec, is: JobSpec): string[] {
  const found = new Set<string>();
  const compare = (name: string, before: unknown, now: unknown): void => {
    if (canonical(before) === canonical(now)) return;
    found.add([before, now].every(isShort) ? `${name} (then ${shown(before)}, now ${shown(now)})` : name);
  };
  const compareAll = <T extends object>(names: { readonly [K in keyof T]?: string }, before: T, now: T): void => {
    for (const field of Object.keys(names) as (keyof T)[]) compare(names[field]!, before[field], now[field]);
  };
  compare('name', was.name, is.name);
  compareAll<JobSpec>(ofJob, was, is);
  compare('number of stages', was.stages.length, is.stages.length);
  was.stages.forEach((before, index) => {
    const now = is.stages[index];
    if (!now) return;
    compare('task', before.definition?.name, now.definition?.name);
    compare('codec', before.definition?.codec, now.definition?.codec);
    compareAll<StageSpec>(ofStage, before, now);
    compareAll<RetrySpec>(ofRetry, before.retry, now.retry);
  });
  return [...found];
}

/**
 * The same job submitted again brings where its code lies now. That it is the same is the client's word only. One of which
 * nothing can run again keeps what it has. True: it has run another program so far.
 */
export function useCodeOf(state: State, job: Job, spec: JobSpec, turn: Turn): boolean {
  const isThrough = job.outcome === 'succeeded' && job.failure === undefined;
  let isOther = false;
  const definitions = job.spec.stages.map(({ definition: own }, index) => {
    const definition = spec.stages[index]?.definition;
    if (!definition || own?.name !== definition.name) return null;
    isOther ||= own.bundle !== definition.bundle;
    return canonical(own) === canonical(definition) ? null : definition;
  });
  if (!isThrough && definitions.some((definition) => definition !== null)) {
    turn.registryFact(state, { fact: 'code-changed', job: job.id, definitions });
  }
  return isOther;
}

export function foldCodeChanged(state: State, { job: id, definitions }: Extract<RegistryFact, { fact: 'code-changed' }>): void {
  const job = state.jobs.get(id);
  definitions.forEach((definition, index) => {
    const own = job?.spec.stages[index];
    if (!definition || !own) return;
    own.definition = definition;
    const stage = job!.stages[index]!;
    for (const worker of state.workers) worker.refused.delete(stage);
    changeKind(state, job!, stage, undefined);
    if (definition.bundle !== undefined) state.bundles.get(definition.bundle)?.jobs.add(id);
  });
}

function isShort(value: unknown): boolean {
  return value === undefined || (typeof value !== 'object' && String(value).length <= 40);
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : String(value);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part !== 'object' || part === null || Array.isArray(part)
      ? part
      : Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}
