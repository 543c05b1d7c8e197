/** A command's line to the coordinator, and the things that people name on the command line. */
import { Connection } from '../../client/connection.ts';
import { openRemoteSession } from '../../client/remote/session.ts';
import type { JobPage } from '../../core/answers.ts';
import type { JobView } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { type ClusterFlags, type Target, targetOf } from '../flags.ts';
import { watchPipes } from '../run-program.ts';
import { Output, type OutputFlags } from './output.ts';

export type AdminFlags = ClusterFlags & OutputFlags;

export interface Admin {
  connection: Connection;
  output: Output;
  target: Target;
}

/** Opens, acts, closes. What goes wrong is told by program.ts. */
export async function withCluster(flags: AdminFlags, act: (admin: Admin) => Promise<void>): Promise<void> {
  watchPipes();
  const target = targetOf(flags, ['admin', 'client+bundles', 'client', 'read-only']);
  const session = await openRemoteSession({ ...target, attempts: 2 });
  const connection = new Connection(session);
  try {
    await act({ connection, output: new Output(flags), target });
  } finally {
    connection.close();
  }
}

const prefixMin = 4;
const pageJobs = 1_000;

/** By its id, its key, or the beginning of its id if no other begins so. SH1401, SH1411. */
export async function findJob({ connection }: Admin, name: string): Promise<JobView> {
  const byId = await tryTo(() => connection.request<JobView>({ kind: 'query', job: name }));
  if (byId) return byId;
  const byKey = await tryTo(() => connection.request<{ job: string }>({ kind: 'find', key: name }));
  if (byKey) return connection.request<JobView>({ kind: 'query', job: byKey.job });
  const matches = name.length >= prefixMin ? await jobsBeginning(connection, name) : [];
  if (matches.length === 1) return matches[0]!;
  if (matches.length > 1) {
    throw new ShoalError('SH1411', `several jobs begin with ${name}`, {
      why: matches.map((view) => `${view.job} (${view.name})`).join(', '),
    });
  }
  throw new ShoalError('SH1401', `there is no job ${name}`, {
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

/** `JOB/STAGE/INDEX`, or undefined where it names a job. */
export async function findTask(admin: Admin, name: string): Promise<TaskName | undefined> {
  const match = /^(.+)\/(\d+)\/(\d+)$/.exec(name);
  if (!match) return undefined;
  const { job } = await findJob(admin, match[1]!);
  return { job, stage: Number(match[2]), index: Number(match[3]) };
}

/** SH1311 if it names no task. */
export async function needTask(admin: Admin, name: string): Promise<TaskName> {
  const task = await findTask(admin, name);
  if (task) return task;
  throw new ShoalError('SH1311', `"${name}" names no task`, { why: 'a task is JOB/STAGE/INDEX', hint: 'shoal tasks list JOB' });
}
