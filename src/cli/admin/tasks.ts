/** `shoal tasks …` and `shoal dlq …` */
import type { Command } from 'commander';
import type {
  DeadLetter,
  LetterPage,
  PurgeReply,
  ReplayReply,
  TaskFailure,
  TaskPage,
  TaskStateName,
  TaskView,
} from '../../core/answers.ts';
import { userFrames } from '../../lib/error-text.ts';
import { ShoalError } from '../../lib/errors.ts';
import { type Admin, type AdminFlags, findJob, findSubject, findTask, type TaskName, taskNameOf, withCluster } from './cluster.ts';
import { type ChangeFlags, expectationOf, ifMatchOption, type PageFlags, pageOptions, stateOption } from './options.ts';
import { ago, type Column, span } from './output.ts';

const states: readonly TaskStateName[] = ['waiting', 'ready', 'running', 'delayed', 'done', 'dead', 'skipped', 'cancelled', 'expired'];

type ListFlags = AdminFlags & PageFlags & { state?: TaskStateName[] };
type OnTask = (admin: Admin, name: string, index: string | undefined, flags: ChangeFlags) => Promise<void>;

export function defineTasks(group: Command): void {
  group.summary('look at the tasks of a job').description('A task is named JOB/STAGE/INDEX.');
  const listing = group.command('list').summary('tasks of a job, in order').argument('<job>').addOption(stateOption(states));
  for (const option of pageOptions()) listing.addOption(option);
  listing.action((name: string, flags: ListFlags) => withCluster(flags, (admin) => list(admin, name, flags)));
  defineOnTask(group.command('get').summary('one task, with the story of its attempts'), '<task>', get);
}

export function defineDeadLetters(group: Command): void {
  group
    .summary('dead letters: tasks whose tries are used up')
    .description('A dead letter is kept with its story until somebody replays or purges it, or its job is forgotten.');
  const listing = group.command('list').summary('dead letters of a job, or of all').argument('[job]');
  for (const option of pageOptions()) listing.addOption(option);
  listing.action((name: string | undefined, flags: AdminFlags & PageFlags) => withCluster(flags, (admin) => letters(admin, name, flags)));
  defineOnTask(group.command('get').summary('one dead letter, with the story of its attempts'), '<task>', letter);
  const replaying = group.command('replay').summary('give a dead letter, or all of a job, new tries');
  defineOnTask(replaying.addOption(ifMatchOption('job')), '<job|task>', replay);
  const purging = group.command('purge').summary('forget a dead letter, or all of a job');
  defineOnTask(purging.addOption(ifMatchOption('job')), '<job|task>', purge);
}

