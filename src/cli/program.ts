/**
 * The command line: verbs, their flags, help, and how wrong usage is answered. A verb's flags and what it does are in
 * a file of its own; this one reads the words and reports what went wrong.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { ShoalError } from '../lib/errors.ts';
import { painter } from '../lib/painter.ts';
import { wantsColor } from '../lib/terminal.ts';
import { defineCoordinator } from './coordinator.ts';
import { defineDev } from './dev.ts';
import { watchPipes } from './pipes.ts';
import { report } from './report.ts';
import { defineRun } from './run.ts';
import { defineSubmit } from './submit.ts';
import { usageError } from './usage-error.ts';
import { defineWorker } from './worker.ts';

export async function cli(args: readonly string[]): Promise<void> {
  watchPipes({ json: saysJson(args), color: colorChoice(args) });
  const program = await buildProgram(args.find((word) => startsPrograms.has(word) || looksAtClusters.has(word)));
  dropUnsaid(program, process.env);
  const words = helpLast(program, verbFirst(program, args));
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const shown = error instanceof CommanderError ? usageError(error, program, words) : error;
    const isJson = saysJson(args);
    const noun = words.length === 1 && !isJson && program.commands.find((command) => command.name() === words[0]);
    if (noun && noun.commands.length > 0) process.stderr.write(noun.helpInformation());
    else report(shown, { json: isJson, color: colorChoice(args) });
    process.exitCode = exitCodeOf(shown);
  }
}

/** They are what people wait for, and need nothing of what the other verbs load. */
const startsPrograms = new Set(['run', 'submit', 'dev', 'coordinator', 'worker']);
/** admin/define.ts defines them. */
const looksAtClusters = new Set(['status', 'explain', 'doctor', 'jobs', 'tasks', 'workers', 'dlq', 'queues']);

/** Every flag has an environment twin: `--cancel-grace` is SHOAL_CANCEL_GRACE, unless it says otherwise itself. */
class TwinCommand extends Command {
  override createCommand(name?: string): Command {
    return new TwinCommand(name);
  }

  override addOption(option: Option): this {
    // SHOAL_ADDRESS may also name a place that is no cluster, so that flags.ts reads it.
    if (option.envVar === undefined && option.long !== undefined && option.long !== '--address') {
      option.env(`SHOAL_${option.long.slice(2).replaceAll('-', '_').toUpperCase()}`);
    }
    return super.addOption(option);
  }
}

async function buildProgram(verb: string | undefined): Promise<Command> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  const program = new TwinCommand()
    .name('shoal')
    .description('Runs TypeScript functions over millions of inputs on every core you have.')
    .usage('<command> [options]')
    .version(version, '-v, --version', 'show the version')
    .helpOption('-h, --help', 'show what there is')
    .helpCommand('help [command]', 'show what a command does')
    .enablePositionalOptions()
    .showSuggestionAfterError(false)
    .addHelpText('after', helpEnd);
  defineRun(program.command('run'));
  defineSubmit(program.command('submit'));
  defineDev(program.command('dev'));
  defineCoordinator(program.command('coordinator'));
  defineWorker(program.command('worker'));
  if (!startsPrograms.has(verb ?? '')) (await import('./admin/define.ts')).defineAdmin(program);
  for (const leaf of leavesOf(program)) addCommonOptions(leaf, startsPrograms.has(leaf.name()));
  for (const command of everyCommand(program)) {
    if (command.description() === '') command.description(sentence(command.summary()));
    command
      .exitOverride()
      // Wrong usage is told in four parts, by the one who catches it.
      .configureOutput({ writeErr: () => undefined })
      .configureHelp({ styleTitle: painter(wantsColor('auto', process.stdout)).bold, showGlobalOptions: false });
  }
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Commands that do something themselves. */
function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

