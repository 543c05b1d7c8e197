/**
 * `main(body)`: the program around the tasks. Worker threads load the same module and must not run it. It gives the
 * body its arguments and a signal, turns Ctrl-C and SIGTERM into cancelled jobs, prints errors, closes the cluster, and
 * leaves an exit code.
 *
 * A module with a `main` may be imported for its tasks by another program: modules run in the order of their imports, so
 * the program's own `main` is the last one, and only it runs.
 */
import { constants } from 'node:os';
import { formatError } from '../lib/error-text.ts';
import { ShoalError } from '../lib/errors.ts';
import { definedNames } from '../tasks/definition.ts';
import { insideTask } from '../tasks/where-am-i.ts';
import { type ClusterHandle, defaultCluster } from './cluster.ts';
import { programHook } from './program.ts';
import { whenOpened } from './submission.ts';
import type { MainEnv } from './types.ts';

/** After a signal the body may still tidy up; then the program ends. */
const bodyGraceMs = 5_000;
/** After the end, what the body left open (a server, a timer) must not hold an interrupted program. */
const exitGraceMs = 1_000;

type Body = (env: MainEnv) => unknown;
type Signal = 'SIGINT' | 'SIGTERM';

let waiting: Body | undefined;
let isRunning = false;

/**
 * Runs `body` as the program, unless a worker loads the module. `signal` is aborted by Ctrl-C and SIGTERM. Errors are
 * printed; exit codes: 0 success, 1 failed or cancelled, 2 wrong usage, 3 no cluster, 4 timed out, 130/143 interrupted.
 */
export function main(body: Body): void {
  if (insideTask()) return;
  if (typeof body !== 'function') throw new ShoalError('SH1102', `main takes a function, not a ${typeof body}`);
  if (isRunning) {
    throw new ShoalError('SH1107', 'main() is running already', { hint: 'a program has one main; call plain functions from it' });
  }
  const isFirst = waiting === undefined;
  waiting = body;
  if (isFirst) setImmediate(start);
}

function start(): void {
  const body = waiting!;
  isRunning = true;
  const bundle = programHook()?.bundle;
  if (bundle) bundle.tasks = new Set(definedNames());
  waiting = undefined;
  // Everything that can fail in there is told in there.
  void runProgram(body).finally(() => {
    isRunning = false;
  });
}

async function runProgram(body: Body): Promise<void> {
  const hook = programHook();
  const cluster = defaultCluster();
  const interruption = new Interruption(cluster);
  const env: MainEnv = { args: hook?.args ?? process.argv.slice(2), signal: interruption.signal, cluster };
  let failure: { error: unknown } | undefined;
  // The process must not end for lack of events while the body waits for something that holds nothing open.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    await Promise.race([runBody(body, env), interruption.overdue]);
  } catch (error) {
    failure = { error };
  }
  const { received } = interruption;
  const exitCode = received ? 128 + constants.signals[received] : failure ? exitCodeOf(failure.error) : 0;
  try {
    const end = {
      exitCode,
      jobs: hook?.onEnd ? await cluster.startedViews() : [],
      ...(failure && { error: failure.error }),
      ...(received && { signal: received }),
    };
    if (hook?.onEnd) await hook.onEnd(end);
    else report(failure, received, exitCode);
    // Who interrupted it knows that it is not through.
    if (received) cluster.unread.clear();
    await cluster.close();
  } catch (error) {
    report({ error }, undefined, 1);
  } finally {
    clearInterval(alive);
    interruption.end();
  }
  // What was asked to stop stops, whatever the body left open.
  if (received) setTimeout(() => process.exit(), exitGraceMs).unref();
}

async function runBody(body: Body, env: MainEnv): Promise<void> {
  await body(env);
}

function report(failure: { error: unknown } | undefined, received: Signal | undefined, exitCode: number): void {
  if (exitCode !== 0) process.exitCode = exitCode;
  // An interrupted body mostly fails because of that, which the user knows.
  if (failure && !received) process.stderr.write(`${formatError(failure.error, { color: wantsColor() })}\n`);
}