function defineOnTask(command: Command, subject: '<task>' | '<job|task>', act: OnTask): void {
  command
    .argument(subject, 'a task is JOB/STAGE/INDEX')
    .argument('[index]', 'a task of the job')
    .action((name: string, index: string | undefined, flags: AdminFlags & ChangeFlags) =>
      withCluster(flags, (admin) => act(admin, name, index, flags)),
    );
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

async function list(admin: Admin, name: string, { state, limit, after }: ListFlags): Promise<void> {
  const { job } = await findJob(admin, name);
  const { connection, output } = admin;
  const which = { ...(state && { states: state }), ...(after !== undefined && { after }) };
  const page = await connection.request<TaskPage>({ kind: 'listTasks', job, limit, ...which });
  output.give(page, () => {
    output.table(page.tasks, taskColumns, 'there are no such tasks');
    if (page.next !== undefined) output.note(`there are more: --limit N, or --after ${page.next}`);
  });
}

async function get(admin: Admin, name: string, index: string | undefined): Promise<void> {
  const at = await findTask(admin, name, index);
  const { connection, output } = admin;
  const task = await connection.request<TaskView>({ kind: 'getTask', ...at });
  output.give(task, () => {
    output.pairs([
      ['task', `${task.id} (${task.task}[${task.index}])`],
      ['state', task.state],
      ['attempt', task.attempt > task.attemptsMax ? `${task.attempt}` : `${task.attempt} of ${task.attemptsMax}`],
      ['worker', task.worker],
      ['took', task.durationMs === undefined ? undefined : span(task.durationMs)],
      ['next', task.notBeforeWallMs === undefined ? undefined : `in ${span(Math.max(0, task.notBeforeWallMs - Date.now()))}`],
      ['error', task.failure && `${task.failure.error.message} (${task.failure.code})`],
      ['at', task.failure && framesOf(task.failure)],
    ]);
    showHistory(output, task.history);
  });
}

/** Where in the user's code; JSON has the whole stack. */
function framesOf({ error }: TaskFailure): string | undefined {
  return error.stack === undefined ? undefined : userFrames(error.stack, process.cwd()).join('\n') || undefined;
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

async function letters(admin: Admin, name: string | undefined, { limit, after }: PageFlags): Promise<void> {
  const { connection, output } = admin;
  const job = name === undefined ? undefined : (await findJob(admin, name)).job;
  const which = { ...(job !== undefined && { job }), ...(after !== undefined && { after }) };
  const page = await connection.request<LetterPage>({ kind: 'deadLetters', limit, ...which });
  output.give(page, () => {
    output.table(page.letters, letterColumns, 'there are no dead letters');
    if (page.next !== undefined) output.note(`there are more: --limit N, or --after ${page.next}`);
  });
}

async function letter(admin: Admin, name: string, index: string | undefined): Promise<void> {
  const at = await findTask(admin, name, index);
  const { connection, output } = admin;
  const found = await connection.request<TaskView>({ kind: 'getTask', ...at });
  if (found.state !== 'dead' || !found.failure)
    throw new ShoalError('SH1412', `${taskNameOf(at)} is no dead letter`, { hint: `shoal tasks get ${taskNameOf(at)}` });
  const { failure } = found;
  output.give(found, () => {
    output.pairs([
      ['task', `${found.id} (${found.task}[${found.index}])`],
      ['attempts', String(found.attempt)],
      ['error', `${failure.error.message} (${failure.code})`],
      ['at', framesOf(failure)],
    ]);
    showHistory(output, found.history);
  });
}

async function replay(admin: Admin, name: string, index: string | undefined, flags: ChangeFlags): Promise<void> {
  const { connection, output } = admin;
  const at = await findSubject(admin, name, index);
  const expected = 'stage' in at ? await expectation(admin, at) : {};
  const answer = await connection.request<ReplayReply>({ kind: 'replay', ...at, ...expected, ...expectationOf(flags) });
  const { replayed } = answer;
  const again = replayed === 1 ? '1 task runs again' : `${replayed} tasks run again`;
  output.did({ ...at, ...answer }, replayed === 0 ? `${'stage' in at ? taskNameOf(at) : name} has nothing to replay` : again);
}

/** The attempt that a replay would open, as the task is looked at: said twice, it starts once (A07). */
async function expectation({ connection }: Admin, at: TaskName): Promise<{ expectedAttempt?: number }> {
  const { state, attempt } = await connection.request<TaskView>({ kind: 'getTask', ...at });
  // What never began (expired, skipped) has no attempt behind it.
  return state === 'dead' ? { expectedAttempt: attempt + 1 } : {};
}

async function purge(admin: Admin, name: string, index: string | undefined, flags: ChangeFlags): Promise<void> {
  const { connection, output } = admin;
  const at = await findSubject(admin, name, index);
  const answer = await connection.request<PurgeReply>({ kind: 'purge', ...at, ...expectationOf(flags) });
  const { purged } = answer;
  const gone = purged === 1 ? '1 dead letter is gone' : `${purged} dead letters are gone`;
  output.did({ ...at, ...answer }, purged === 0 ? `${name} has no dead letters` : gone);
}