const helpEnd = `
Examples:
  shoal run primes.ts 1000000                  on all cores
  shoal run --threads 4 primes.ts 1000000      on four
  shoal run --journal file:.runs primes.ts     stop it whenever you like; run it again and it goes on
  shoal coordinator                            a cluster begins with this ...
  shoal worker --allow-bundles                 ... and any number of these,
  shoal submit primes.ts 1000000               then the same program runs on all of them

Every flag has an environment twin: --threads is SHOAL_THREADS.
Exit codes: 0 success, 1 job failed or cancelled, 2 wrong usage, 3 cannot reach or authenticate,
            4 timed out waiting, 5 finished with tolerated failures, 130 and 143 interrupted`;

function addCommonOptions(command: Command, isProgram: boolean): void {
  const json = isProgram ? 'messages on stderr as JSON, one object a line' : 'the answer as JSON on stdout, messages as JSON on stderr';
  const quiet = isProgram ? 'errors only: no progress, no task logs, no summary' : 'errors only; of a table the first column';
  command
    .addOption(new Option('--json', json).env('SHOAL_JSON').helpGroup('Messages:'))
    .addOption(new Option('--quiet', quiet).env('SHOAL_QUIET').helpGroup('Messages:'))
    .addOption(
      new Option('--color <when>', 'colours; auto: on a terminal, unless NO_COLOR is set')
        .choices(['auto', 'always', 'never'])
        .default('auto')
        .env('SHOAL_COLOR')
        .helpGroup('Messages:'),
    )
    .helpOption('-h, --help', 'show this');
}

/** Flags may stand before the verb; commander wants them behind it. */
function verbFirst(program: Command, args: readonly string[]): string[] {
  const options = everyCommand(program).flatMap((command) => command.options);
  const flags: string[] = [];
  const path: string[] = [];
  let command = program;
  let at = 0;
  while (at < args.length && command.commands.length > 0) {
    const word = args[at]!;
    if (word.startsWith('-') && word !== '--') {
      const known = options.find((option) => option.long === word.split('=', 1)[0]);
      if (!known) return [...args];
      const count = known.required && !word.includes('=') ? 2 : 1;
      flags.push(...args.slice(at, at + count));
      at += count;
      continue;
    }
    const next = command.commands.find((each) => each.name() === word);
    path.push(word);
    at++;
    if (!next) break;
    command = next;
  }
  return [...path, ...flags, ...args.slice(at)];
}

/** `help jobs list` is `jobs list --help`: commander's own looks at one word, and does not say so of one that there is not. */
function helpLast(program: Command, words: readonly string[]): string[] {
  const at = words.indexOf('help');
  const group = at === 0 ? program : program.commands.find((each) => at === 1 && each.name() === words[0] && each.commands.length > 0);
  if (!group) return [...words];
  const path = words.slice(0, at);
  let command: Command | undefined = group;
  for (const word of words.slice(at + 1)) {
    if (command.commands.length === 0) break;
    path.push(word);
    command = command.commands.find((each) => each.name() === word);
    if (!command) return path;
  }
  return [...path, '--help'];
}

/** commander takes a flag for given as soon as its twin is set; SHOAL_QUIET=0 means that it is not, and an empty one nothing at all. */
function dropUnsaid(program: Command, env: NodeJS.ProcessEnv): void {
  for (const option of everyCommand(program).flatMap((command) => command.options)) {
    if (option.envVar === undefined) continue;
    const isUnsaid = option.required ? /^$/ : /^(|0|false|no|off)$/i;
    if (isUnsaid.test(env[option.envVar] ?? 'unset')) delete env[option.envVar];
  }
}

const saysJson = (args: readonly string[]): boolean => args.includes('--json') || process.env.SHOAL_JSON !== undefined;

function colorChoice(args: readonly string[]): 'auto' | 'always' | 'never' {
  const said = /--color[= ](always|never)/.exec(args.join(' '))?.[1] ?? process.env.SHOAL_COLOR;
  return said === 'always' || said === 'never' ? said : 'auto';
}

/** What went wrong before any job could say so itself. */
function exitCodeOf(error: unknown): number {
  const code = error instanceof ShoalError ? error.code : '';
  if (code === 'SH1405') return 4;
  if (code.startsWith('SH3')) return 3;
  return /^SH1[123]/.test(code) ? 2 : 1;
}
