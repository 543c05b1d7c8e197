/** I8: what a leader has in memory is what the journal says, task by task. */
import { TaskState } from '../src/core/columns.ts';
import type { Fact } from '../src/core/facts.ts';
import type { State } from '../src/core/state.ts';
import { hasArgs, isLost } from './graph-model.ts';
import type { Final } from './job-model.ts';
import type { Model } from './model.ts';
import { reached } from './probes.ts';
import { Violation } from './violation.ts';
import type { SimNode } from './world.ts';

export interface Leader {
  state: State;
  node: SimNode;
  /** What it has decided, nobody waits for, and the next commit takes along. */
  onTheWay: readonly Fact[];
}

const finals: Partial<Record<number, Final>> = {
  [TaskState.done]: 'done',
  [TaskState.dead]: 'dead',
  [TaskState.skipped]: 'skipped',
  [TaskState.cancelled]: 'cancelled',
  [TaskState.expired]: 'expired',
};

export function compareMemory({ state, onTheWay }: Leader, model: Model): void {
  reached('memory is compared with the journal');
  const differs = (what: string): never => {
    throw new Violation('I8', what);
  };
  for (const job of model.jobs.values()) {
    const own = state.jobs.get(job.id);
    if (job.isDropped || job.isSealed) continue;
    // Gone after it was read.
    if (!own && onTheWay.some((fact) => fact.fact === 'job-dropped' && fact.job === job.id)) continue;
    if (!own) return differs(`${job.id} is in the journal and not in memory`);
    const version = model.changes.versionOf(job.id);
    if (own.changes.version !== version) differs(`${job.id} is at version ${own.changes.version}, the journal says ${version}`);
    if (own.outcome !== job.outcome) differs(`${job.id} has ${own.outcome}, the journal says ${job.outcome}`);
    job.stages.forEach((stage, at) => {
      const { columns, spec } = own.stages[at]!;
      const [has, told] = [spec, job.spec.stages[at]!].map(({ definition }) => definition?.bundle);
      if (has !== told) differs(`${job.id}/${at} runs program ${has}, the journal says ${told}`);
      if (spec.feed.kind !== 'fold' && spec.feed.kind !== 'each' && columns.length !== stage.added) {
        differs(`${job.id}/${at} has ${columns.length} tasks, the journal says ${stage.added}`);
      }
      const skipsInSilence = hasArgs(job);
      stage.tasks.forEach((task, index) => {
        const where = `${job.id}/${at}/${index}`;
        const final = finals[columns.state(index)];
        const mayBeSkipped = skipsInSilence && (task.final === undefined ? isLost(job, at, index) : task.wasLost);
        if (final !== task.final && !(mayBeSkipped && final === 'skipped'))
          differs(`${where} is ${final ?? 'open'}, the journal says ${task.final ?? 'open'}`);
        if (columns.attempt(index) !== task.attempt)
          differs(`${where} is at attempt ${columns.attempt(index)}, the journal says ${task.attempt}`);
      });
    });
  }
  const queues = [...state.queueChanges].map(([queue, { version }]) => `queue ${queue}=${version}`);
  if (queues.sort().join() !== model.changes.queues.sort().join())
    differs(`${queues.join()}, the journal says ${model.changes.queues.join()}`);
  for (const id of state.jobs.keys()) if (!model.jobs.has(id)) differs(`${id} is in memory and not in the journal`);
}
