/**
 * What happens around a program that runs in this process: the hook for its client, task logs, progress, the summary,
 * signals, and the exit code.
 *
 * 1. stdout is the program's alone.
 * 2. A program with main() ends by `onEnd`; one without ends when nothing is left to do.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import '../index.ts';
import { defaultCluster } from '../client/cluster.ts';
import { installProgram, type ProgramEnd } from '../client/program.ts';
import { createProgress } from '../lib/progress-bar.ts';
import { wantsColor } from '../lib/terminal.ts';
import { type Bundle, bundleProgram, findProgram } from './bundle.ts';
import { behindFile } from './flags.ts';
import { headStart } from './head-start.ts';
import { logPrinter, teller } from './printers.ts';
import { report } from './report.ts';
import type { RunOptions } from './run.ts';
import { Summary } from './summary.ts';

export async function runProgram(file: string, words: readonly string[], options: RunOptions): Promise<void> {
  const how = { json: options.json === true, color: options.color };
  const mode = options.quiet ? 'none' : options.progress === 'auto' && options.json ? 'none' : options.progress;
  const progress = createProgress({ mode, color: options.color });
  const summary = new Summary();
  let hasEnded = false;

  const entry = findProgram(file);
  const address = `local:${options.threads ?? ''}${options.isolation === 'process' ? '?isolation=process' : ''}`;
  const tell = teller(progress, { ...how, quiet: options.quiet === true });
  const warn = (text: string): void => tell('warning', text, { jobs: [], address });
  const { args, warning } = behindFile(file, words, {
    '--threads': options.threads !== undefined,
    '--journal': options.journal !== 'memory:',
    '--isolation': options.isolation !== 'thread',
  });
  if (warning !== undefined) warn(warning);
  const openOptions = {
    journal: options.journal,
    cancelGraceMs: options.cancelGrace,
    onWarning: warn,
    ...(options.logs === 'show' && !options.quiet && { onLog: logPrinter(progress, options) }),
  };
  // Not before our own files are loaded, whose maps nobody needs; and before threads start, which do as we do.
  process.setSourceMapsEnabled(true);
  const closeUnused = headStart(address, openOptions);
  const bundle = await bundleProgram(entry).catch(async (error: unknown) => {
    await closeUnused();
    throw error;
  });
  installProgram({
    args,
    address,
    options: openOptions,
    ...(options.journal !== 'memory:' && { autoKey: keyMaker(bundle, args) }),
    progress: (title, views, asked) => {
      if (!options.quiet) return progress.follow(title, summary.watch(views), asked);
    },
    tell,
    onEnd: async (end) => {
      hasEnded = true;
      finish(end);
      await closeUnused();
    },
  });
  watchSignals(options);
  process.once('beforeExit', () => {
    if (!hasEnded) finish({ exitCode: Number(process.exitCode ?? 0), jobs: [] });
    void closeUnused();
  });

  function finish({ error, exitCode, jobs, signal }: ProgramEnd): void {
    for (const job of jobs) summary.add(job);
    if (!options.quiet) for (const line of summary.lines(how, wantsColor(options.color, process.stderr))) process.stderr.write(`${line}\n`);
    const left = jobs.filter(({ state }) => state === 'queued' || state === 'running');
    if (left.length > 0 && error === undefined && signal === undefined) {
      const names = [...new Set(left.map(({ name }) => name))].join(', ');
      warn(`main() ended before ${names}, which ${left.length === 1 ? 'ends' : 'end'} with it: await what they give`);
    }
    // Who pressed Ctrl-C knows why it ended.
    if (error !== undefined && signal === undefined) report(error, how);
    const code = exitCode === 0 && summary.toleratedFailures ? 5 : exitCode;
    if (code !== 0) process.exitCode = code;
  }

  process.argv = [process.argv[0]!, bundle.entry, ...args];
  try {
    await import(bundle.url);
  } catch (error) {
    report(error, how);
    process.exitCode = 1;
    await Promise.all([defaultCluster().close(), closeUnused()]);
    // The half of it that did load may have left timers or servers.
    process.exit();
  }
}

/** The same program with the same arguments finds its jobs in the journal again; a changed program starts anew. */
function keyMaker(bundle: Bundle, args: readonly string[]): (ordinal: number, name: string) => string {
  const program = createHash('sha256')
    .update(JSON.stringify([bundle.hash, args]))
    .digest('hex')
    .slice(0, 32);
  return (ordinal, name) => `run:${program}:${name}:${ordinal}`;
}

/** For programs without main(), which has its own way. */
function watchSignals(options: RunOptions): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (process.listenerCount(signal) > 1) return;
    const code = 128 + constants.signals[signal];
    if (isStopping) process.exit(code);
    isStopping = true;
    const kept = options.journal === 'memory:' ? 'cancelled' : 'stopped; what is done is kept, run the same command again to go on';
    process.stderr.write(`shoal: ${kept}\n`);
    void defaultCluster()
      .close()
      .finally(() => process.exit(code));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}
