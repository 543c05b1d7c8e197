/**
 * What becomes of each import of a program. Its own files (relative, by tsconfig paths, or in a workspace) go into the
 * bundle. Packages stay outside, as absolute addresses, because the bundle lives in a cache folder from which a bare
 * name would mean something else. `shoal` is the very package that runs the program, so that there is one of it.
 *
 * Inside the bundle every file still knows where it is from: `import.meta.url`, `.dirname`, `.filename`,
 * `.resolve()`, and `__dirname`, `__filename` in CommonJS, are those of the source file.
 */
import { readFile } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, extname, isAbsolute, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ImportKind, Loader, OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from 'esbuild';

/** `require` for CommonJS files of the program; esbuild's own stand-in refuses everything in an ES module. */
export const requireBanner = `import { createRequire as __shoal_createRequire } from 'node:module';
import { pathToFileURL as __shoal_toUrl } from 'node:url';
const require = __shoal_createRequire(import.meta.url);`;

/** esbuild replaces only what the file does not define itself; `prefixFor` gives each file its own values. */
export const fileConstants: Record<string, string> = {
  'import.meta': '__shoal_meta',
  __dirname: '__shoal_dirname',
  __filename: '__shoal_filename',
};

const loaders: Readonly<Record<string, Loader>> = {
  '.ts': 'ts',
  '.mts': 'ts',
  '.cts': 'ts',
  '.tsx': 'tsx',
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
  '.jsx': 'jsx',
};

/** `tellOutsider` hears of files outside the bundle that decide what is in it: the manifests of packages. */
export function importsPlugin(tellOutsider: (path: string) => void): Plugin {
  return {
    name: 'shoal-imports',
    setup(build) {
      const ours = createRequire(import.meta.url);
      build.onResolve({ filter: /.*/ }, (args) => resolveImport(build, ours, args, tellOutsider));
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path }) => {
        let text: string;
        try {
          text = await readFile(path, 'utf8');
        } catch (error) {
          return { errors: [{ text: (error as Error).message, detail: { unreadable: path } satisfies Unreadable }] };
        }
        const prefix = prefixFor(path, text);
        // Files that ask for nothing are read by esbuild itself.
        if (prefix === '') return undefined;
        const afterHashbang = text.startsWith('#!') ? text.indexOf('\n') + 1 : 0;
        return {
          contents: text.slice(0, afterHashbang) + prefix + text.slice(afterHashbang),
          loader: loaders[extname(path)] ?? 'js',
          resolveDir: dirname(path),
        };
      });
    },
  };
}

/** What an error of esbuild says of a file that the user can't read. */
export interface Unreadable {
  unreadable: string;
}

const seen = Symbol('shoal.seen');

async function resolveImport(
  build: PluginBuild,
  ours: NodeJS.Require,
  args: OnResolveArgs,
  tellOutsider: (path: string) => void,
): Promise<OnResolveResult | undefined> {
  const { path, kind } = args;
  if (kind === 'entry-point' || args.pluginData === seen) return undefined;
  if (isBuiltin(path)) return { path, external: true };
  if (/^(file|data|https?):/.test(path)) return { path, external: true };
  if (path === 'shoal' || path.startsWith('shoal/')) return { path: addressFor(ours.resolve(path), kind), external: true };
  const relativeOrAbsolute = /^\.{0,2}\//.test(path) || path === '.' || path === '..' || isAbsolute(path);
  if (relativeOrAbsolute && !path.endsWith('.node')) return undefined;
  const { importer, namespace, resolveDir } = args;
  const found = await build.resolve(path, { importer, namespace, resolveDir, kind, pluginData: seen });
  // esbuild says it better, with the place in the file.
  if (found.errors.length > 0 || found.external) return undefined;
  const inPackage = found.path.includes(`${sep}node_modules${sep}`);
  if (found.path.endsWith('.json') && kind !== 'require-call') return undefined;
  if (!inPackage && !found.path.endsWith('.node')) return undefined;
  if (inPackage) tellOutsider(manifestOf(found.path));
  return { path: addressFor(found.path, kind), external: true, sideEffects: found.sideEffects };
}

/** `import` takes URLs, `require` takes paths. */
function addressFor(path: string, kind: ImportKind): string {
  return kind === 'require-call' || kind === 'require-resolve' ? path : pathToFileURL(path).href;
}

/** …/node_modules/@scope/name/package.json of a file in there. */
function manifestOf(path: string): string {
  const marker = `${sep}node_modules${sep}`;
  const start = path.lastIndexOf(marker) + marker.length;
  const parts = path.slice(start).split(sep);
  return [path.slice(0, start - 1), ...parts.slice(0, parts[0]!.startsWith('@') ? 2 : 1), 'package.json'].join(sep);
}

/** On the first line of the file, so that line numbers stay. */
export function prefixFor(path: string, text: string): string {
  const [filename, folder, url] = [path, dirname(path), pathToFileURL(path).href].map((value) => JSON.stringify(value));
  const parts: string[] = [];
  if (/\bimport\s*\.\s*meta\b/.test(text)) {
    const resolve = `(name) => /^(?:\\.{0,2}\\/|[a-z]+:)/.test(name) ? new URL(name, ${url}).href : __shoal_toUrl(__shoal_createRequire(${url}).resolve(name)).href`;
    parts.push(`const __shoal_meta = { __proto__: null, url: ${url}, filename: ${filename}, dirname: ${folder}, resolve: ${resolve} };`);
  }
  if (/\b__filename\b/.test(text)) parts.push(`const __shoal_filename = ${filename};`);
  if (/\b__dirname\b/.test(text)) parts.push(`const __shoal_dirname = ${folder};`);
  return parts.length === 0 ? '' : `${parts.join(' ')} `;
}
