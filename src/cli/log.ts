/** What a server says of itself: one line an event on stderr, for people or as JSON. */
import { printableLine } from '../lib/printable.ts';

export interface LogOptions {
  json?: boolean;
  quiet?: boolean;
  color: 'auto' | 'always' | 'never';
}

export function log({ json, quiet }: LogOptions, event: string, line: string, data: object = {}): void {
  if (quiet && event !== 'error') return;
  const time = new Date();
  const text = json
    ? JSON.stringify({ type: event, time: time.toISOString(), message: line, ...data })
    : `${time.toTimeString().slice(0, 8)}  ${printableLine(line)}`;
  process.stderr.write(`${text}\n`);
}
