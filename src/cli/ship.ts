/**
 * A user's program as one file that any machine with shoal on it can run: compiled, with its packages in it. Only `shoal`
 * itself stays outside, because the worker's own copy is the one that keeps the tasks.
 *
 * The same sources give the same bytes on any machine, so no path of this one is in there. A file that asks where it is
 * (`import.meta.url`, `__dirname`) is told its source here, where main() runs, and the bundle's place on a worker.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { basename, dirname, extname, join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildFailure, build, type Loader, type Plugin } from 'esbuild';
import { ShoalError } from '../lib/errors.ts';
import { cacheHome } from '../lib/folders.ts';
import { BundleStore } from '../worker/bundles.ts';
import { compileError, findProgram } from './bundle.ts';
import { fileConstants } from './bundle-imports.ts';

export interface ShippedProgram {
  /** sha256 of `bytes`, hex. */
  readonly hash: string;
  readonly bytes: Uint8Array;
  /** Where it lies on this machine, as workers have it on theirs. */
  readonly url: string;
  /** The program's own file, absolute. */
  readonly entry: string;
  readonly name: string;
  /** Every source file that is in it, absolute. */
  readonly inputs: readonly string[];
}

const sourcesKey = 'shoal.sources';

const banner = `import { createRequire as __shoal_createRequire } from 'node:module';
import { dirname as __shoal_dirnameOf } from 'node:path';
import { fileURLToPath as __shoal_toPath } from 'node:url';
const require = __shoal_createRequire(import.meta.url);
const __shoal_bundle = import.meta;
function __shoal_metaOf(file) {
  const base = globalThis[Symbol.for('${sourcesKey}')]?.[__shoal_bundle.url];
  const url = base ? new URL(file, base).href : __shoal_bundle.url;
  const filename = __shoal_toPath(url);
  return { __proto__: null, url, filename, dirname: __shoal_dirnameOf(filename), resolve: (name) => new URL(name, url).href };
}`;

/** SH1313 (no such program), SH1312 (it does not compile), SH1314 (it cannot travel). */
export async function shipProgram(file: string, folder?: string): Promise<ShippedProgram> {
  const entry = findProgram(file, folder);
  const base = dirname(entry);
  const { code, inputs } = await compile(entry, base);
  const hash = createHash('sha256').update(code).digest('hex');
  const store = new BundleStore(join(cacheHome(), 'bundles'));
  if (!(await store.has(hash))) await store.store(hash, code);
  const url = store.urlOf(hash);
  const holder = globalThis as { [key: symbol]: Record<string, string> | undefined };
  const places = (holder[Symbol.for(sourcesKey)] ??= {});
  places[url] = `${pathToFileURL(base).href}/`;
  return { hash, bytes: code, url, entry, name: basename(entry), inputs };
}

async function compile(entry: string, base: string): Promise<{ code: Uint8Array; inputs: string[] }> {
  let native: ShoalError | undefined;
  try {
    const { outputFiles, metafile } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      metafile: true,
      absWorkingDir: base,
      outfile: join(base, 'program.mjs'),
      format: 'esm',
      platform: 'node',
      target: 'node20.19',
      sourcemap: 'inline',
      sourcesContent: false,
      keepNames: true,
      charset: 'utf8',
      logLevel: 'silent',
      banner: { js: banner },
      define: fileConstants,
      plugins: [shipPlugin(base, (error) => (native ??= error))],
    });
    const inputs = Object.keys(metafile.inputs).filter((path) => !/^[a-z-]+:/.test(path));
    return { code: outputFiles[0]!.contents, inputs: inputs.map((path) => join(base, path)) };
  } catch (error) {
    if (native) throw native;
    const failure = error as Partial<BuildFailure>;
    if (!Array.isArray(failure.errors)) throw error;
    throw compileError(entry, failure.errors);
  }
}

function shipPlugin(base: string, onNative: (error: ShoalError) => void): Plugin {
  return {
    name: 'shoal-ship',
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, kind, importer }) => {
        if (kind === 'entry-point') return undefined;
        if (isBuiltin(path) || path === 'shoal' || path.startsWith('shoal/')) return { path, external: true };
        if (path.endsWith('.node')) {
          onNative(nativeError(path, importer));
          return { errors: [{ text: `${path} is a native add-on` }] };
        }
        return undefined;
      });
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        const prefix = prefixFor(relative(base, path).split(sep).join('/'), text);
        if (prefix === '') return undefined;
        const afterHashbang = text.startsWith('#!') ? text.indexOf('\n') + 1 : 0;
        const contents = text.slice(0, afterHashbang) + prefix + text.slice(afterHashbang);
        return { contents, loader: loaderOf(path), resolveDir: dirname(path) };
      });
    },
  };
}

/** On the first line of the file, so that line numbers stay. */
function prefixFor(file: string, text: string): string {
  const asks = { meta: /\bimport\s*\.\s*meta\b/.test(text), filename: /\b__filename\b/.test(text), dirname: /\b__dirname\b/.test(text) };
  if (!asks.meta && !asks.filename && !asks.dirname) return '';
  const parts = [`const __shoal_meta = __shoal_metaOf(${JSON.stringify(file)});`];
  if (asks.filename) parts.push('const __shoal_filename = __shoal_meta.filename;');
  if (asks.dirname) parts.push('const __shoal_dirname = __shoal_meta.dirname;');
  return `${parts.join(' ')} `;
}

function loaderOf(path: string): Loader {
  const extension = extname(path).replace(/^\.[cm]/, '.');
  return extension === '.ts' || extension === '.tsx' || extension === '.jsx' ? (extension.slice(1) as Loader) : 'js';
}

function nativeError(path: string, importer: string): ShoalError {
  const marker = `${sep}node_modules${sep}`;
  const at = importer.lastIndexOf(marker);
  const parts = importer.slice(at + marker.length).split(sep);
  const who = at < 0 ? path : parts.slice(0, parts[0]!.startsWith('@') ? 2 : 1).join('/');
  return new ShoalError('SH1314', `${who} cannot travel to workers: it is built for one machine`, {
    why: `it loads ${basename(path)}`,
    hint: 'install it where the workers run, and start them with: shoal worker --tasks FILE',
  });
}
