/** How people and pipes are told of a program in between: what its tasks log, and what its client says. */
import type { ProgramHook } from '../client/program.ts';
import type { LogLine } from '../core/messages.ts';
import { painter } from '../lib/painter.ts';
import { printable, printableLine } from '../lib/printable.ts';
import type { Progress } from '../lib/progress-bar.ts';
import { wantsColor } from '../lib/terminal.ts';
import type { RunOptions } from './run.ts';

export function logPrinter(progress: Progress, options: Pick<RunOptions, 'json' | 'color'>): (line: LogLine) => void {
  const { terminal } = progress;
  if (options.json)
    return ({ wallMs, ...line }) => terminal.print(JSON.stringify({ type: 'log', time: new Date(wallMs).toISOString(), ...line }));
  const paint = painter(wantsColor(options.color, process.stderr));
  return ({ task, index, message }) => {
    const label = printableLine(`${task}[${index}]`);
    const lines = printable(message).replace(/\n+$/, '').split('\n');
    terminal.print(lines.map((line) => paint.dim(`${label} ${line}`)).join('\n'));
  };
}

type Teller = (
  type: Parameters<NonNullable<ProgramHook['tell']>>[0],
  text: string,
  data: { jobs: readonly string[]; address: string },
) => void;

/** What the client says in between, as text or as a line of JSON. */
export function teller({ terminal }: Progress, { json, quiet }: { json: boolean; quiet: boolean }): Teller {
  return (type, text, data) => {
    if (!(quiet && (type === 'waiting' || type === 'warning')))
      terminal.print(json ? JSON.stringify({ type, message: text, ...data }) : `shoal: ${text}`);
  };
}
