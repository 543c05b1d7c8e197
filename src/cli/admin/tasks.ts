/** `shoal tasks …` and `shoal dlq …` */
import { type Command, Option } from 'commander';
import type { TaskPage, TaskStateName, TaskView } from '../../core/answers.ts';
import type { DeadLetter, ReplayReply } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { type Admin, type AdminFlags, findJob, findTask, needTask, withCluster } from './cluster.ts';
import { limitOf } from './jobs.ts';
import { ago, type Column, span } from './output.ts';

const states: readonly TaskStateName[] = ['waiting', 'ready', 'running', 'delayed', 'done', 'dead', 'skipped', 'cancelled', 'expired'];

export function defineTasks(group: Command): void {
  group.summary('look at the tasks of a job').description('A task is named JOB/STAGE/INDEX.');
  group
    .command('list')
    .summary('tasks of a job, in order')
    .argument('<job>')
    .addOption(new Option('--state <state...>', 'only these').choices([...states]))
    .addOption(new Option('--limit <count>', 'at most so many').default(50).argParser(Number))
    .action((name: string, flags: AdminFlags & { state?: TaskStateName[]; limit: number }) =>
      withCluster(flags, (admin) => list(admin, name, flags)),
    );
  group
    .command('get')
    .summary('one task, with the story of its attempts')
    .argument('<task>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => get(admin, name)));
}

export function defineDeadLetters(group: Command): void {
  group
    .summary('dead letters: tasks whose tries are used up')
    .description('A dead letter is kept with its story until somebody replays or purges it, or its job is forgotten.');
  group
    .command('list')
    .summary('dead letters of a job, or of all')
    .argument('[job]')
    .addOption(new Option('--limit <count>', 'at most so many').default(50).argParser(Number))
    .action((name: string | undefined, flags: AdminFlags & { limit: number }) =>
      withCluster(flags, (admin) => letters(admin, name, flags.limit)),
    );
  group
    .command('get')
    .summary('one dead letter, with the story of its attempts')
    .argument('<task>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => letter(admin, name)));
  group
    .command('replay')
    .summary('give a dead letter, or all of a job, new tries')
    .argument('<job|task>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => replay(admin, name)));
  group
    .command('purge')
    .summary('forget a dead letter, or all of a job')
    .argument('<job|task>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => purge(admin, name)));
}

const taskColumns: readonly Column<TaskView>[] = [
  { title: 'task', of: ({ id }) => id },
  { title: 'name', of: ({ task, index }) => `${task}[${index}]` },
  { title: 'state', of: ({ state }) => state, paint: (text, { state }, paint) => (state === 'dead' ? paint.red(text) : text) },
  { title: 'attempt', of: ({ attempt }) => String(attempt), isNumber: true },
  { title: 'worker', of: ({ worker }) => worker ?? '' },
  { title: 'took', of: ({ durationMs }) => (durationMs === undefined ? '' : span(durationMs)), isNumber: true },
  { title: 'error', of: ({ failure }) => failure?.error.message ?? '' },
];

async function list(admin: Admin, name: string, { state, limit }: { state?: TaskStateName[]; limit: number }): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const page = await connection.request<TaskPage>({ kind: 'listTasks', job, limit: limitOf(limit), ...(state && { states: state }) });
  output.give(page, () => {
    output.table(page.tasks, taskColumns, 'there are no such tasks');
    if (page.next !== undefined) output.note('there are more: --limit');
  });
}

async function get(admin: Admin, name: string): Promise<void> {
  const at = await needTask(admin, name);
  const { connection, output } = admin;
  const task = await connection.request<TaskView>({ kind: 'getTask', ...at });
  output.give(task, () => {
    output.pairs([
      ['task', `${task.id} (${task.task}[${task.index}])`],
      ['state', task.state],
      ['attempt', `${task.attempt} of ${task.attemptsMax}`],
      ['worker', task.worker],
      ['took', task.durationMs === undefined ? undefined : span(task.durationMs)],
      ['next', task.notBeforeWallMs === undefined ? undefined : `in ${span(Math.max(0, task.notBeforeWallMs - Date.now()))}`],
      ['error', task.failure && `${task.failure.error.message} (${task.failure.code})`],
    ]);
    showHistory(output, task.history);
  });
}

function showHistory(output: Admin['output'], history: DeadLetter['history'] | undefined): void {
  if (!history || history.length === 0) return;
  output.line();
  output.table(
    history,
    [
      { title: 'attempt', of: ({ attempt }) => String(attempt), isNumber: true },
      { title: 'when', of: ({ wallMs }) => ago(wallMs) },
      { title: 'worker', of: ({ worker }) => worker },
      { title: 'how', of: ({ how }) => how },
      { title: 'error', of: ({ error }) => error.message },
    ],
    '',
  );
}

const letterColumns: readonly Column<DeadLetter>[] = [
  { title: 'task', of: ({ job, stage, index }) => `${job}/${stage}/${index}` },
  { title: 'name', of: ({ label }) => label },
  { title: 'attempts', of: ({ attempts }) => String(attempts), isNumber: true },
  { title: 'worker', of: ({ worker }) => worker },
  { title: 'code', of: ({ code }) => code },
  { title: 'error', of: ({ error }) => error.message },
];

async function letters(admin: Admin, name: string | undefined, limit: number): Promise<void> {
  const { connection, output } = admin;
  const job = name === undefined ? undefined : (await findJob(admin, name)).job;
  const found = await connection.request<DeadLetter[]>({ kind: 'deadLetters', limit: limitOf(limit), ...(job !== undefined && { job }) });
  output.give({ letters: found }, () => output.table(found, letterColumns, 'there are no dead letters'));
}

async function letter(admin: Admin, name: string): Promise<void> {
  const at = await needTask(admin, name);
  const { connection, output } = admin;
  const found = (await connection.request<DeadLetter[]>({ kind: 'deadLetters', job: at.job })).find(
    ({ stage, index }) => stage === at.stage && index === at.index,
  );
  if (!found) throw new ShoalError('SH1412', `${name} is no dead letter`, { hint: `shoal tasks get ${name}` });
  output.give(found, () => {
    output.pairs([
      ['task', `${found.job}/${found.stage}/${found.index} (${found.label})`],
      ['attempts', String(found.attempts)],
      ['error', `${found.error.message} (${found.code})`],
      ['stack', found.error.stack],
    ]);
    showHistory(output, found.history);
  });
}

async function replay(admin: Admin, name: string): Promise<void> {
  const { connection, output } = admin;
  const at = (await findTask(admin, name)) ?? { job: (await findJob(admin, name)).job };
  const { replayed } = await connection.request<ReplayReply>({ kind: 'replay', ...at });
  output.give({ ...at, replayed }, () => output.line(replayed === 0 ? `${name} has nothing to replay` : `${replayed} tasks run again`));
}

async function purge(admin: Admin, name: string): Promise<void> {
  const { connection, output } = admin;
  const at = (await findTask(admin, name)) ?? { job: (await findJob(admin, name)).job };
  const { purged } = await connection.request<{ purged: number }>({ kind: 'purge', ...at });
  output.give({ ...at, purged }, () => output.line(purged === 0 ? `${name} has no dead letters` : `${purged} dead letters are gone`));
}