function wantsColor(): boolean {
  return process.stderr.isTTY === true && !process.env.NO_COLOR;
}

function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code !== 'string' || !/^SH\d{4}$/.test(code)) return 1;
  if (code === 'SH1405') return 4;
  if (code.startsWith('SH3')) return 3;
  // Wrong names, options, addresses; values that can't travel are wrong usage as well.
  return /^SH1[123]/.test(code) ? 2 : 1;
}

/** Signals of the operating system for as long as the program runs. */
class Interruption {
  received: Signal | undefined;
  /** Rejects when the body took no notice of an interruption for too long. */
  readonly overdue: Promise<never>;
  readonly #controller = new AbortController();
  readonly #cluster: ClusterHandle;
  readonly #tooLate: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(cluster: ClusterHandle) {
    this.#cluster = cluster;
    let tooLate: (error: unknown) => void = () => undefined;
    this.overdue = new Promise((_resolve, reject) => {
      tooLate = reject;
    });
    this.overdue.catch(() => undefined);
    this.#tooLate = tooLate;
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
  }

  readonly #onSignal = (signal: Signal): void => {
    // The second time they mean it.
    if (this.received) process.exit(128 + constants.signals[signal]);
    this.received = signal;
    const interrupted = new ShoalError('SH2005', `the program was interrupted by ${signal}`);
    this.#controller.abort(interrupted);
    this.#timer = setTimeout(() => this.#tooLate(interrupted), bodyGraceMs);
    // Told after what the client does with a job that was opened just now: it begins to send inputs.
    let underWay = whenOpened(this.#cluster, (job) =>
      setImmediate(() => {
        underWay--;
        this.#leave([job], signal, underWay > 0);
      }),
    );
    const { runningJobs } = this.#cluster;
    if (runningJobs.length > 0) this.#leave(runningJobs, signal, underWay > 0);
    else
      this.#tell(
        'interrupted',
        `interrupted; waiting for ${underWay > 0 ? 'the job that is being submitted' : 'main() to end'}; ${onceMore}`,
        [],
      );
  };

  /** What becomes of jobs whose program was interrupted. `waits`: others are being submitted still. */
  #leave(jobs: readonly string[], signal: Signal, waits: boolean): void {
    const { address } = this.#cluster;
    const count = jobs.length === 1 ? '1 job' : `${jobs.length} jobs`;
    if (this.#cluster.isRemote) {
      const watch = jobs.map((job) => `\n  shoal jobs watch ${job} --address ${address}`).join('');
      const unfed = jobs.filter((job) => this.#cluster.connection?.isFeeding(job));
      const missing =
        unfed.length === 0
          ? ''
          : '\n  not all inputs were sent: with a --key, submit again under it to send the rest; without one, nobody can: cancel it';
      this.#tell('detached', `detached; ${count} ${jobs.length === 1 ? 'goes' : 'go'} on at ${address}${watch}${missing}`, jobs);
    } else if (this.#cluster.isDurable) {
      // What is done is in the journal; the body would wait for the rest, so it is told that there is no more.
      this.#tell('interrupted', `interrupted; what is done is kept, run it again to go on (${count})`, jobs);
    } else {
      this.#tell('interrupted', `interrupted, cancelling ${count}; ${onceMore}`, jobs);
      void this.#cluster.cancelRunning(`interrupted by ${signal}`);
      return;
    }
    if (!waits) this.#tooLate(this.#controller.signal.reason);
  }

  #tell(type: 'interrupted' | 'detached', text: string, jobs: readonly string[]): void {
    const hook = programHook();
    if (hook?.tell) hook.tell(type, text, { jobs, address: this.#cluster.address });
    else process.stderr.write(`shoal: ${text}\n`);
  }
}

const onceMore = 'once more to stop at once';
