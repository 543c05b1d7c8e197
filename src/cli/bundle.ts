/**
 * A user's program as one file that Node runs: TypeScript compiled, the program's own files in it, packages left where
 * they are. The same content has the same name, so that threads, later runs and idempotency keys can rely on it.
 *
 * Owns: finding the program, esbuild, the messages about what does not compile. The cache is bundle-cache.ts, what
 * becomes of each import is bundle-imports.ts.
 */
import { createHash } from 'node:crypto';
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BuildFailure, BuildOptions, Message } from 'esbuild';
import { ShoalError } from '../lib/errors.ts';
import { nearest } from '../lib/similar.ts';
import { cacheFolder, findBundle, keepBundle, pruneBundles } from './bundle-cache.ts';
import type { Unreadable } from './bundle-imports.ts';

export interface Bundle {
  /** What threads and the client import. */
  readonly url: string;
  readonly path: string;
  /** sha256 of the code without its source map, hex: other comments or line breaks are the same program. */
  readonly hash: string;
  /** The program's own file, absolute. */
  readonly entry: string;
}

const extensions = ['.ts', '.mts', '.cts', '.tsx', '.js', '.mjs', '.cjs', '.jsx'];

/** SH1313 (no such program) or SH1312 (it does not compile). */
export async function bundleProgram(file: string, folder?: string): Promise<Bundle> {
  const entry = findProgram(file, folder);
  const cache = cacheFolder(dirname(entry));
  const known = findBundle(cache, entry);
  if (known) return { ...known, url: pathToFileURL(known.path).href, entry };
  const startedWallMs = Date.now();
  const { code, inputs } = await compile(entry, cache);
  const mapAt = code.lastIndexOf('\n//# sourceMappingURL=');
  const hash = createHash('sha256').update(code.subarray(0, mapAt)).digest('hex');
  const path = keepBundle(cache, { entry, hash, code, inputs, startedWallMs, name: programName(entry) });
  pruneBundles(cache);
  return { url: pathToFileURL(path).href, path, hash, entry };
}

/** As given, with an extension put on, or nothing: then the message says what is there. */
export function findProgram(file: string, folder = process.cwd()): string {
  const path = resolve(folder, file);
  for (const candidate of [path, ...extensions.map((extension) => path + extension)]) {
    if (statSync(candidate, { throwIfNoEntry: false })?.isFile()) {
      if (candidate === path && !extensions.includes(extname(path))) {
        throw new ShoalError('SH1313', `${file} is no TypeScript or JavaScript file`, { hint: `programs end in ${extensions.join(', ')}` });
      }
      return candidate;
    }
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ShoalError('SH1313', `${file} is a folder, not a program`, { hint: suggestion(path, 'index', folder) });
  }
  throw new ShoalError('SH1313', `there is no file ${file}`, {
    why: `looked in ${dirname(path)}`,
    hint: suggestion(dirname(path), basename(path), folder) ?? 'name a .ts or .js file as it is seen from this folder',
  });
}

function suggestion(inFolder: string, wanted: string, folder: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(inFolder).filter((name) => extensions.includes(extname(name)) && !name.endsWith('.d.ts'));
  } catch {
    return `there is no folder ${relative(folder, inFolder) || inFolder} either`;
  }
  const near = nearest(wanted, names, (name) => basename(name, extname(name)));
  const paths = near.map((name) => relative(folder, join(inFolder, name)));
  return paths.length === 0 ? undefined : `shoal run ${paths.join('\nshoal run ')}`;
}

function programName(entry: string): string {
  return (
    basename(entry, extname(entry))
      .replace(/[^\w-]/g, '_')
      .slice(0, 40) || 'program'
  );
}

async function compile(entry: string, cache: string): Promise<{ code: Buffer; inputs: string[] }> {
  // Loaded here: a run that finds its bundle in the cache never pays for them.
  const [{ build }, { importsPlugin, fileConstants, requireBanner }] = await Promise.all([
    import('esbuild'),
    import('./bundle-imports.ts'),
  ]);
  const outsiders: string[] = [];
  const options = {
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    // Paths of messages, of comments in the output and of the source map do not depend on where it is run.
    absWorkingDir: dirname(entry),
    // As Node will know it: what the map says of sources is relative to that.
    outfile: join(realpathSync(cache), 'program.mjs'),
    format: 'esm',
    platform: 'node',
    // What Node 20 runs as it is.
    target: 'node20.19',
    // No `module` condition: what is left outside is loaded by Node, which does not know it.
    conditions: [],
    mainFields: ['main'],
    sourcemap: 'inline',
    sourcesContent: false,
    // Names of functions and classes are in stacks, in `error.name`, in `value.constructor.name`.
    keepNames: true,
    charset: 'utf8',
    logLevel: 'silent',
    banner: { js: requireBanner },
    define: fileConstants,
    plugins: [importsPlugin((path) => outsiders.push(path))],
  } satisfies BuildOptions;
  try {
    const { outputFiles, metafile } = await build(options);
    const inputs = Object.keys(metafile.inputs)
      .filter((path) => !path.includes(':'))
      .map((path) => resolve(dirname(entry), path));
    return { code: Buffer.from(outputFiles[0]!.contents), inputs: [...inputs, ...outsiders] };
  } catch (error) {
    const failure = error as Partial<BuildFailure>;
    if (!Array.isArray(failure.errors)) throw error;
    throw unreadableError(failure.errors) ?? compileError(entry, failure.errors);
  }
}

function unreadableError(messages: readonly Message[]): ShoalError | undefined {
  for (const { text, detail } of messages) {
    const path = (detail as Partial<Unreadable> | null | undefined)?.unreadable;
    if (path === undefined) continue;
    const shown = relative(process.cwd(), path);
    return new ShoalError('SH1313', `${shown.startsWith('..') ? path : shown} can’t be read`, {
      why: text,
      hint: 'run it as a user who may read it, or give this one the right to',
    });
  }
  return undefined;
}

export function compileError(entry: string, messages: readonly Message[]): ShoalError {
  const shown = messages.slice(0, 5).map((message) => excerpt(message, dirname(entry)));
  const more = messages.length > shown.length ? [`… and ${messages.length - shown.length} more`] : [];
  const first = messages[0];
  const missing = messages.flatMap(({ text }) => /^Could not resolve "([^"]+)"/.exec(text)?.[1] ?? []);
  const packages = new Set(missing.filter((specifier) => !/^[./#]/.test(specifier)).map(packageName));
  return new ShoalError('SH1312', `${relative(process.cwd(), entry) || entry} can’t be compiled`, {
    why: [...shown, ...more].join('\n'),
    from: first?.location ? place(first, dirname(entry)) : undefined,
    hint: packages.size > 0 ? `npm install ${[...packages].join(' ')}` : undefined,
  });
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function place({ location }: Message, base: string): string {
  if (!location) return '';
  const path = resolve(base, location.file);
  const shown = relative(process.cwd(), path);
  return `${shown.startsWith('..') ? path : shown}:${location.line}:${location.column + 1}`;
}

/** The line at fault, with a mark below it. */
function excerpt(message: Message, base: string): string {
  const { location, text } = message;
  if (!location) return text;
  const gutter = String(location.line);
  const column = [...location.lineText.slice(0, location.column)].map((character) => (character === '\t' ? '\t' : ' ')).join('');
  return [
    `${place(message, base)}: ${text}`,
    `${gutter} │ ${location.lineText}`,
    `${' '.repeat(gutter.length)} ╵ ${column}${'^'.repeat(Math.max(1, Math.min(location.length, 60)))}`,
  ].join('\n');
}
