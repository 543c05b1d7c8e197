/** What happens around a program whose tasks run on a cluster: bundle, hook, progress, summary, exit code. */
import '../index.ts';
import { defaultCluster } from '../client/cluster.ts';
import { installProgram, type ProgramEnd } from '../client/program.ts';
import { createProgress } from '../lib/progress-bar.ts';
import { wantsColor } from '../lib/terminal.ts';
import { behindFile, targetOf } from './flags.ts';
import { logPrinter, teller } from './printers.ts';
import { report } from './report.ts';
import { shipProgram } from './ship.ts';
import type { SubmitOptions } from './submit.ts';
import { Summary } from './summary.ts';

export async function submitProgram(file: string, words: readonly string[], options: SubmitOptions): Promise<void> {
  const how = { json: options.json === true, color: options.color };
  const mode = options.quiet ? 'none' : options.progress === 'auto' && options.json ? 'none' : options.progress;
  const progress = createProgress({ mode, color: options.color });
  const summary = new Summary();
  const { address, from, token } = targetOf(options, ['client+bundles', 'admin', 'client']);
  const tell = teller(progress, { ...how, quiet: options.quiet === true });
  const { args, warning } = behindFile(file, words, {
    '--address': options.address !== undefined,
    '--token-file': options.tokenFile !== undefined,
  });
  if (warning !== undefined) tell('warning', warning, { jobs: [], address });
  let hasEnded = false;

  process.setSourceMapsEnabled(true);
  const program = await shipProgram(file);
  installProgram({
    args,
    address,
    options: {
      from,
      ...(token && { token }),
      onState: (state, why) => {
        if (options.quiet) return;
        const line =
          state === 'away' ? `no line to the coordinator at ${address} (${why}); still trying` : `the coordinator at ${address} is back`;
        progress.terminal.print(how.json ? JSON.stringify({ type: state, message: line, address, why }) : `shoal: ${line}`);
      },
      ...(options.logs === 'show' && !options.quiet && { onLog: logPrinter(progress, options) }),
    },
    bundle: { hash: program.hash, name: program.name, url: program.url, read: () => Promise.resolve(program.bytes) },
    ...(options.key !== undefined && { autoKey: keyMaker(options.key) }),
    progress: (title, views, asked) => {
      if (!options.quiet) return progress.follow(title, summary.watch(views), asked);
    },
    tell,
    onEnd: (end) => {
      hasEnded = true;
      finish(end);
    },
  });
  process.once('beforeExit', () => {
    if (!hasEnded) finish({ exitCode: Number(process.exitCode ?? 0), jobs: [] });
  });

  function finish({ error, exitCode, jobs, signal }: ProgramEnd): void {
    for (const job of jobs) summary.add(job);
    const lines = signal === undefined && !options.quiet ? summary.lines(how, wantsColor(options.color, process.stderr)) : [];
    for (const line of lines) process.stderr.write(`${line}\n`);
    // Who pressed Ctrl-C knows why it ended.
    if (error !== undefined && signal === undefined) report(error, how);
    const code = exitCode === 0 && summary.toleratedFailures ? 5 : exitCode;
    if (code !== 0) process.exitCode = code;
  }

  process.argv = [process.argv[0]!, program.entry, ...args];
  try {
    await import(program.url);
  } catch (error) {
    report(error, how);
    process.exitCode = 1;
    await defaultCluster().close();
    process.exit();
  }
}

/** The first job has the key itself, later ones one made of it. */
function keyMaker(key: string): (ordinal: number, name: string) => string {
  let isFirst = true;
  return (ordinal, name) => {
    if (!isFirst) return `${key}:${name}:${ordinal}`;
    isFirst = false;
    return key;
  };
}
