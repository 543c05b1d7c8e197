/**
 * Real coordinators and workers as processes, and what hurts them. Each cluster has a folder, a journal and a
 * configuration of its own; `close` ends whatever it started, by pid, and removes the folder.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Cluster, connect } from 'shoal';
import { vi } from 'vitest';
import { childrenOf, Running } from '../running.ts';

// Half a dozen processes, started again and again: where ten others want the same core, each start takes seconds.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

export type { Running };

export const bin = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url));
export const tasksFile = fileURLToPath(new URL('./fixtures/tasks.ts', import.meta.url));

export interface WorkerOptions {
  threads?: number;
  name?: string;
  args?: readonly string[];
  /** Where it dials, if not the coordinator itself: a proxy. */
  address?: string;
  /** A command that runs it somewhere else, and becomes it. */
  inside?: readonly string[];
}

export interface ClusterOptions {
  coordinators?: number;
  /** Of each coordinator, where that is not the default. */
  elections?: readonly string[];
  journals?: readonly string[];
  hosts?: readonly string[];
  /** Of each coordinator, as a worker's. */
  inside?: readonly (readonly string[])[];
  coordinatorArgs?: readonly string[];
  workers?: number;
  threads?: number;
  journal?: string;
  host?: string;
  worker?: WorkerOptions;
}

