/** `shoal workers …` and `shoal queues …` */
import { type Command, Option } from 'commander';
import type { QueueInfo, WorkerInfo } from '../../core/answers.ts';
import type { WorkerCode } from '../../core/messages.ts';
import { ShoalError } from '../../lib/errors.ts';
import { type Admin, type AdminFlags, withCluster } from './cluster.ts';
import { type Column, size, span } from './output.ts';

export function defineWorkers(group: Command): void {
  group.summary('list and drain workers');
  group
    .command('list')
    .summary('workers and what they have')
    .addOption(new Option('--all', 'those that left as well'))
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
      .action((queue: string, flags: AdminFlags) => withCluster(flags, (admin) => setQueue(admin, queue, paused)));
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
  { title: 'memory', of: ({ memory }) => (memory ? `${size(memory.bytes)} of ${size(memory.bytesMax)}` : '') },
  { title: 'queues', of: ({ queues }) => queues.join(', ') },
  { title: 'runs', of: ({ code }) => codeText(code) },
  { title: 'heard', of: ({ heardAgoMs }) => `${span(heardAgoMs)} ago` },
  { title: 'host', of: ({ host, pid }) => (host === '' ? '' : `${host} ${pid}`) },
  { title: 'note', of: ({ why }) => why ?? '' },
];

function codeText(code: WorkerCode | undefined): string {
  if (!code) return '';
  if (code.kind === 'any') return 'any module';
  const names = code.names.filter((name) => !name.startsWith('shoal.'));
  const shown = names.length > 3 ? [`${names.length} tasks`] : names;
  return [...shown, ...(code.bundles ? ['bundles'] : [])].join(', ');
}

async function list({ connection, output }: Admin, isAll: boolean): Promise<void> {
  const all = await connection.request<WorkerInfo[]>({ kind: 'listWorkers' });
  const workers = all.filter(({ status }) => isAll || status !== 'left');
  output.give({ workers }, () => output.table(workers, workerColumns, 'there are no workers; start one: shoal worker --address URL'));
}

async function get({ connection, output }: Admin, name: string): Promise<void> {
  const all = await connection.request<WorkerInfo[]>({ kind: 'listWorkers' });
  const worker = all.find((each) => each.worker === name);
  if (!worker) throw new ShoalError('SH1410', `there is no worker ${name}`, { hint: 'shoal workers list --all' });
  const entries = (record: Record<string, unknown>): string | undefined =>
    Object.entries(record)
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(', ') || undefined;
  output.give(worker, () =>
    output.pairs([
      ['worker', worker.worker],
      ['status', worker.why === undefined ? worker.status : `${worker.status}: ${worker.why}`],
      ['host', `${worker.host}, process ${worker.pid}, shoal ${worker.version}`],
      ['slots', `${worker.slots}, with ${worker.heldTasks} tasks`],
      ['memory', worker.memory && `${size(worker.memory.bytes)} of ${size(worker.memory.bytesMax)}`],
      ['queues', worker.queues.join(', ')],
      ['runs', codeText(worker.code)],
      ['labels', entries(worker.labels)],
      ['resources', entries(worker.resources)],
      ['heard', `${span(worker.heardAgoMs)} ago`],
    ]),
  );
}

async function drain({ connection, output }: Admin, worker: string): Promise<void> {
  await connection.request({ kind: 'drainWorker', worker });
  output.give({ worker, draining: true }, () => output.line(`${worker} gets nothing more and ends when it is through`));
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
];

async function listQueues({ connection, output }: Admin): Promise<void> {
  const queues = await connection.request<QueueInfo[]>({ kind: 'listQueues' });
  output.give({ queues }, () => output.table(queues, queueColumns, 'there are no queues'));
}

async function setQueue({ connection, output }: Admin, queue: string, paused: boolean): Promise<void> {
  await connection.request({ kind: 'setQueue', queue, paused });
  output.give({ queue, paused }, () => output.line(paused ? `${queue} is paused` : `${queue} is open`));
}
