/**
 * I20: what runs side by side in one worker needs no more of anything than it has. A single task may need more of what every machine
 * has some of, and has it alone.
 */

import type { Model } from './model.ts';
import { reached } from './probes.ts';
import type { Run } from './slot.ts';
import { check } from './violation.ts';

export function judgeRoom(process: string, resources: Readonly<Record<string, number>>, runs: readonly Run[], model: Model): void {
  const open = runs.filter((run) => isOpen(run, model));
  for (const [name, has] of Object.entries(resources)) {
    const needs = open
      .map(({ work }) => model.jobs.get(work.job)!.spec.stages[work.stage]!.resources[name] ?? 0)
      .filter((needed) => needed > 0);
    const sum = needs.reduce((all, needed) => all + needed, 0);
    if (sum > has && needs.length === 1) reached('a task that needs more than there is runs alone');
    if (needs.length > 1) reached('tasks share what a worker has');
    check(
      sum <= has + 1e-6 || needs.length === 1,
      'I20',
      () => `${process} has ${has} of ${name}, and runs ${needs.length} tasks that need ${sum}`,
    );
  }
}

/** What was called off, or given up, counts no longer: it is told to end, and may need a moment. */
function isOpen({ work, index }: Run, model: Model): boolean {
  const job = model.jobs.get(work.job);
  if (!job || job.isDropped || job.outcome !== undefined) return false;
  const task = model.task(job, work.stage, index);
  return task.final === undefined && task.attempt === work.attempt;
}
