/**
 * Bundles on disk: `<name>-<hash>.mjs` with the code, `<entry's hash>.json` with what it was made from. A bundle is
 * used again without asking esbuild as long as nothing that it was made from has changed.
 *
 * 1. A file appears whole or not at all (written beside, renamed), so that two runs at once do no harm.
 * 2. What counts as unchanged: each source file, the folders they lie in (a new file can change what an import means),
 *    every tsconfig.json and package.json on the way up, the manifests of the packages, Node's and our own version.
 * 3. Code is taken only from a folder that nobody else can write to.
 */
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Manifest {
  made: string;
  entry: string;
  hash: string;
  file: string;
  bytes: number;
  /** Path → what `stampOf` said of it. */
  stamps: Record<string, string>;
}

/** Kept after its last use; a thread of a running program may have to load it again. */
const keepDays = 30;

/** What else decides how a bundle looks: this package as it is built, and Node. */
function maker(): string {
  const here = fileURLToPath(import.meta.url);
  return [
    process.version,
    stampOf(here),
    stampOf(join(dirname(here), 'bundle-imports.js')),
    stampOf(join(dirname(here), 'bundle.js')),
  ].join(' ');
}

/**
 * `SHOAL_CACHE`, else beside the packages of the project (git ignores it, tools clean it), else in the temporary folder.
 */
export function cacheFolder(from: string, env: NodeJS.ProcessEnv = process.env): string {
  if (env.SHOAL_CACHE) return made(resolve(env.SHOAL_CACHE));
  for (const folder of upwards(from)) {
    const packages = join(folder, 'node_modules');
    if (!isWritableFolder(packages)) continue;
    try {
      return made(join(packages, '.cache', 'shoal'));
    } catch {
      break;
    }
  }
  const name = process.platform === 'win32' ? 'shoal-cache' : `shoal-${userInfo().uid}`;
  const shared = join(tmpdir(), name);
  try {
    mkdirSync(shared, { mode: 0o700 });
  } catch {
    // It is there already, or can't be: the next line tells.
  }
  if (isPrivate(shared)) return shared;
  // Someone else made a folder of our name where everybody may: one of our own, for this run.
  const own = mkdtempSync(join(tmpdir(), 'shoal-'));
  process.once('exit', () => rmSync(own, { recursive: true, force: true }));
  return own;
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true });
  accessSync(folder, constants.W_OK);
  return folder;
}

function isWritableFolder(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function isPrivate(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return false;
  return process.platform === 'win32' || (found.uid === userInfo().uid && (found.mode & 0o022) === 0);
}

export function findBundle(cache: string, entry: string): { path: string; hash: string } | undefined {
  try {
    const manifest = JSON.parse(readFileSync(manifestPath(cache, entry), 'utf8')) as Manifest;
    if (manifest.made !== maker() || manifest.entry !== entry) return undefined;
    const path = join(cache, manifest.file);
    if (statSync(path).size !== manifest.bytes) return undefined;
    for (const [watched, stamp] of Object.entries(manifest.stamps)) if (stampOf(watched) !== stamp) return undefined;
    touch(path);
    return { path, hash: manifest.hash };
  } catch {
    // None yet, or a damaged one: make it anew.
    return undefined;
  }
}

export interface NewBundle {
  entry: string;
  name: string;
  /** What the program is known by, kept for later runs. */
  hash: string;
  code: Buffer;
  /** Files that decided what is in it. */
  inputs: readonly string[];
  /** When esbuild began to read. */
  startedWallMs: number;
}

export function keepBundle(cache: string, bundle: NewBundle): string {
  const { entry, name, hash, code, inputs, startedWallMs } = bundle;
  const file = `${name}-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.mjs`;
  const path = join(cache, file);
  if (statSync(path, { throwIfNoEntry: false })?.size !== code.length) writeWhole(path, code);
  else touch(path);
  const stamps = Object.fromEntries(watchedFor(inputs).map((watched) => [watched, stampOf(watched)]));
  const manifest: Manifest = { made: maker(), entry, hash, file, bytes: code.length, stamps };
  // A source saved while esbuild read it may be in there in either state.
  if (inputs.every((input) => mtimeOf(input) < startedWallMs - 20)) writeWhole(manifestPath(cache, entry), JSON.stringify(manifest));
  else rmSync(manifestPath(cache, entry), { force: true });
  return path;
}

export function pruneBundles(cache: string, nowWallMs = Date.now()): void {
  const oldestMs = nowWallMs - keepDays * 86_400_000;
  for (const name of readdirSync(cache)) {
    if (!/\.(mjs|json|tmp)$/.test(name)) continue;
    const path = join(cache, name);
    if (mtimeOf(path) < oldestMs) rmSync(path, { force: true });
  }
}

function manifestPath(cache: string, entry: string): string {
  return join(cache, `${createHash('sha256').update(entry).digest('hex').slice(0, 24)}.json`);
}

function writeWhole(path: string, content: Buffer | string): void {
  const beside = `${path}.${process.pid}.tmp`;
  writeFileSync(beside, content);
  renameSync(beside, path);
}

function touch(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

function mtimeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return 'absent';
  return `${found.mtimeMs} ${found.isDirectory() ? 'folder' : found.size}`;
}

function watchedFor(inputs: readonly string[]): string[] {
  const watched = new Set(inputs);
  const above = new Set<string>();
  for (const input of inputs) {
    // Inside packages only the manifest says what is used.
    if (!input.includes('node_modules')) watched.add(dirname(input));
    for (const folder of upwards(dirname(input))) {
      if (above.has(folder)) break;
      above.add(folder);
    }
  }
  for (const folder of above) {
    watched.add(join(folder, 'package.json'));
    for (const config of configChain(join(folder, 'tsconfig.json'))) watched.add(config);
  }
  return [...watched];
}

/** A tsconfig.json and the files that it extends, as far as they are given by path. */
function configChain(path: string, depth = 0): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [path];
  }
  const bases = [...(/"extends"\s*:\s*(\[[^\]]*\]|"[^"]*")/.exec(text)?.[1] ?? '').matchAll(/"(\.[^"]*)"/g)].map((match) => match[1]!);
  if (depth > 8) return [path];
  return [path, ...bases.flatMap((base) => configChain(resolve(dirname(path), base.endsWith('.json') ? base : `${base}.json`), depth + 1))];
}

function* upwards(folder: string): Iterable<string> {
  for (let at = folder; ; at = dirname(at)) {
    yield at;
    if (dirname(at) === at) return;
  }
}
