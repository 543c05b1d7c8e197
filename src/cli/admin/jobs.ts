/** `shoal jobs …` */
import { type Command, Option } from 'commander';
import { ClusterHandle } from '../../client/cluster.ts';
import { jobViews } from '../../client/progress.ts';
import { jobError } from '../../client/task-error.ts';
import type { JobPage } from '../../core/answers.ts';
import type { JobState, JobView, LogLine, ReplayReply } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { createProgress, type ProgressMode, progressModes } from '../../lib/progress-bar.ts';
import { duration } from '../flags.ts';
import { report } from '../report.ts';
import { logPrinter } from '../run-program.ts';
import { type Admin, type AdminFlags, findJob, withCluster } from './cluster.ts';
import { ago, type Column, plainValue, span } from './output.ts';

const states: readonly JobState[] = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'];

export function defineJobs(group: Command): void {
  group
    .summary('list, watch, read, cancel and replay jobs')
    .description('Jobs are named by their id, the beginning of it, or their idempotency key.');
  group
    .command('list')
    .summary('jobs, newest first')
    .addOption(new Option('--state <state...>', 'only these').choices([...states]))
    .addOption(new Option('--limit <count>', 'at most so many').default(50).argParser(Number))
    .action((flags: AdminFlags & { state?: JobState[]; limit: number }) => withCluster(flags, (admin) => list(admin, flags)));
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
    .action((name: string, flags: AdminFlags & { reason: string }) => withCluster(flags, (admin) => cancel(admin, name, flags.reason)));
  group
    .command('replay')
    .summary('give what failed new tries')
    .argument('<job>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => replay(admin, name)));
  group
    .command('delete')
    .summary('end it if it runs, and forget it with its results')
    .argument('<job>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => remove(admin, name)));
}

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

async function list({ connection, output }: Admin, { state, limit }: { state?: JobState[]; limit: number }): Promise<void> {
  const page = await connection.request<JobPage>({ kind: 'listJobs', limit: limitOf(limit), ...(state && { states: state }) });
  output.give(page, () => {
    output.table(page.jobs, columns, 'there are no jobs');
    if (page.next !== undefined) output.note('there are more: --limit');
  });
}

export function limitOf(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return limit;
  throw new ShoalError('SH1311', '--limit is no whole number from 1 to 10000');
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

async function watch(admin: Admin, name: string, flags: AdminFlags & { progress: ProgressMode }): Promise<void> {
  const { job, name: title } = await findJob(admin, name);
  const mode = flags.quiet || (flags.json && flags.progress === 'auto') ? 'none' : flags.progress;
  const progress = createProgress({ mode, color: flags.color });
  let last: JobView | undefined;
  async function* seen(): AsyncGenerator<JobView> {
    for await (const view of jobViews(admin.connection, job, 500)) {
      last = view;
      yield view;
    }
  }
  await progress.follow(title, seen(), true);
  if (!last) return;
  if (flags.json) admin.output.give(last, () => undefined);
  const error = jobError(last);
  if (error) report(error, { json: flags.json === true, color: flags.color });
  process.exitCode = error ? 1 : last.failed > 0 ? 5 : 0;
}

async function result(admin: Admin, name: string, { timeout }: { timeout?: number }): Promise<void> {
  const { job } = await findJob(admin, name);
  const { target } = admin;
  const cluster = new ClusterHandle(target.address, { from: target.from, ...(target.token && { token: target.token }) });
  try {
    const handle = await cluster.job<unknown>(job);
    const value = await handle.result(timeout === undefined ? {} : { timeout });
    const isMany = (await admin.connection.request<JobView>({ kind: 'query', job })).output?.take === 'all';
    for (const each of isMany && Array.isArray(value) ? value : [value]) process.stdout.write(`${JSON.stringify(plainValue(each))}\n`);
  } finally {
    await cluster.close();
  }
}

async function logs(admin: Admin, name: string, flags: AdminFlags & { follow?: boolean }): Promise<void> {
  const { job } = await findJob(admin, name);
  const print = flags.json ? jsonLine : peopleLine(flags);
  await new Promise<void>((resolve, reject) => {
    const sink = {
      lines: (lines: readonly LogLine[]) => lines.forEach(print),
      end: (error: ShoalError | undefined) => (error ? reject(error) : resolve()),
    };
    admin.connection.readLogs(job, sink, flags.follow === true);
  });
}

function jsonLine({ wallMs, ...line }: LogLine): void {
  process.stdout.write(`${JSON.stringify({ time: new Date(wallMs).toISOString(), ...line })}\n`);
}

/** As `run` and `submit` show them, but on stdout: here they are what was asked for. */
function peopleLine(flags: AdminFlags): (line: LogLine) => void {
  const terminal = { print: (text: string) => void process.stdout.write(`${text}\n`) };
  return logPrinter({ terminal } as Parameters<typeof logPrinter>[0], { color: flags.color });
}

async function cancel(admin: Admin, name: string, reason: string): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const answer = await connection.request<{ cancelled: boolean; state: JobState }>({ kind: 'cancel', job, reason });
  output.give({ job, ...answer }, () =>
    output.line(answer.cancelled ? `${job} is cancelled` : `${job} had ended already: ${answer.state}`),
  );
}

async function replay(admin: Admin, name: string): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const { replayed } = await connection.request<ReplayReply>({ kind: 'replay', job });
  output.give({ job, replayed }, () =>
    output.line(replayed === 0 ? `${job} has nothing to replay` : `${replayed} tasks of ${job} run again`),
  );
}

async function remove(admin: Admin, name: string): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  await connection.request({ kind: 'deleteJob', job });
  output.give({ job, deleted: true }, () => output.line(`${job} is deleted`));
}