export class TestCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'shoal-cluster-'));
  readonly env: NodeJS.ProcessEnv;
  private readonly ports: readonly number[];
  private readonly hosts: readonly string[];
  private readonly inside: readonly (readonly string[])[];
  /** By their ports, in order; those that were started last. */
  readonly coordinators: Running[] = [];
  readonly workers: Running[] = [];
  private readonly others: Running[] = [];
  private readonly clients: Cluster[] = [];
  private readonly journal: string;
  private readonly hasOwnFolder: boolean;
  private readonly coordinatorArgs: readonly string[];
  private readonly elections: readonly string[];
  private readonly journals: readonly string[];
  private workerCount = 0;
  /** Processes that a test has cut off from their parents. */
  readonly orphans: number[] = [];

  private constructor(
    ports: readonly number[],
    { journal, host = '127.0.0.1', hosts, inside = [], coordinatorArgs = [], elections = [], journals = [] }: ClusterOptions,
  ) {
    this.ports = ports;
    this.hosts = hosts ?? ports.map(() => host);
    this.inside = inside;
    this.hasOwnFolder = journal === undefined && journals.length === 0;
    this.journal = journal ?? `file:${join(this.folder, 'journal')}`;
    this.coordinatorArgs = coordinatorArgs;
    this.elections = elections;
    this.journals = journals;
    this.env = { ...process.env, SHOAL_HOME: join(this.folder, 'home'), SHOAL_CACHE: join(this.folder, 'cache'), NO_COLOR: '1' };
    delete this.env.SHOAL_ADDRESS;
    delete this.env.SHOAL_TOKEN;
  }

  static async start(options: ClusterOptions = {}): Promise<TestCluster> {
    const ports: number[] = [];
    for (let at = 0; at < (options.coordinators ?? 1); at++) ports.push(await freePort());
    const cluster = new TestCluster(ports, options);
    try {
      for (const at of ports.keys()) await cluster.startCoordinator(at);
      for (let i = 0; i < (options.workers ?? 1); i++) cluster.addWorker({ threads: options.threads ?? 2, ...options.worker });
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  get port(): number {
    return this.ports[0]!;
  }

  /** The first or only one. */
  get coordinator(): Running {
    return this.coordinators[0]!;
  }

  /** Of all coordinators, as clients and workers are given it. */
  get address(): string {
    return this.ports.map((_, at) => this.addressOf(at)).join(',');
  }

  addressOf(at: number): string {
    return `http://${this.hosts[at]}:${this.ports[at]}`;
  }

  /** The same journal and port each time, so that a new one goes on where the last one ended. */
  async startCoordinator(at = 0, env: NodeJS.ProcessEnv = {}): Promise<Running> {
    const host = this.hosts[at]!;
    const open = host === '127.0.0.1' ? [] : ['--insecure-plaintext'];
    const journal = this.journals[at] ?? this.journal;
    const own = ['coordinator', '--listen', `${host}:${this.ports[at]}`, '--journal', journal, '--token-file', this.tokenFile];
    const election = this.elections[at] === undefined ? [] : ['--election', this.elections[at]];
    const coordinator = this.run([...own, ...open, ...election, ...this.coordinatorArgs], env, this.inside[at]);
    this.coordinators[at] = coordinator;
    await coordinator.said(/listens on http:\/\/[\d.]+:\d+/);
    return coordinator;
  }

  /** Which of the coordinators is ready; undefined if none is. */
  async leader(): Promise<number | undefined> {
    const answers = await Promise.all(this.ports.map((_, at) => statusOf(`${this.addressOf(at)}/readyz`)));
    const at = answers.indexOf(200);
    return at < 0 ? undefined : at;
  }

  /** Resolves when one of them leads, other than this one. */
  async nextLeader(after?: number): Promise<number> {
    for (;;) {
      const at = await this.leader();
      if (at !== undefined && at !== after) return at;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Resolves when none of them leads. */
  async noLeader(): Promise<void> {
    while ((await this.leader()) !== undefined) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  private get tokenFile(): string {
    return join(this.folder, ...(this.hasOwnFolder ? ['journal'] : []), 'tokens');
  }

  addWorker({ threads = 2, name = `w${++this.workerCount}`, args = [], address = this.address, inside }: WorkerOptions = {}): Running {
    const own = [
      'worker',
      '--address',
      address,
      '--name',
      name,
      '--threads',
      String(threads),
      ...(args.includes('--allow-bundles') ? [] : ['--tasks', tasksFile]),
      ...args,
    ];
    // Through a proxy the coordinator's own address is not seen, by which the token would be found.
    const worker = this.run(own, { SHOAL_TOKEN: this.token('worker') }, inside);
    this.workers.push(worker);
    return worker;
  }

  /** Any `shoal` command of this cluster's user. */
  run(args: readonly string[], env: NodeJS.ProcessEnv = {}, inside: readonly string[] = []): Running {
    const [program = process.execPath, ...rest] = [...inside, process.execPath, bin, ...args];
    const running = new Running(
      spawn(program, rest, { env: { ...this.env, ...env }, cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    this.others.push(running);
    return running;
  }

  /** Runs a command to its end. */
  async shoal(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const running = this.run([...args], { SHOAL_ADDRESS: this.address });
    const { code } = await running.ended;
    return { code, stdout: running.stdout, stderr: running.stderr };
  }

  token(role = 'admin'): string {
    const lines = readFileSync(this.tokenFile, 'utf8').split('\n');
    const line = lines.find((each) => each.split(/\s+/)[0] === role);
    if (!line) throw new Error(`no ${role} token`);
    return line.trim().split(/\s+/)[1]!;
  }

  async connect(address = this.address): Promise<Cluster> {
    const client = await connect(address, { token: this.token() });
    this.clients.push(client);
    return client;
  }

  /** Resolves when so many workers are live. */
  async ready(count: number): Promise<Cluster> {
    // On a machine that has other things to do both take longer than anybody waits by default.
    await this.nextLeader();
    const client = await this.connect();
    await client.waitForWorkers(count, { timeout: '2m' });
    return client;
  }

  /** The process of a worker's supervisor that runs the tasks. */
  childOf(worker: Running): number {
    const child = childrenOf(worker.pid).find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker-child'));
    if (child === undefined) throw new Error(`worker ${worker.pid} has no process for tasks`);
    return child;
  }

  /** As `childOf`, when it has been started (again). */
  async startedChildOf(worker: Running): Promise<number> {
    for (;;) {
      try {
        return this.childOf(worker);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.clients.map((client) => client.close()));
    // Children as well: one that was stopped does not notice that its parent is gone.
    const pids = this.others.filter((running) => !running.isOver).flatMap(({ pid }) => [pid, ...childrenOf(pid)]);
    for (const pid of [...pids, ...this.orphans]) kill(pid);
    await Promise.all(this.others.map((running) => running.ended));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** 0: nobody answers, within a second. */
async function statusOf(url: string): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.text();
    return response.status;
  } catch {
    return 0;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
