/**
 * How an error looks: four parts in text (what, why, what to try, where to read), or `application/problem+json`.
 * Whatever was thrown can be shown, and nothing in it can act on the terminal (X13).
 *
 * Errors are told apart by shape, not by class: the program may carry another copy of this package.
 */
import { sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adviceOf } from './advice.ts';
import { painter } from './painter.ts';
import { printable, printableLine } from './printable.ts';

export interface ErrorTextOptions {
  color: boolean;
  /** Paths below it are shown relative to it; default: the working directory. */
  folder?: string;
}

interface Known {
  code: string;
  message: string;
  why?: string;
  from?: string;
  hint?: string;
  docs: string;
  attempts?: number;
  taskId?: string;
  worker?: string;
  remoteStack?: string;
  cause?: unknown;
}

const framesMax = 8;
const causesMax = 4;

export function formatError(error: unknown, options: ErrorTextOptions): string {
  const paint = painter(options.color);
  const known = asKnown(error);
  if (!known) return formatStranger(error, options);
  const remote = known.remoteStack === undefined ? [] : remoteFrames(known.remoteStack, known.cause, options.folder ?? process.cwd());
  const attempts =
    known.attempts === undefined || known.attempts < 2 ? '' : `${known.attempts} attempts, the last on ${known.worker ?? '?'}`;
  const parts: [string, string | undefined][] = [
    ['why', known.why ?? causeText(known)],
    ['from', known.from ?? remote[0]],
    ...remote.slice(1).map((frame): [string, string] => ['', frame]),
    ['tried', attempts || undefined],
    [
      'try',
      known.hint ??
        causesOf(known.cause)
          .map(({ code }) => adviceOf(code))
          .find((text) => text !== undefined),
    ],
    ['docs', known.docs],
  ];
  const lines = [`${paint.red(`error[${known.code}]`)} ${paint.bold(indented(printable(known.message), 2))}`];
  for (const [name, text] of parts) {
    if (text !== undefined && text !== '') lines.push(`  ${paint.dim(name.padEnd(6))} ${indented(printable(text), 9)}`);
  }
  return lines.join('\n');
}

