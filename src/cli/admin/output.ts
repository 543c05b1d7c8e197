/**
 * How answers are shown: a table or a few lines for people, one JSON document for programs.
 *
 * 1. Data goes to stdout and nothing else does; what is said about it goes to stderr.
 * 2. Text that came from users is escaped before it is measured, cut or painted (X13).
 * 3. `--quiet` leaves the first column of a table, for `xargs`, and nothing of a deed that was done.
 */
import { type Painter, painter } from '../../lib/painter.ts';
import { printableLine } from '../../lib/printable.ts';
import { cutTo, wantsColor, widthOf } from '../../lib/terminal.ts';
import { jsonText } from '../json-text.ts';

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
    if (this.isJson) this.line(jsonText(data));
    else show();
  }

  /** What was done, in one sentence. */
  did(data: unknown, sentence: string): void {
    this.give(data, () => {
      if (!this.isQuiet) this.line(printableLine(sentence));
    });
  }

  line(text = ''): void {
    process.stdout.write(`${text}\n`);
  }

  /** What can be done about something, a line each. */
  advice(indent: number, advice: string | undefined): void {
    if (advice === undefined) return;
    for (const line of advice.split('\n')) this.line(`${' '.repeat(indent)}${this.paint.dim('try')} ${printableLine(line)}`);
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

  /** Where there is nothing, a word on stderr says so. The first column is what a row goes by. */
  table<R>(rows: readonly R[], columns: readonly Column<R>[], nothing: string): void {
    if (rows.length === 0) {
      this.note(nothing);
      return;
    }
    const cells = rows.map((row) => columns.map((column) => printableLine(column.of(row))));
    if (this.isQuiet) {
      for (const [name] of cells) this.line(name);
      return;
    }
    const titles = columns.map(({ title }) => title);
    const widths = columns.map((_, at) => [titles, ...cells].reduce((most, line) => Math.max(most, widthOf(line[at]!)), 0));
    this.row(titles, columns, widths, (text) => this.paint.bold(text));
    cells.forEach((line, rowAt) => {
      this.row(line, columns, widths, (text, { paint }) => paint?.(text, rows[rowAt]!, this.paint) ?? text);
    });
  }

  /** For people only, on stderr. */
  note(text: string): void {
    if (!this.isQuiet && !this.isJson) process.stderr.write(`${printableLine(text)}\n`);
  }

  /** Cut before it is painted, at the edge of a terminal; a file gets whole lines. */
  private row<R>(
    cells: readonly string[],
    columns: readonly Column<R>[],
    widths: readonly number[],
    paint: (text: string, column: Column<R>) => string,
  ): void {
    let left = process.stdout.isTTY ? process.stdout.columns || Number.POSITIVE_INFINITY : Number.POSITIVE_INFINITY;
    let line = '';
    for (const [at, column] of columns.entries()) {
      const gap = at === 0 ? '' : '  ';
      left -= gap.length;
      if (left < 1) break;
      const width = Math.min(left, widths[at]!);
      const text = cutTo(cells[at]!, width);
      const space = ' '.repeat(width - widthOf(text));
      line += gap + (column.isNumber ? space : '') + paint(text, column) + (column.isNumber ? '' : space);
      left -= width;
    }
    this.line(line.trimEnd());
  }
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
