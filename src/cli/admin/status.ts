/** `shoal status` and `shoal explain`. */
import type { Command } from 'commander';
import type { ClusterView, Explanation } from '../../core/answers.ts';
import { printableLine } from '../../lib/printable.ts';
import { type Admin, type AdminFlags, findSubject, withCluster } from './cluster.ts';
import { ago } from './output.ts';

export function defineStatus(command: Command): void {
  command
    .summary('one screen: leader, workers, queues, jobs, problems and what to do next')
    .action((flags: AdminFlags) => withCluster(flags, status));
}

export function defineExplain(command: Command): void {
  command
    .summary('why a job or a task waits, or why it failed, and what to do')
    .argument('<job|task>', 'a job, or a task as JOB/STAGE/INDEX')
    .argument('[index]', 'a task of the job')
    .action((name: string, index: string | undefined, flags: AdminFlags) => withCluster(flags, (admin) => explain(admin, name, index)));
}

const survives = {
  none: 'nothing survives it',
  process: 'its journal’s server may lose the last moments',
  host: 'durable on its disk',
  replicated: 'replicated',
} as const;

async function status({ connection, output, target }: Admin): Promise<void> {
  const view = await connection.request<ClusterView>({ kind: 'status' });
  output.give({ address: target.address, ...view }, () => {
    const { workers, jobs, tasks, queues, problems } = view;
    const others = [workers.draining > 0 && `${workers.draining} draining`, workers.silent > 0 && `${workers.silent} silent`].filter(
      Boolean,
    );
    const jobCounts = Object.entries(jobs).filter(([, count]) => count > 0);
    output.pairs([
      [
        'leader',
        `${view.url ?? target.address}, shoal ${view.version}, term ${view.term}, started ${ago(view.startedWallMs)}; ${survives[view.durability]}`,
      ],
      ['broker', view.broker],
      ['workers', [`${workers.live} live with ${workers.slots} slots`, ...others].join(', ')],
      ['jobs', jobCounts.length === 0 ? 'none' : jobCounts.map(([state, count]) => `${count} ${state}`).join(', ')],
      ['tasks', `${tasks.running} running, ${tasks.ready} ready, ${tasks.delayed} delayed`],
      [
        'queues',
        queues.map(({ queue, paused, ready }) => `${queue}${paused ? ' (paused)' : ''}${ready > 0 ? `: ${ready} ready` : ''}`).join(', '),
      ],
    ]);
    output.line();
    if (problems.length === 0) output.line(output.paint.green('no problems'));
    for (const { what, try: advice } of problems) {
      output.line(`${output.paint.yellow('!')} ${printableLine(what)}`);
      output.advice(4, advice);
    }
    if (workers.live === 0 && problems.length === 0) {
      output.line(
        `  next: shoal worker ${view.broker === undefined ? `--address ${target.address}` : `--broker ${view.broker}`} --allow-bundles`,
      );
    }
  });
}

async function explain(admin: Admin, name: string, index: string | undefined): Promise<void> {
  const { connection, output } = admin;
  const at = await findSubject(admin, name, index);
  const answer = await connection.request<Explanation>({ kind: 'explain', ...at });
  output.give(answer, () => {
    output.line(printableLine(answer.summary));
    for (const { what, try: advice } of answer.reasons) {
      output.line(`  - ${printableLine(what)}`);
      output.advice(6, advice);
    }
  });
}