/** RFC 9457. `type` is where to read; what else is known has members of its own. */
export function problemJson(error: unknown): Record<string, unknown> {
  const known = asKnown(error);
  if (!known) {
    const { name, message, stack } = asThrown(error);
    return { type: 'about:blank', title: `${name}: ${message}`, ...(stack !== undefined && { stack }) };
  }
  const { code, message, docs, why, from, hint, taskId, attempts, worker, remoteStack } = known;
  const detail = why ?? causeText(known);
  return Object.fromEntries(
    Object.entries({ type: docs, title: message, code, detail, from, hint, taskId, attempts, worker, remoteStack }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

/** What no Shoal code says: a bug in the program, mostly. The stack is what helps, so the user's own frames come first. */
function formatStranger(error: unknown, options: ErrorTextOptions): string {
  const paint = painter(options.color);
  const lines: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < causesMax && (depth === 0 || current !== undefined); depth++) {
    const { name, message, stack, cause } = asThrown(current);
    const head = `${name}: ${indented(printable(message), 2)}`;
    lines.push(depth === 0 ? `${paint.red('error')} ${paint.bold(head)}` : `  ${paint.dim('cause ')} ${head}`);
    for (const frame of userFrames(stack ?? '', options.folder ?? process.cwd()))
      lines.push(`  ${paint.dim(`at     ${printableLine(frame)}`)}`);
    current = cause;
  }
  return lines.join('\n');
}

/** Where in the user's code a task failed; where it never got that far, what of the user's code was to blame for it. */
function remoteFrames(remoteStack: string, cause: unknown, folder: string): string[] {
  const found = [remoteStack, ...causesOf(cause).map(({ stack }) => stack ?? '')].map((stack) => framesOf(stack, folder));
  return found.find(({ own }) => own.length > 0)?.own ?? found[0]!.foreign;
}

function causesOf(cause: unknown): Thrown[] {
  const found: Thrown[] = [];
  for (let at = cause; at !== undefined && at !== null && found.length < causesMax; at = found.at(-1)!.cause) found.push(asThrown(at));
  return found;
}

/** A cause that the message does not tell already. */
function causeText({ cause, message, remoteStack }: Known): string | undefined {
  const texts = causesOf(cause)
    // A task's own error is in its message; what caused *that* is news.
    .filter((each, depth) => !(message.includes(each.message) && (depth > 0 || remoteStack !== undefined)))
    .map((each) => `${each.name}: ${each.message}`);
  return texts.length === 0 ? undefined : texts.join('\ncaused by ');
}

function asKnown(error: unknown): Known | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  try {
    const { code, message, docs } = error as Record<string, unknown>;
    if (typeof code !== 'string' || !/^SH\d{4}$/.test(code) || typeof message !== 'string') return undefined;
    const page = typeof docs === 'string' ? docs : `docs/reference/errors.md#${code.toLowerCase()}`;
    return { code, message, docs: page, ...own(error) };
  } catch {
    // A getter that throws; what can be shown of it is shown as of a stranger.
    return undefined;
  }
}

/** What is there and of the kind that it should be. */
function own(error: object): Partial<Known> {
  const source = error as Record<string, unknown>;
  const found: Record<string, unknown> = {};
  for (const name of ['why', 'from', 'hint', 'remoteStack', 'taskId', 'worker'])
    if (typeof source[name] === 'string') found[name] = source[name];
  if (typeof source.attempts === 'number') found.attempts = source.attempts;
  if (source.cause !== undefined) found.cause = source.cause;
  return found;
}

interface Thrown {
  name: string;
  message: string;
  code?: string;
  stack?: string;
  cause?: unknown;
}

/** Anything can be thrown, and reading it may throw as well. */
function asThrown(thrown: unknown): Thrown {
  try {
    if (typeof thrown === 'object' && thrown !== null && 'message' in thrown) {
      const { name, message, code, stack, cause } = thrown as Record<string, unknown>;
      return {
        name: typeof name === 'string' && name !== '' ? name : 'Error',
        message: String(message),
        ...(typeof code === 'string' && { code }),
        ...(typeof stack === 'string' && { stack }),
        ...(cause !== undefined && { cause }),
      };
    }
    return { name: 'thrown', message: typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? String(thrown)) };
  } catch {
    return { name: 'thrown', message: 'a value that can’t be shown' };
  }
}

const packageFolder = fileURLToPath(new URL('..', import.meta.url));

/**
 * The frames in the user's own code, as `where (file:line:column)`. Frames of Node, of this package and of other
 * packages say how a call got there, which nobody asks first; where nothing else is left, those of packages are shown.
 */
export function userFrames(stack: string, folder: string): string[] {
  const { own, foreign } = framesOf(stack, folder);
  return own.length > 0 ? own : foreign;
}

function framesOf(stack: string, folder: string): { own: string[]; foreign: string[] } {
  const frames = stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim().slice(3))
    .filter((frame) => !/node:|\(<anonymous>\)$|^<anonymous>$/.test(frame) && !frame.includes(packageFolder));
  // Bundles lie in a cache folder among the packages, and are the user's own where no map says more.
  const isForeign = (frame: string): boolean => /[\\/]node_modules[\\/](?!\.cache[\\/]shoal[\\/])/.test(frame);
  const shown = (some: string[]): string[] => some.slice(0, framesMax).map((frame) => shorten(frame, folder));
  return { own: shown(frames.filter((frame) => !isForeign(frame))), foreign: shown(frames.filter(isForeign)) };
}

/**
 * A program that has travelled names its sources from its own folder on; in front of that stands where the bundle lies on
 * whichever machine it was, and there is no such file.
 */
const inBundle = /^((?:.* \(|async )?).*?[\\/]bundles[\\/][0-9a-f]{12}[\\/](?![0-9a-f]{64}\.mjs)/;

function shorten(frame: string, folder: string): string {
  const place = frame.replace(/file:\/\/[^\s)]+?(?=:\d+:\d+\)?$)/, (url) => {
    try {
      return fileURLToPath(url);
    } catch {
      return url;
    }
  });
  const path = place.replace(inBundle, '$1');
  const start = path.indexOf('(') + 1;
  return folder !== sep && path.startsWith(folder + sep, start) ? path.slice(0, start) + path.slice(start + folder.length + 1) : path;
}

function indented(text: string, columns: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(columns)}`);
}
