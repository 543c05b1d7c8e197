/**
 * `shoal run <file> [args...]`: a program on this machine's cores, in this very process, with no server.
 *
 * The program is bundled into one file that both this process and the worker threads import; what the client library
 * inside it needs to know (where to run, the journal, who draws progress) hangs on the program hook.
 */
import { type Command, Option } from 'commander';
import { checkJournalAddress } from '../journal-of.ts';
import { ShoalError } from '../lib/errors.ts';
import { type ProgressMode, progressModes } from '../lib/progress-bar.ts';
import { duration, threadCount } from './flags.ts';

export interface RunOptions {
  threads?: number;
  isolation: 'thread' | 'process';
  journal: string;
  progress: ProgressMode;
  logs: 'show' | 'none';
  cancelGrace: number;
  json?: boolean;
  quiet?: boolean;
  color: 'auto' | 'always' | 'never';
}

export function defineRun(command: Command): void {
  command
    .summary('run a program on the cores of this machine; no server')
    .description(
      'Runs a TypeScript or JavaScript program. Its tasks run on threads of this process, its main() in front of them.\n' +
        'Flags stand before the file; everything after the file belongs to the program.',
    )
    .usage('[options] <file> [args...]')
    .argument('<file>', 'the program: .ts .mts .cts .tsx .js .mjs .cjs .jsx')
    .argument('[args...]', 'what the program finds in main({ args }) and process.argv')
    .passThroughOptions()
    .addOption(new Option('--threads <count>', 'tasks at a time; default: one a core').argParser(threadCount).env('SHOAL_THREADS'))
    .addOption(
      new Option('--isolation <kind>', 'what a task runs in: a thread, or a child process that may crash alone')
        .choices(['thread', 'process'])
        .default('thread')
        .env('SHOAL_ISOLATION'),
    )
    .addOption(
      new Option(
        '--journal <where>',
        'where jobs live: memory:, or with what a stopped run goes on: file:DIR, or a server as in postgres://HOST/DATABASE',
      )
        .argParser(journalAddress)
        .default('memory:')
        .env('SHOAL_JOURNAL'),
    )
    .addOption(
      new Option('--cancel-grace <time>', 'what a cancelled task has left before its thread is ended')
        .argParser(duration)
        .default(5_000, '5s')
        .env('SHOAL_CANCEL_GRACE'),
    )
    .addOption(
      new Option('--progress <mode>', 'auto: a bar on a terminal, a plain line every 10 s elsewhere')
        .choices([...progressModes])
        .default('auto')
        .env('SHOAL_PROGRESS')
        .helpGroup('Messages:'),
    )
    .addOption(
      new Option('--logs <what>', 'what tasks print, on stderr')
        .choices(['show', 'none'])
        .default('show')
        .env('SHOAL_LOGS')
        .helpGroup('Messages:'),
    )
    .action(async (file: string, args: string[], options: RunOptions) => {
      // Help and wrong usage are answered without loading the client.
      const { runProgram } = await import('./run-program.ts');
      await runProgram(file, args, options);
    });
}

function journalAddress(text: string): string {
  if (/^[a-z][a-z0-9+]*:/.test(text)) {
    checkJournalAddress(text);
    return text;
  }
  throw new ShoalError('SH1311', `--journal ${text} does not say what kind of journal`, { hint: `--journal file:${text}` });
}
