/**
 * The screen below what has been printed: a few lines that are redrawn in place while everybody goes on printing above.
 *
 * Owns: the live lines and, while there are any, `write` of the streams that share the terminal, so that the program's
 * own output clears the lines first and brings them back afterwards. Does not own what the lines say.
 *
 * 1. Nothing is written to a stream that is no terminal, except by `print`.
 * 2. Every frame is one write: clear, new lines. At exit the lines are gone.
 * 3. After output that ended without a newline (a prompt) the lines stay away until that line ends.
 */
import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';

type Stream = Pick<NodeJS.WriteStream, 'write' | 'isTTY'> & Partial<Pick<WriteStream, 'columns' | 'rows'>> & NodeJS.EventEmitter;

export interface Terminal {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Replaces the live lines; none ends them. */
  show(lines: readonly string[]): void;
  /** Whole lines above the live ones. */
  print(text: string): void;
}

/** `stream` is drawn on; `others` may be the same terminal (stdout, when it is one). */
export function createTerminal(stream: Stream, others: readonly Stream[] = []): Terminal {
  const isTerminal = stream.isTTY === true;
  const shared = [stream, ...others.filter((other) => other.isTTY)];
  let lines: readonly string[] = [];
  /** What stands on the screen now. */
  let drawn: readonly string[] = [];
  let atLineStart = true;
  let restore: (() => void) | undefined;
  /** Our own writes go past the patch. */
  let write = (text: string): boolean => stream.write(text);

  const columns = (): number => Math.max(20, stream.columns ?? 80);

  /** The cursor stands at the end of the last line; a narrower window may have broken lines in two. */
  function clearing(): string {
    if (drawn.length === 0) return '';
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / columns())), 0);
    return `\r${rows > 1 ? `\u001b[${rows - 1}A` : ''}\u001b[J`;
  }

  function draw(): void {
    const next = atLineStart ? lines : [];
    if (next.length === 0 && drawn.length === 0) return;
    // Line by line over the old frame instead of clearing it first: no flicker.
    const samePlace = drawn.length === next.length && drawn.every((line) => widthOf(line) <= columns());
    const up = drawn.length > 1 ? `\u001b[${drawn.length - 1}A` : '';
    if (samePlace) write(`\r${up}${next.map((line) => `${line}\u001b[K`).join('\n')}`);
    else write(`${clearing()}${next.join('\n')}`);
    drawn = next;
  }

  function patch(): void {
    const originals = shared.map((each) => each.write);
    const direct = originals[0]!;
    write = (text) => direct.call(stream, text);
    shared.forEach((each, index) => {
      const original = originals[index]!;
      each.write = ((chunk: string | Uint8Array, ...rest: never[]) => {
        const clear = clearing();
        drawn = [];
        if (clear !== '') write(clear);
        const went = original.call(each, chunk, ...rest);
        if (chunk.length > 0) atLineStart = endsLine(chunk);
        draw();
        return went;
      }) as Stream['write'];
    });
    const onResize = (): void => draw();
    stream.on('resize', onResize);
    process.on('exit', clearAtExit);
    restore = () => {
      shared.forEach((each, index) => {
        each.write = originals[index]!;
      });
      stream.off('resize', onResize);
      process.off('exit', clearAtExit);
      write = (text) => stream.write(text);
      restore = undefined;
    };
  }

  function clearAtExit(): void {
    if (drawn.length > 0) write(clearing());
    drawn = [];
    lines = [];
  }

  return {
    isTerminal,
    get columns() {
      return columns();
    },
    get rows() {
      return stream.rows ?? 24;
    },
    show(next) {
      if (!isTerminal) return;
      if (next.length > 0 && !restore) patch();
      lines = next;
      draw();
      if (next.length === 0) restore?.();
    },
    print(text) {
      // Through the patch, if there is one: it clears and redraws.
      stream.write(text.endsWith('\n') ? text : `${text}\n`);
    },
  };
}

function endsLine(chunk: string | Uint8Array): boolean {
  return typeof chunk === 'string' ? chunk.endsWith('\n') : chunk[chunk.length - 1] === 0x0a;
}

/** Columns that a text takes; wide characters count as two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) width += isWide(character.codePointAt(0)!) ? 2 : 1;
  return width;
}

function isWide(code: number): boolean {
  if (code < 0x1100) return false;
  return (
    code <= 0x115f ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}

/** Cuts plain text (no escapes) to so many columns, with `…` where something is missing. */
export function cutTo(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let width = 0;
  let out = '';
  for (const character of text) {
    width += isWide(character.codePointAt(0)!) ? 2 : 1;
    if (width > columns - 1) break;
    out += character;
  }
  return `${out}…`;
}

/** Do we colour? `--color`, then NO_COLOR and FORCE_COLOR, then whether there is a terminal that can. */
export function wantsColor(
  choice: 'auto' | 'always' | 'never',
  stream: { isTTY?: boolean },
  env: NodeJS.ProcessEnv = process.env,
): boolean {
  if (choice !== 'auto') return choice === 'always';
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** May we draw with characters beyond ASCII? */
export function speaksUnicode(env: NodeJS.ProcessEnv = process.env): boolean {
  if (process.platform === 'win32') return env.WT_SESSION !== undefined || env.TERM_PROGRAM === 'vscode';
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return locale === '' || /utf-?8/i.test(locale);
}
