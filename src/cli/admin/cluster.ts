/** A command's line to the coordinator, and the things that people name on the command line. */
import { Connection } from '../../client/connection.ts';
import { openRemoteSession } from '../../client/remote/session.ts';
import type { JobPage, JobView, TaskPage } from '../../core/answers.ts';
import { ShoalError } from '../../lib/errors.ts';
import { printableLine } from '../../lib/printable.ts';
import { type ClusterFlags, type Target, targetOf } from '../flags.ts';
import { jsonText } from '../json-text.ts';
import { Output, type OutputFlags } from './output.ts';

export type AdminFlags = ClusterFlags & OutputFlags;

export interface Admin {
  connection: Connection;
  output: Output;
  target: Target;
}

/** Opens, acts, closes. What goes wrong is told by program.ts. */
export async function withCluster(flags: AdminFlags, act: (admin: Admin) => Promise<void>): Promise<void> {
  const target = targetOf(flags, ['admin', 'client+bundles', 'client', 'read-only']);
  const session = await openRemoteSession({ ...target, attempts: 2, onState: (state, why) => tellLine(flags, target, state, why) });
  const connection = new Connection(session);
  try {
    await act({ connection, output: new Output(flags), target });
  } finally {
    connection.close();
  }
}

/** Nothing waits in silence. */
function tellLine({ json, quiet }: AdminFlags, { address }: Target, state: 'away' | 'back', why: string): void {
  if (quiet) return;
  const text =
    state === 'back' ? `the coordinator at ${address} is back` : `no line to the coordinator at ${address} (${why}); still trying`;
  process.stderr.write(`${json ? jsonText({ type: state, address, why }) : `shoal: ${printableLine(text)}`}\n`);
}

const idPattern = /^[0-9a-z]{26}$/;
const prefixPattern = /^[0-9a-z]{4,25}$/;
const pageJobs = 1_000;
const matchesNamedMax = 5;

/** By its id, its key, or the beginning of its id if no other begins so. SH1401, SH1411. */
export async function findJob({ connection }: Pick<Admin, 'connection'>, name: string): Promise<JobView> {
  const id = name.toLowerCase();
  const byId = idPattern.test(id) && (await tryTo(() => connection.request<JobView>({ kind: 'query', job: id })));
  if (byId) return byId;
  const byKey = name !== '' && (await tryTo(() => connection.request<{ job: string }>({ kind: 'find', key: name })));
  if (byKey) return connection.request<JobView>({ kind: 'query', job: byKey.job });
  const matches = prefixPattern.test(id) ? await jobsBeginning(connection, id) : [];
  if (matches.length === 1) return matches[0]!;
  if (matches.length > 1) {
    const named = matches.slice(0, matchesNamedMax).map((view) => `${view.job} (${view.name})`);
    const more = matches.length > matchesNamedMax ? ` and ${matches.length - matchesNamedMax} more` : '';
    throw new ShoalError('SH1411', `several jobs begin with ${name}`, { why: `${named.join(', ')}${more}`, hint: 'give more of its id' });
  }
  throw noSuchJob(name);
}

function noSuchJob(name: string): ShoalError {
  return new ShoalError('SH1401', `there is no job ${name}`, {
    why: 'no id begins so and no job has that key, or it has been deleted or has outlived its keepResults',
    hint: 'shoal jobs list',
  });
}

async function jobsBeginning(connection: Connection, prefix: string): Promise<JobView[]> {
  const found: JobView[] = [];
  for (let after: string | undefined; ; ) {
    const page: JobPage = await connection.request({ kind: 'listJobs', limit: pageJobs, ...(after !== undefined && { after }) });
    found.push(...page.jobs.filter(({ job }) => job.startsWith(prefix)));
    if (page.next === undefined) return found;
    after = page.next;
  }
}

async function tryTo<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ShoalError && (error.code === 'SH1401' || error.code === 'SH1404')) return undefined;
    throw error;
  }
}

export interface TaskName {
  job: string;
  stage: number;
  index: number;
}

/** A job, or a task of it: `JOB/STAGE/INDEX`, or `JOB INDEX`, which is in the job's first stage of tasks. */
export async function findSubject(admin: Admin, name: string, index?: string): Promise<TaskName | { job: string }> {
  if (index !== undefined) return taskOfFirstStage(admin, name, index);
  const [, job, stage, place] = /^(.+)\/(\d+)\/(\d+)$/.exec(name) ?? [];
  // Keys may look like that too.
  const owner = job === undefined ? undefined : await tryTo(() => findJob(admin, job));
  if (!owner) return { job: (await findJob(admin, name)).job };
  return { job: owner.job, stage: Number(stage), index: Number(place) };
}

/** As `findSubject`, where it has to be a task. SH1311 if it is not. */
export async function findTask(admin: Admin, name: string, index?: string): Promise<TaskName> {
  const subject = await findSubject(admin, name, index);
  if ('stage' in subject) return subject;
  throw new ShoalError('SH1311', `"${name}" names no task`, {
    why: `a task is JOB/STAGE/INDEX, or JOB INDEX`,
    hint: `shoal tasks list ${subject.job}`,
  });
}

async function taskOfFirstStage(admin: Admin, name: string, index: string): Promise<TaskName> {
  if (!/^\d{1,10}$/.test(index)) throw new ShoalError('SH1311', `"${index}" is no index of a task`, { why: 'it is a whole number from 0' });
  const { job } = await findJob(admin, name);
  const { tasks } = await admin.connection.request<TaskPage>({ kind: 'listTasks', job, limit: 1 });
  return { job, stage: tasks[0]?.stage ?? 0, index: Number(index) };
}

/** As a person would type it. */
export function taskNameOf({ job, stage, index }: TaskName): string {
  return `${job}/${stage}/${index}`;
}
