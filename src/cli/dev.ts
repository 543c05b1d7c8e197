/**
 * `shoal dev <file> [args...]`: a cluster of this machine's own for as long as one works on a program. A coordinator (jobs in
 * memory) and a worker in processes of their own; the program is submitted, and again whenever one of its files is saved.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { threadCount } from './flags.ts';
import { type LogOptions, log } from './log.ts';

interface DevFlags extends LogOptions {
  threads?: number;
  listen: string;
}

export function defineDev(command: Command): void {
  command
    .summary('a cluster of your own while you write a program; it runs again when you save')
    .description(
      'Starts a coordinator and a worker on this machine, submits the program, and submits it again whenever one of its files changes.',
    )
    .usage('[options] [file] [args...]')
    .argument('[file]', 'the program; without one the cluster waits for `shoal submit`')
    .argument('[args...]', 'what the program finds in main({ args })')
    .passThroughOptions()
    .addOption(new Option('--threads <count>', 'tasks at a time; default: one a core').argParser(threadCount).env('SHOAL_THREADS'))
    .addOption(new Option('--listen <host:port>', 'where the coordinator is reached').default('127.0.0.1:0').env('SHOAL_LISTEN'))
    .action((file: string | undefined, args: string[], flags: DevFlags) => new Dev(flags, file, args).run());
}

const bin = fileURLToPath(new URL('./bin.js', import.meta.url));
/** Editors save in several steps. */
const settleMs = 100;

class Dev {
  private readonly flags: DevFlags;
  private readonly file: string | undefined;
  private readonly args: readonly string[];
  private readonly home = mkdtempSync(join(tmpdir(), 'shoal-dev-'));
  private readonly children = new Set<ChildProcess>();
  private program: ChildProcess | undefined;
  private address = '';
  private isOver = false;
  private readonly watchers: { close(): void }[] = [];

  constructor(flags: DevFlags, file: string | undefined, args: readonly string[]) {
    this.flags = flags;
    this.file = file;
    this.args = args;
  }

  async run(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
    });
    try {
      await this.startCluster();
      if (this.file === undefined)
        log(this.flags, 'ready', `ready: shoal submit --address ${this.address} program.ts`, { address: this.address });
      else await this.startProgram();
      await Promise.race([ended, this.clusterDied()]);
    } finally {
      await this.end();
    }
    process.exit();
  }

  private async startCluster(): Promise<void> {
    const coordinator = this.start(['coordinator', '--listen', this.flags.listen, '--journal', 'memory:', '--json'], 'pipe');
    this.address = await startedAddress(coordinator);
    const threads = this.flags.threads === undefined ? [] : ['--threads', String(this.flags.threads)];
    this.start(
      [
        'worker',
        '--address',
        this.address,
        '--allow-bundles',
        '--queues',
        '*',
        '--name',
        'dev',
        '--drain-timeout',
        '0',
        '--quiet',
        ...threads,
      ],
      'inherit',
    );
    log(this.flags, 'started', `coordinator and worker are up at ${this.address}`, { address: this.address });
  }

  private async startProgram(): Promise<void> {
    const { shipProgram } = await import('./ship.ts');
    await this.submit();
    let timer: NodeJS.Timeout | undefined;
    const changed = (name: string): void => {
      clearTimeout(timer);
      timer = setTimeout(() => void this.again(name), settleMs);
    };
    // Folders, because editors replace files; only files that are in the program count.
    const program = await shipProgram(this.file!).catch(() => undefined);
    const inputs = new Set((program?.inputs ?? []).filter((input) => !input.includes('node_modules')));
    for (const folder of new Set([...inputs].map(dirname))) {
      this.watchers.push(watch(folder, (_event, name) => name !== null && inputs.has(join(folder, name)) && changed(name)));
    }
  }

  private async again(name: string): Promise<void> {
    if (this.isOver) return;
    log(this.flags, 'changed', `${name} has changed: once more`);
    await this.cancelRunning();
    await this.submit();
  }

  private async submit(): Promise<void> {
    const program = this.start(['submit', this.file!, ...this.args], 'inherit');
    this.program = program;
    program.once('exit', (code) => {
      if (this.program !== program) return;
      this.program = undefined;
      if (!this.isOver) log(this.flags, 'waiting', `${code === 0 ? 'done' : `ended with exit code ${code}`}; waiting for changes`);
    });
  }

  private async cancelRunning(): Promise<void> {
    const { program } = this;
    if (!program) return;
    this.program = undefined;
    program.kill('SIGKILL');
    if (program.exitCode === null && program.signalCode === null) await once(program, 'exit');
    const list = this.start(['jobs', 'list', '--json', '--state', 'running', 'queued'], 'pipe');
    let text = '';
    for await (const chunk of list.stdout!) text += String(chunk);
    const { jobs } = JSON.parse(text) as { jobs: { job: string }[] };
    await Promise.all(
      jobs.map(({ job }) => once(this.start(['jobs', 'cancel', job, '--reason', 'its program has changed'], 'ignore'), 'exit')),
    );
  }

  private start(args: readonly string[], output: 'inherit' | 'pipe' | 'ignore'): ChildProcess {
    const child = spawn(process.execPath, [bin, ...args], {
      // A group of its own: Ctrl-C is ours to hand on.
      detached: true,
      stdio:
        output === 'pipe'
          ? ['ignore', 'pipe', 'pipe']
          : ['ignore', output === 'ignore' ? 'ignore' : 'inherit', output === 'ignore' ? 'ignore' : 'inherit'],
      env: { ...process.env, SHOAL_HOME: this.home, SHOAL_TOKEN: '', ...(this.address !== '' && { SHOAL_ADDRESS: this.address }) },
    });
    this.children.add(child);
    child.once('exit', () => this.children.delete(child));
    return child;
  }

  private clusterDied(): Promise<void> {
    const [coordinator, worker] = [...this.children];
    return Promise.race([coordinator, worker].map((child) => (child ? once(child, 'exit') : Promise.resolve()))).then(() => {
      if (this.isOver) return;
      log(this.flags, 'error', 'the coordinator or the worker has ended');
      process.exitCode = 1;
    });
  }

  private async end(): Promise<void> {
    this.isOver = true;
    for (const watcher of this.watchers) watcher.close();
    const children = [...this.children];
    for (const child of children) child.kill('SIGTERM');
    const timer = setTimeout(() => {
      for (const child of this.children) child.kill('SIGKILL');
    }, 3_000);
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    await Promise.all(running.map((child) => once(child, 'exit')));
    clearTimeout(timer);
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** The first line that it says with --json. What it says instead, if it can't start, goes on. */
async function startedAddress(coordinator: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of coordinator.stderr!) {
    text += String(chunk);
    const line = text.split('\n').find((each) => each.includes('"type":"started"'));
    if (line) {
      coordinator.stderr!.resume();
      return (JSON.parse(line) as { address: string }).address;
    }
  }
  process.stderr.write(text);
  throw new Error('the coordinator did not start');
}
