// @ts-check
/** Real clusters for benchmarks: coordinators, workers and servers as processes of their own, on free ports, in a folder that goes. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../dist/cli/bin.js', import.meta.url));
const lagWatch = fileURLToPath(new URL('./lag-watch.mjs', import.meta.url));

/** @returns {Promise<number>} */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

export class BenchCluster {
  folder = mkdtempSync(join(tmpdir(), 'shoal-bench-'));
  address = '';
  /** @type {import('node:child_process').ChildProcess[]} */
  workers = [];
  /** By their ports, in order; those that were started last. @type {import('node:child_process').ChildProcess[]} */
  coordinators = [];
  #journal = '';
  #election = '';
  /** @type {number[]} */
  #ports = [];
  #tasks = '';
  #broker = '';
  /** @type {NodeJS.ProcessEnv} */
  #env = {};
  #name = `bench-${randomBytes(4).toString('hex')}`;

  /**
   * @param {{
   *   journal: string, workers: number, threads?: number, tasks: URL, watchLag?: boolean, broker?: string,
   *   coordinators?: number, election?: string, env?: NodeJS.ProcessEnv,
   * }} options `journal`: `memory`, `file` or an address
   */
  static async start({
    journal,
    workers,
    threads = 1,
    tasks,
    watchLag = false,
    broker = 'ws:',
    coordinators = 1,
    election = '',
    env = {},
  }) {
    const cluster = new BenchCluster();
    cluster.#broker = broker;
    cluster.#election = election;
    cluster.#env = env;
    cluster.#journal = journal === 'memory' ? 'memory:' : journal === 'file' ? `file:${join(cluster.folder, 'journal')}` : journal;
    for (let at = 0; at < coordinators; at++) cluster.#ports.push(await freePort());
    cluster.#tasks = fileURLToPath(tasks);
    cluster.address = cluster.#ports.map((port) => `http://127.0.0.1:${port}`).join(',');
    for (const at of cluster.#ports.keys()) await cluster.startCoordinator(at, watchLag);
    for (let i = 0; i < workers; i++) cluster.addWorker(threads);
    return cluster;
  }

  /** The first or only one. */
  get coordinator() {
    return this.coordinators[0];
  }

  async startCoordinator(at = 0, watchLag = false) {
    const args = ['coordinator', '--listen', `127.0.0.1:${this.#ports[at]}`, '--journal', this.#journal];
    if (this.#election !== '') args.push('--election', this.#election);
    const coordinator = this.#run(args, watchLag ? { NODE_OPTIONS: `--import ${lagWatch}`, SHOAL_LAG_FILE: this.lagFile } : {});
    this.coordinators[at] = coordinator;
    await said(coordinator, 'listens on');
  }

  /** Which of the coordinators leads: the one that is ready. @returns {Promise<number>} */
  async leader() {
    for (;;) {
      const answers = await Promise.all(this.#ports.map((port) => isReady(`http://127.0.0.1:${port}/readyz`)));
      if (answers.includes(true)) return answers.indexOf(true);
    }
  }

  get lagFile() {
    return join(this.folder, 'lag.json');
  }

  /** @param {number} threads */
  addWorker(threads) {
    this.workers.push(
      this.#run([
        'worker',
        '--address',
        this.address,
        '--tasks',
        this.#tasks,
        '--threads',
        String(threads),
        '--name',
        `w${this.workers.length}`,
      ]),
    );
  }

  async connect() {
    // The token that the coordinator left for this user.
    process.env.SHOAL_HOME = join(this.folder, 'home');
    const { connect } = await import('shoal');
    const cluster = await connect(this.address);
    await cluster.waitForWorkers(this.workers.length);
    return cluster;
  }

  async close() {
    for (const child of [...this.workers, ...this.coordinators]) await end(child);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** What the coordinator said of its event loop and memory when it ended. @returns {{ maxMs: number, rssBytes: number }} */
  lag() {
    return JSON.parse(readFileSync(this.lagFile, 'utf8'));
  }

  /** @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] */
  #run(args, env = {}) {
    return spawn(process.execPath, [cli, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        SHOAL_HOME: join(this.folder, 'home'),
        SHOAL_BROKER: this.#broker,
        SHOAL_CLUSTER: this.#name,
        ...this.#env,
        ...env,
      },
    });
  }
}

/** @param {import('node:child_process').ChildProcess | undefined} child @param {NodeJS.Signals} [signal] */
export async function end(child, signal = 'SIGTERM') {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** @param {string} url */
async function isReady(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** @param {import('node:child_process').ChildProcess} child @param {string} word */
async function said(child, word) {
  let text = '';
  const stream = /** @type {import('node:stream').Readable} */ (child.stderr);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes(word)) {
      stream.resume();
      return;
    }
  }
  throw new Error(`it did not start:\n${text}`);
}

/** A Redis server of our own, in memory, as a queue would be run for speed. Undefined where there is none to start. */
export async function startRedis() {
  const port = await freePort();
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await once(child, 'spawn');
  } catch {
    return undefined;
  }
  let text = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes('Ready to accept connections')) break;
  }
  child.stdout.resume();
  return { port, stop: () => end(child) };
}
