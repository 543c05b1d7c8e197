/** What a run has done, in a line a job; many jobs of one name (a `run()` in a loop) share a line. */
import type { JobView } from '../core/answers.ts';
import { formatCount, formatElapsed } from '../lib/format.ts';
import { painter } from '../lib/painter.ts';
import { printableLine } from '../lib/printable.ts';

/** Jobs that are told apart; what comes after is only counted with those of its name. */
const jobsMax = 1_000;

export class Summary {
  readonly #views = new Map<string, JobView>();
  #forgotten = 0;

  add(view: JobView): void {
    if (this.#views.size < jobsMax || this.#views.has(view.job)) this.#views.set(view.job, view);
    else this.#forgotten++;
  }

  /** Passes the views on and remembers the last of each job. */
  async *watch(views: AsyncIterable<JobView>): AsyncGenerator<JobView> {
    let last: JobView | undefined;
    try {
      for await (const view of views) {
        last = view;
        yield view;
      }
    } finally {
      if (last) this.add(last);
    }
  }

  /** Did jobs succeed although some of their tasks did not? */
  get toleratedFailures(): boolean {
    return [...this.#views.values()].some(({ state, failed }) => state === 'succeeded' && failed > 0);
  }

  lines({ json }: { json: boolean }, color: boolean): string[] {
    const views = [...this.#views.values()];
    if (json) return views.map((view) => JSON.stringify({ type: 'job', ...view, elapsedMs: elapsedMs(view) }));
    const byName = new Map<string, JobView[]>();
    for (const view of views) byName.set(view.name, [...(byName.get(view.name) ?? []), view]);
    const width = Math.max(0, ...[...byName.keys()].map((name) => printableLine(name).length));
    const lines = [...byName].map(([name, jobs]) => line(printableLine(name).padEnd(width), jobs, color));
    return this.#forgotten === 0 ? lines : [...lines, `… and ${formatCount(this.#forgotten)} more jobs`];
  }
}

function line(name: string, jobs: readonly JobView[], color: boolean): string {
  const paint = painter(color);
  const sum = (count: (view: JobView) => number): number => jobs.reduce((total, view) => total + count(view), 0);
  const succeeded = sum((view) => view.succeeded);
  const recovered = Math.min(
    succeeded,
    sum((view) => view.recovered),
  );
  const startMs = Math.min(...jobs.map((view) => view.createdWallMs));
  const endMs = Math.max(...jobs.map((view) => view.endedWallMs ?? Date.now()));
  // The time of a job that was found again began in an earlier run.
  const took = recovered > 0 ? '' : ` in ${formatElapsed(endMs - startMs)}`;
  const details = [
    ...(jobs.length > 1 ? [`${formatCount(jobs.length)} jobs`] : []),
    ...(recovered > 0 ? [`${formatCount(recovered)} from the journal`, `${formatCount(succeeded - recovered)} computed`] : []),
    ...counted(
      sum((view) => view.retried),
      'retried',
    ),
    ...counted(
      sum((view) => view.failed),
      'failed',
    ),
    ...counted(
      sum((view) => view.skipped),
      'skipped',
    ),
  ];
  const bad = jobs.filter(({ state }) => state !== 'succeeded').map(({ state }) => state);
  const state = bad.length === 0 ? '' : `  ${paint.red(jobs.length === 1 ? bad[0]! : `${formatCount(bad.length)} of them ${bad[0]}`)}`;
  const extra = details.length === 0 ? '' : `  (${details.join(', ')})`;
  return `${paint.bold(name)}  ${paint.dim(`${formatCount(succeeded)} done${took}`)}${state}${paint.dim(extra)}`;
}

function counted(count: number, word: string): string[] {
  return count > 0 ? [`${formatCount(count)} ${word}`] : [];
}

function elapsedMs({ createdWallMs, endedWallMs }: JobView): number | undefined {
  return endedWallMs === undefined ? undefined : endedWallMs - createdWallMs;
}
