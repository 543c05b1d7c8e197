/** The checker's view of a registry that rolls: I2 it goes on in what holds all that is true then, and nothing is dropped that is needed. */
import type { RegistryFact } from '../src/core/facts.ts';
import type { Model } from './model.ts';
import { reached } from './probes.ts';
import type { StoredEntry } from './stream-model.ts';
import { check } from './violation.ts';

const root = 'registry';

export const isRegistry = (stream: string): boolean => stream === root || stream.startsWith(`${root}.`);

export class RegistryModel {
  /** Where what is stored counts. */
  private present = root;
  /** By the root. */
  private named = root;
  private readonly beginnings = new Map<string, RegistryFact[][]>();

  /** After it has rolled the root only names; whoever took over may do that without a barrier there. */
  isPointer(stream: string): boolean {
    return stream === root && this.present !== root;
  }

  /** Whether the entry says what is true from now on. */
  counts(entry: StoredEntry, facts: readonly RegistryFact[]): boolean {
    const { stream } = entry;
    if (stream === this.present) return true;
    if (stream === root) {
      const [only] = facts;
      const names = facts.length === 1 && only?.fact === 'stream-rolled' ? only.next : undefined;
      check(names === this.present, 'I2', () => `the root names ${names}, and the registry is ${this.present}`);
      this.named = this.present;
    } else this.beginnings.set(stream, [...(this.beginnings.get(stream) ?? []), [...facts]]);
    return false;
  }

  /** The entry counted, and was folded. */
  after(facts: readonly RegistryFact[], model: Model): void {
    const last = facts.at(-1);
    if (last?.fact !== 'stream-rolled') return;
    const beginning = this.beginnings.get(last.next) ?? [];
    check(
      beginning.length === last.entries,
      'I2',
      () => `the registry rolls into ${last.next}, of which ${beginning.length} entries are stored`,
    );
    judgeBeginning(beginning.flat(), model);
    if (this.present === root) this.named = last.next;
    this.present = last.next;
    reached('the registry rolls');
  }

  drop(stream: string): void {
    check(stream !== this.present && stream !== this.named, 'I2', () => `${stream} is dropped, and the registry needs it`);
    if (this.beginnings.has(stream)) reached('a stream that the registry has left is dropped');
  }
}

function judgeBeginning(facts: readonly RegistryFact[], model: Model): void {
  const same = (what: string, told: Iterable<string>, known: Iterable<string>): void => {
    const [a, b] = [[...told].sort().join(), [...known].sort().join()];
    check(a === b, 'I2', () => `the registry rolls with ${what} ${a}, not ${b}`);
  };
  const jobs: string[] = [];
  const queues: string[] = [];
  const versions: string[] = [];
  const workers = new Map<number, string>();
  for (const fact of facts) {
    if (fact.fact === 'job-opened') jobs.push(fact.job);
    else if (fact.fact === 'queue-set') {
      if (fact.paused) queues.push(fact.queue);
      versions.push(`queue ${fact.queue}=${fact.changes?.version}`);
    } else if (fact.fact === 'worker-joined') workers.set(fact.index, `${fact.index} ${fact.worker}/${fact.incarnation} in`);
    else if (fact.fact === 'worker-left') {
      for (const [index, each] of workers)
        if (each.endsWith(` ${fact.worker}/${fact.incarnation} in`)) workers.set(index, each.replace(/in$/, 'left'));
    } else if (fact.fact === 'bundle-added') {
      check(
        model.programs.get(fact.hash)?.stream === fact.stream,
        'I2',
        () => `the registry rolls with a program ${fact.hash} that is not there`,
      );
    }
  }
  same(
    'jobs',
    jobs,
    [...model.jobs.values()].filter(({ isDropped }) => !isDropped).map(({ id }) => id),
  );
  same('paused queues', queues, model.paused);
  same('versions', versions, model.changes.queues);
  same('workers', workers.values(), model.roster.told());
}
