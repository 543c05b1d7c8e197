/** `shoal jobs …`: what there is, and what is done to it. Waiting for a job is in job-follow.ts. */
import { type Command, Option } from 'commander';
import type { CancelReply, JobPage, JobState, JobView, ReplayReply } from '../../core/answers.ts';
import { type ProgressMode, progressModes } from '../../lib/progress-bar.ts';
import { duration } from '../flags.ts';
import { type Admin, type AdminFlags, findJob, withCluster } from './cluster.ts';
import { logs, result, watch } from './job-follow.ts';
import { type ChangeFlags, expectationOf, ifMatchOption, type PageFlags, pageOptions, stateOption } from './options.ts';
import { ago, type Column, span } from './output.ts';

const states: readonly JobState[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'];

export function defineJobs(group: Command): void {
  group
    .summary('list, watch, read, cancel and replay jobs')
    .description('Jobs are named by their id, the beginning of it, or their idempotency key.');
  const listing = group.command('list').summary('jobs, newest first').addOption(stateOption(states));
  for (const option of pageOptions()) listing.addOption(option);
  listing.action((flags: ListFlags) => withCluster(flags, (admin) => list(admin, flags)));
  group
    .command('get')
    .summary('one job')
    .argument('<job>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => get(admin, name)));
  group
    .command('watch')
    .summary('its progress, until it ends; the exit code is the job’s')
    .argument('<job>')
    .addOption(new Option('--progress <mode>', 'how').choices([...progressModes]).default('auto'))
    .action((name: string, flags: AdminFlags & { progress: ProgressMode }) => withCluster(flags, (admin) => watch(admin, name, flags)));
  group
    .command('result')
    .summary('its result as JSON: one line a task, or one value; waits for it')
    .argument('<job>')
    .addOption(new Option('--timeout <time>', 'wait no longer than this (exit code 4)').argParser(duration))
    .action((name: string, flags: AdminFlags & { timeout?: number }) => withCluster(flags, (admin) => result(admin, name, flags)));
  group
    .command('logs')
    .summary('what its tasks printed')
    .argument('<job>')
    .addOption(new Option('--follow', 'and what they print from now on, until it ends'))
    .action((name: string, flags: AdminFlags & { follow?: boolean }) => withCluster(flags, (admin) => logs(admin, name, flags)));
  group
    .command('cancel')
    .summary('end it; what runs is aborted')
    .argument('<job>')
    .addOption(new Option('--reason <text>', 'kept with it').default('cancelled by an operator'))
    .addOption(ifMatchOption('job'))
    .action((name: string, flags: CancelFlags) => withCluster(flags, (admin) => cancel(admin, name, flags)));
  group
    .command('replay')
    .summary('give what failed new tries')
    .argument('<job>')
    .addOption(ifMatchOption('job'))
    .action((name: string, flags: AdminFlags & ChangeFlags) => withCluster(flags, (admin) => replay(admin, name, flags)));
  group
    .command('delete')
    .summary('end it if it runs, and forget it with its results')
    .argument('<job>')
    .addOption(ifMatchOption('job'))
    .action((name: string, flags: AdminFlags & ChangeFlags) => withCluster(flags, (admin) => remove(admin, name, flags)));
}

type ListFlags = AdminFlags & PageFlags & { state?: JobState[] };
type CancelFlags = AdminFlags & ChangeFlags & { reason: string };

const columns: readonly Column<JobView>[] = [
  { title: 'job', of: ({ job }) => job },
  { title: 'name', of: ({ name }) => name },
  { title: 'state', of: ({ state }) => state, paint: (text, { state }, paint) => paintState(state, text, paint) },
  { title: 'done', of: ({ succeeded, total }) => `${succeeded}${total === undefined ? '' : ` / ${total}`}`, isNumber: true },
  { title: 'failed', of: ({ failed }) => String(failed), isNumber: true },
  { title: 'running', of: ({ running }) => String(running), isNumber: true },
  { title: 'started', of: ({ createdWallMs }) => ago(createdWallMs) },
  { title: 'note', of: (view) => view.waiting ?? view.reason ?? view.error?.error.message ?? '' },
];

function paintState(state: JobState, text: string, paint: Admin['output']['paint']): string {
  if (state === 'succeeded') return paint.green(text);
  if (state === 'failed' || state === 'expired') return paint.red(text);
  return state === 'cancelled' ? paint.yellow(text) : state === 'running' ? paint.cyan(text) : text;
}

async function list({ connection, output }: Admin, { state, limit, after }: ListFlags): Promise<void> {
  const which = { ...(state && { states: state }), ...(after !== undefined && { after }) };
  const page = await connection.request<JobPage>({ kind: 'listJobs', limit, ...which });
  output.give(page, () => {
    output.table(page.jobs, columns, 'there are no such jobs');
    if (page.next !== undefined) output.note(`there are more: --limit N, or --after ${page.next}`);
  });
}

async function get(admin: Admin, name: string): Promise<void> {
  const view = await findJob(admin, name);
  const { output } = admin;
  output.give(view, () => showJob(output, view));
}

function showJob(output: Admin['output'], view: JobView): void {
  const { job, name, state, total, succeeded, failed, queued, running, skipped, retried } = view;
  const counts = [
    `${succeeded} done`,
    `${running} running`,
    `${queued} queued`,
    `${failed} failed`,
    `${skipped} skipped`,
    `${retried} retried`,
  ];
  output.pairs([
    ['job', job],
    ['name', name],
    ['key', view.key],
    ['state', state],
    ['tasks', `${total ?? 'still growing'}: ${counts.join(', ')}`],
    ['version', view.version === 0 ? undefined : String(view.version)],
    ['priority', view.priority === 0 ? undefined : String(view.priority)],
    ['started', `${new Date(view.createdWallMs).toISOString()} (${ago(view.createdWallMs)})`],
    [
      'ended',
      view.endedWallMs === undefined
        ? undefined
        : `${new Date(view.endedWallMs).toISOString()}, after ${span(view.endedWallMs - view.createdWallMs)}`,
    ],
    ['note', view.note],
    ['waits', view.waiting],
    ['reason', view.reason],
    ['error', view.error && `${view.error.task}[${view.error.index}]: ${view.error.error.message} (${view.error.code})`],
  ]);
}

async function cancel(admin: Admin, name: string, flags: CancelFlags): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const { reason } = flags;
  const answer = await connection.request<CancelReply>({ kind: 'cancel', job, reason, ...expectationOf(flags) });
  output.did({ job, ...answer }, answer.cancelled ? `${job} is cancelled` : `${job} had ended already: ${answer.state}`);
}

async function replay(admin: Admin, name: string, flags: ChangeFlags): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const answer = await connection.request<ReplayReply>({ kind: 'replay', job, ...expectationOf(flags) });
  const { replayed } = answer;
  output.did(
    { job, ...answer },
    replayed === 0 ? `${job} has nothing to replay` : `${tasksOf(replayed)} of ${job} ${replayed === 1 ? 'runs' : 'run'} again`,
  );
}

async function remove(admin: Admin, name: string, flags: ChangeFlags): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  await connection.request({ kind: 'deleteJob', job, ...expectationOf(flags) });
  output.did({ job, deleted: true }, `${job} is deleted`);
}

function tasksOf(count: number): string {
  return count === 1 ? '1 task' : `${count} tasks`;
}
