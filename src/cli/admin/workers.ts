/** `shoal workers …` and `shoal queues …` */
import { type Command, Option } from 'commander';
import type { QueueInfo, QueueReply, WorkerInfo } from '../../core/answers.ts';
import type { WorkerCode } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { nearest } from '../../lib/similar.ts';
import { type Admin, type AdminFlags, withCluster } from './cluster.ts';
import { type ChangeFlags, expectationOf, ifMatchOption } from './options.ts';
import { type Column, size, span } from './output.ts';

export function defineWorkers(group: Command): void {
  group.summary('list and drain workers');
  group
    .command('list')
    .summary('workers and what they have')
    .addOption(new Option('--all', 'those that left as well: each for an hour, or while a job is kept that it may have worked for'))
    .action((flags: AdminFlags & { all?: boolean }) => withCluster(flags, (admin) => list(admin, flags.all === true)));
  group
    .command('get')
    .summary('one worker')
    .argument('<worker>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => get(admin, name)));
  group
    .command('drain')
    .summary('give it nothing more; it ends when it is through with what it has')
    .argument('<worker>')
    .action((name: string, flags: AdminFlags) => withCluster(flags, (admin) => drain(admin, name)));
}

export function defineQueues(group: Command): void {
  group.summary('list, pause and resume queues');
  group
    .command('list')
    .summary('queues, who serves them, what is in them')
    .action((flags: AdminFlags) => withCluster(flags, listQueues));
  for (const [verb, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    group
      .command(verb)
      .summary(paused ? 'hand out nothing more of it; what runs goes on' : 'hand out its tasks again')
      .argument('<queue>')
      .addOption(ifMatchOption('queue'))
      .action((queue: string, flags: AdminFlags & ChangeFlags) => withCluster(flags, (admin) => setQueue(admin, queue, paused, flags)));
  }
}

const workerColumns: readonly Column<WorkerInfo>[] = [
  { title: 'worker', of: ({ worker }) => worker },
  {
    title: 'status',
    of: ({ status }) => status,
    paint: (text, { status }, paint) => (status === 'live' ? paint.green(text) : paint.yellow(text)),
  },
  { title: 'slots', of: ({ slots }) => String(slots), isNumber: true },
  { title: 'tasks', of: ({ heldTasks }) => String(heldTasks), isNumber: true },
  { title: 'cpu', of: ({ cpu }) => (cpu === undefined ? '' : percent(cpu)), isNumber: true },
  { title: 'memory', of: ({ memory }) => (memory ? `${size(memory.bytes)} of ${size(memory.bytesMax)}` : '') },
  { title: 'queues', of: ({ queues }) => queues.join(', ') },
  { title: 'runs', of: ({ code }) => codeText(code) },
  { title: 'heard', of: ({ heardAgoMs }) => `${span(heardAgoMs)} ago` },
  { title: 'host', of: ({ host, pid }) => (host === '' ? '' : `${host} ${pid}`) },
  { title: 'note', of: ({ why }) => why ?? '' },
];

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function codeText(code: WorkerCode | undefined): string {
  if (!code) return '';
  if (code.kind === 'any') return 'any module';
  const names = code.names.filter((name) => !name.startsWith('shoal.'));
  const shown = names.length > 3 ? [`${names.length} tasks`] : names;
  return [...shown, ...(code.bundles ? ['bundles'] : [])].join(', ');
}

async function list({ connection, output, target }: Admin, isAll: boolean): Promise<void> {
  const all = await connection.request<WorkerInfo[]>({ kind: 'listWorkers' });
  const workers = all.filter(({ status }) => isAll || status !== 'left');
  const nothing = `there are no workers; start one: shoal worker --address ${target.address} --allow-bundles`;
  output.give({ workers }, () => output.table(workers, workerColumns, nothing));
}

async function get({ connection, output }: Admin, name: string): Promise<void> {
  const all = await connection.request<WorkerInfo[]>({ kind: 'listWorkers' });
  const worker = all.find((each) => each.worker === name);
  if (!worker) throw noSuchWorker(name, all);
  const entries = (record: Record<string, unknown>): string | undefined =>
    Object.entries(record)
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(', ') || undefined;
  output.give(worker, () =>
    output.pairs([
      ['worker', worker.worker],
      ['status', worker.why === undefined ? worker.status : `${worker.status}: ${worker.why}`],
      ['host', worker.host === '' ? undefined : `${worker.host}, process ${worker.pid}, shoal ${worker.version}`],
      ['slots', `${worker.slots}, with ${worker.heldTasks} tasks`],
      ['cpu', worker.cpu === undefined ? undefined : `${percent(worker.cpu)} of what it may use is in use`],
      ['memory', worker.memory && `${size(worker.memory.bytes)} of ${size(worker.memory.bytesMax)}`],
      ['queues', worker.queues.join(', ')],
      ['runs', codeText(worker.code)],
      ['labels', entries(worker.labels)],
      ['resources', entries(worker.resources)],
      ['heard', `${span(worker.heardAgoMs)} ago`],
    ]),
  );
}

const namesMax = 20;

function noSuchWorker(name: string, all: readonly WorkerInfo[]): ShoalError {
  const names = all.map(({ worker }) => worker);
  const near = nearest(name, names).map((each) => `shoal workers get ${each}`);
  const shown = names.slice(0, namesMax).join(', ');
  return new ShoalError('SH1410', `there is no worker ${name}`, {
    why: names.length === 0 ? 'no worker has been there' : `there is: ${shown}${names.length > namesMax ? ' …' : ''}`,
    hint: near.length > 0 ? near.join('\n') : 'shoal workers list --all',
  });
}

async function drain({ connection, output }: Admin, worker: string): Promise<void> {
  await connection.request({ kind: 'drainWorker', worker });
  output.did({ worker, draining: true }, `${worker} gets nothing more and ends when it is through`);
}

const queueColumns: readonly Column<QueueInfo>[] = [
  { title: 'queue', of: ({ queue }) => queue },
  {
    title: 'state',
    of: ({ paused }) => (paused ? 'paused' : 'open'),
    paint: (text, { paused }, paint) => (paused ? paint.yellow(text) : text),
  },
  { title: 'workers', of: ({ workers }) => String(workers), isNumber: true },
  { title: 'jobs', of: ({ jobs }) => String(jobs), isNumber: true },
  { title: 'ready', of: ({ ready }) => String(ready), isNumber: true },
  { title: 'delayed', of: ({ delayed }) => String(delayed), isNumber: true },
  { title: 'running', of: ({ running }) => String(running), isNumber: true },
  { title: 'version', of: ({ version }) => String(version), isNumber: true },
];

async function listQueues({ connection, output }: Admin): Promise<void> {
  const queues = await connection.request<QueueInfo[]>({ kind: 'listQueues' });
  output.give({ queues }, () => output.table(queues, queueColumns, 'there are no queues'));
}

/** A queue is there as soon as somebody names it, so that a typing error looks like success. */
async function setQueue({ connection, output }: Admin, queue: string, paused: boolean, flags: ChangeFlags): Promise<void> {
  const before = await connection.request<QueueInfo[]>({ kind: 'listQueues' });
  const answer = await connection.request<QueueReply>({ kind: 'setQueue', queue, paused, ...expectationOf(flags) });
  output.did({ queue, ...answer }, paused ? `${queue} is paused` : `${queue} is open`);
  if (!before.some((info) => info.queue === queue)) {
    output.note(`no worker names ${queue} and no open job uses it; there is: ${before.map((info) => info.queue).join(', ')}`);
  }
}
