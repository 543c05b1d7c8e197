/** `shoal submit <file> [args...]`: main() runs here, its tasks on the workers of a cluster. */
import { type Command, Option } from 'commander';
import { type ProgressMode, progressModes } from '../lib/progress-bar.ts';
import { type ClusterFlags, clusterOptions } from './flags.ts';

export interface SubmitOptions extends ClusterFlags {
  key?: string;
  progress: ProgressMode;
  logs: 'show' | 'none';
  json?: boolean;
  quiet?: boolean;
  color: 'auto' | 'always' | 'never';
}

export function defineSubmit(command: Command): void {
  command
    .summary('run a program on a cluster')
    .description(
      'Bundles a TypeScript or JavaScript program with its packages, uploads it once, and runs its tasks on the workers of a ' +
        'cluster; its main() runs here. Ctrl-C detaches: the jobs go on.\n' +
        'Flags stand before the file; everything after the file belongs to the program.',
    )
    .usage('[options] <file> [args...]')
    .argument('<file>', 'the program: .ts .mts .cts .tsx .js .mjs .cjs .jsx')
    .argument('[args...]', 'what the program finds in main({ args }) and process.argv')
    .passThroughOptions();
  for (const option of clusterOptions()) command.addOption(option);
  command
    .addOption(
      new Option('--key <key>', 'submitting again with the same key finds the same jobs and goes on where they are').env('SHOAL_KEY'),
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
    .action(async (file: string, args: string[], options: SubmitOptions) => {
      const { submitProgram } = await import('./submit-program.ts');
      await submitProgram(file, args, options);
    });
}
