/** How answers are shown: a table or a few lines for people, one JSON document for programs. Data goes to stdout alone. */

import { type Painter, painter } from '../../lib/painter.ts';
import { printableLine } from '../../lib/printable.ts';
import { cutTo, wantsColor, widthOf } from '../../lib/terminal.ts';

export interface OutputFlags {
  json?: boolean;
  quiet?: boolean;
  color: 'auto' | 'always' | 'never';
}

export interface Column<R> {
  title: string;
  of(row: R): string;
  /** Numbers stand at the right. */
  isNumber?: boolean;
  paint?(text: string, row: R, paint: Painter): string;
}

export class Output {
  readonly paint: Painter;
  readonly isJson: boolean;
  private readonly isQuiet: boolean;

  constructor(flags: OutputFlags) {
    this.isJson = flags.json === true;
    this.isQuiet = flags.quiet === true;
    this.paint = painter(wantsColor(flags.color, process.stdout));
  }

  /** `show` draws the same for people. */
  give(data: unknown, show: () => void): void {
    if (this.isJson) process.stdout.write(`${JSON.stringify(data)}\n`);
    else show();
  }

  line(text = ''): void {
    process.stdout.write(`${text}\n`);
  }

  /** Names and values, one a line; undefined values are left out. */
  pairs(pairs: readonly (readonly [string, string | undefined])[]): void {
    const there = pairs.filter(([, value]) => value !== undefined);
    const width = Math.max(0, ...there.map(([name]) => name.length));
    for (const [name, value] of there) {
      const [first = '', ...more] = value!.split('\n').map(printableLine);
      this.line(`${this.paint.dim(name.padEnd(width))}  ${first}`);
      for (const line of more) this.line(`${' '.repeat(width)}  ${line}`);
    }
  }

  /** Where there is nothing, a word on stderr says so. */
  table<R>(rows: readonly R[], columns: readonly Column<R>[], nothing: string): void {
    if (rows.length === 0) {
      this.note(nothing);
      return;
    }
    const cells = rows.map((row) => columns.map((column) => printableLine(column.of(row))));
    const widths = columns.map((column, at) => Math.max(column.title.length, ...cells.map((line) => widthOf(line[at]!))));
    this.line(this.cut(columns.map((column, at) => this.paint.bold(pad(column.title, widths[at]!, column.isNumber))).join('  ')));
    cells.forEach((line, rowAt) => {
      const parts = columns.map((column, at) => {
        const text = pad(line[at]!, widths[at]!, column.isNumber);
        return column.paint ? column.paint(text, rows[rowAt]!, this.paint) : text;
      });
      this.line(this.cut(parts.join('  ').trimEnd()));
    });
  }

  /** For people only, on stderr. */
  note(text: string): void {
    if (!this.isQuiet && !this.isJson) process.stderr.write(`${text}\n`);
  }

  /** Only a terminal has an edge; a file gets whole lines. */
  private cut(line: string): string {
    const { columns } = process.stdout;
    return process.stdout.isTTY && columns ? cutTo(line, columns) : line;
  }
}

function pad(text: string, width: number, isNumber = false): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return isNumber ? space + text : text + space;
}

/** `3 min ago`. */
export function ago(wallMs: number, nowMs = Date.now()): string {
  return `${span(Math.max(0, nowMs - wallMs))} ago`;
}

export function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${Math.round(ms)} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

export function size(bytes: number): string {
  if (bytes < 2 ** 20) return `${Math.round(bytes / 2 ** 10)} KiB`;
  return bytes < 10 * 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** A value of a task as JSON can say it: what JSON does not know becomes what comes nearest. */
export function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value !== 'object' || value === null) return value === undefined ? null : value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Map) return [...value].map(([key, each]) => [plainValue(key), plainValue(each)]);
  if (value instanceof Set) return [...value].map(plainValue);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plainValue);
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (Array.isArray(value)) return value.map(plainValue);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plainValue(each)]));
}
