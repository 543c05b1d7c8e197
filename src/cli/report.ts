/** Errors of the command line itself and of the programs that it runs: on stderr, because stdout belongs to data. */
import { formatError, problemJson } from '../lib/error-text.ts';
import { wantsColor } from '../lib/terminal.ts';
import { jsonText } from './json-text.ts';

export interface ReportOptions {
  json: boolean;
  color: 'auto' | 'always' | 'never';
}

export function report(error: unknown, { json, color }: ReportOptions): void {
  const text = json ? jsonText(problemJson(error)) : formatError(error, { color: wantsColor(color, process.stderr) });
  process.stderr.write(`${text}\n`);
}
