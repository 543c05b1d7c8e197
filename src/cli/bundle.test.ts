import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ShoalError } from '../lib/errors.ts';
import { bundleProgram } from './bundle.ts';
import { cacheFolder, findBundle, pruneBundles } from './bundle-cache.ts';

// Root, who runs tests in containers, may read everything.
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return { ...real, readFile: vi.fn(real.readFile) };
});

const execute = promisify(execFile);
let folder: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'shoal-bundle-')));
  mkdirSync(join(folder, 'node_modules'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Written a while ago: what is just being edited is not cached. */
function write(files: Record<string, string>): void {
  const earlier = new Date(Date.now() - 60_000);
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    utimesSync(path, earlier, earlier);
  }
}

async function outputOf(file: string): Promise<string> {
  const { path } = await bundleProgram(file, folder);
  const { stdout } = await execute(process.execPath, [path], { cwd: tmpdir() });
  return stdout;
}

async function refusal(file: string): Promise<ShoalError> {
  return (await bundleProgram(file, folder).then(
    () => expect.unreachable('it was bundled'),
    (error: unknown) => error,
  )) as ShoalError;
}

describe('bundling', () => {
  it('tells of a file that the user may not read by its name', async () => {
    write({ 'main.ts': `import './locked';`, 'locked.ts': '' });
    const { readFile: real } = await vi.importActual<typeof import('node:fs/promises')>('node:fs/promises');
    vi.mocked(readFile).mockImplementation((async (path: string, encoding: 'utf8') => {
      if (path.endsWith('locked.ts')) throw new Error(`EACCES: permission denied, open '${path}'`);
      return real(path, encoding);
    }) as unknown as typeof readFile);
    const { code, message, why } = await refusal('main.ts');
    vi.mocked(readFile).mockReset();
    expect({ code, why }).toEqual({ code: 'SH1313', why: expect.stringMatching(/^EACCES: permission denied/) });
    expect(message).toBe(`${join(folder, 'locked.ts')} can’t be read`);
  });

  it('knows its sources where node_modules is a symbolic link', async () => {
    write({ 'main.ts': `\n\nthrow new Error('here');`, 'a/b/c/packages/none.txt': '' });
    rmSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(join(folder, 'a/b/c/packages'), join(folder, 'node_modules'));
    const { path } = await bundleProgram('main.ts', folder);
    const run = execute(process.execPath, ['--enable-source-maps', path], { cwd: tmpdir() });
    await expect(run).rejects.toMatchObject({ stderr: expect.stringContaining(`${join(folder, 'main.ts')}:3`) });
  });

  it('compiles TypeScript, relative imports, tsconfig paths, JSON and top-level await', async () => {
    write({
      'tsconfig.json': '{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }',
      'lib/twice.ts': 'export const twice = (n: number): number => 2 * n;',
      'data.json': '{ "factor": 5 }',
      'other.mts': 'export enum Colour { Red = 7 }',
      'main.ts': `import { twice } from '@lib/twice';
        import data from './data.json' with { type: 'json' };
        import { Colour } from './other.mjs';
        const late: number = await Promise.resolve(twice(data.factor) + Colour.Red);
        console.log(late);`,
    });
    expect(await outputOf('main.ts')).toBe('17\n');
  });

  it('leaves import.meta and __dirname where the source file is', async () => {
    write({
      'deep/where.ts': `#!/usr/bin/env node
export const where = [import.meta.url, import.meta.dirname, import.meta.filename, import.meta.resolve('./x.js')];`,
      'deep/old.cjs': 'exports.where = [__dirname, __filename];',
      // A program's own __dirname is its own.
      'main.ts': `import { dirname } from 'node:path';
        import { fileURLToPath } from 'node:url';
        import { where } from './deep/where.ts';
        import old from './deep/old.cjs';
        const __dirname = dirname(fileURLToPath(import.meta.url));
        console.log(JSON.stringify([...where, ...old.where, __dirname]));`,
    });
    const deep = join(folder, 'deep');
    expect(JSON.parse(await outputOf('main.ts'))).toEqual([
      ...[pathToFileURL(join(deep, 'where.ts')).href, deep, join(deep, 'where.ts'), pathToFileURL(join(deep, 'x.js')).href],
      ...[deep, join(deep, 'old.cjs'), folder],
    ]);
  });

  it('leaves packages outside, one copy each, whether imported or required', async () => {
    write({
      'node_modules/@scope/esm/package.json':
        '{ "name": "@scope/esm", "version": "1.0.0", "type": "module", "exports": { ".": { "import": "./i.js" } } }',
      'node_modules/@scope/esm/i.js': 'export const url = import.meta.url;',
      'node_modules/common/package.json': '{ "name": "common", "version": "1.0.0", "main": "lib/c" }',
      'node_modules/common/lib/c.js': 'exports.path = __filename; exports.builtin = typeof require("node:path").join;',
      'required.cjs': 'const { join } = require("path"); exports.path = join(require("common").path, "");',
      'main.ts': `import { url } from '@scope/esm';
        import common from 'common';
        import required from './required.cjs';
        console.log(JSON.stringify([url, common.path === required.path, common.path, common.builtin, require.resolve('common')]));`,
    });
    const [url, same, path, builtin, resolved] = JSON.parse(await outputOf('main.ts'));
    expect(url).toBe(pathToFileURL(join(folder, 'node_modules/@scope/esm/i.js')).href);
    expect([same, builtin]).toEqual([true, 'function']);
    expect([path, resolved]).toEqual(Array(2).fill(join(folder, 'node_modules/common/lib/c.js')));
  });

  it('gives the program the very package that runs it', async () => {
    write({ 'main.ts': `import { task } from 'shoal'; console.log(task);` });
    const { path } = await bundleProgram('main.ts', folder);
    expect(readFileSync(path, 'utf8')).toContain(pathToFileURL(fileURLToPath(new URL('../../dist/index.js', import.meta.url))).href);
  });

  it('maps stacks to the source', async () => {
    write({ 'main.ts': 'interface Unused { a: string }\n\nfunction broken(): never { throw new Error("here"); }\nbroken();' });
    const { path } = await bundleProgram('main.ts', folder);
    const failed = await execute(process.execPath, ['--enable-source-maps', path]).catch((error: { stderr: string }) => error);
    expect(failed.stderr).toContain(`${join(folder, 'main.ts')}:3:`);
  });

  it('knows a program by its code: comments and line breaks are the same, anything else is not', async () => {
    write({ 'main.ts': 'console.log(1);' });
    const first = await bundleProgram('main.ts', folder);
    write({ 'main.ts': '// Prints one.\n\nconsole.log(1);\n' });
    const second = await bundleProgram('main.ts', folder);
    write({ 'main.ts': 'console.log(2);' });
    const third = await bundleProgram('main.ts', folder);
    expect(second.hash).toBe(first.hash);
    expect(third.hash).not.toBe(first.hash);
  });
});

describe('what can’t be bundled', () => {
  it('shows the line that does not compile', async () => {
    write({ 'main.ts': 'const fine = 1;\nconst = 2;\n' });
    const error = await refusal('main.ts');
    expect(error.code).toBe('SH1312');
    expect(error.from).toMatch(/main\.ts:2:7$/);
    expect(error.why).toContain('2 │ const = 2;');
  });

  it('says which package to install, and what is wrong with a path', async () => {
    write({ 'a.ts': `import '@missing/thing/part';`, 'b.ts': `import './nowhere.ts';` });
    expect((await refusal('a.ts')).hint).toBe('npm install @missing/thing');
    const path = await refusal('b.ts');
    expect(path.why).toContain('./nowhere.ts');
    expect(path.hint).toBeUndefined();
  });

  it('names a file that is not there and those that were meant', async () => {
    write({ 'primes.ts': '', 'montecarlo.ts': '', 'sub/index.ts': '', 'notes.txt': '' });
    const error = await refusal('prmes.ts');
    expect(error.code).toBe('SH1313');
    expect(error.message).toBe('there is no file prmes.ts');
    expect(error.hint).toBe('shoal run primes.ts');
    expect((await refusal('sub')).hint).toBe('shoal run sub/index.ts');
    expect((await refusal('notes.txt')).message).toContain('no TypeScript or JavaScript');
    expect((await bundleProgram('primes', folder)).entry).toBe(join(folder, 'primes.ts'));
  });
});

describe('the cache', () => {
  it('lies beside the packages, else where SHOAL_CACHE says', () => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    expect(cacheFolder(join(folder, 'a/b'), {})).toBe(join(folder, 'node_modules/.cache/shoal'));
    expect(cacheFolder(folder, { SHOAL_CACHE: join(folder, 'elsewhere') })).toBe(join(folder, 'elsewhere'));
  });

  const changes: [string, () => void][] = [
    ['a source', () => write({ 'part.ts': 'export const part = 22;' })],
    ['what an import means', () => write({ 'other/new.ts': '' })],
    ['a base of tsconfig.json', () => write({ 'base.json': '{ "compilerOptions": { "jsx": "react-jsx" } }' })],
    ['package.json', () => write({ 'package.json': '{ "type": "module" }' })],
    ['a package', () => write({ 'node_modules/dep/package.json': '{ "name": "dep", "version": "2.0.0" }' })],
    ['the bundle itself', () => truncateSync(bundleFile(), 10)],
  ];
  const cached = () => join(folder, 'node_modules/.cache/shoal');
  const bundleFile = () => join(cached(), readdirSync(cached()).find((name) => name.endsWith('.mjs'))!);

  it.each(changes)('is not used any more after a change of %s', async (_what, change) => {
    write({
      'tsconfig.json': '{ "extends": "./base.json" }',
      'base.json': '{}',
      'node_modules/dep/package.json': '{ "name": "dep" }',
      'node_modules/dep/index.js': '',
      'part.ts': 'export const part = 1;',
      'other/more.ts': 'export {};',
      'main.ts': `import { part } from './part.ts'; import './other/more.ts'; import 'dep'; console.log(part);`,
    });
    const { path, hash, entry } = await bundleProgram('main.ts', folder);
    expect(findBundle(cached(), entry)).toEqual({ path, hash });
    change();
    expect(findBundle(cached(), entry)).toBeUndefined();
    expect(readFileSync((await bundleProgram('main.ts', folder)).path, 'utf8')).toContain('console.log');
  });

  it('does not trust what was being written while it was read', async () => {
    writeFileSync(join(folder, 'main.ts'), '1;');
    utimesSync(join(folder, 'main.ts'), new Date(), new Date(Date.now() + 5_000));
    const { entry } = await bundleProgram('main.ts', folder);
    expect(findBundle(cached(), entry)).toBeUndefined();
  });

  it('forgets what nobody has used for a month', async () => {
    write({ 'main.ts': '1;' });
    const { path } = await bundleProgram('main.ts', folder);
    pruneBundles(cached(), Date.now() + 29 * 86_400_000);
    expect(readdirSync(cached())).toHaveLength(2);
    pruneBundles(cached(), Date.now() + 31 * 86_400_000);
    expect(readdirSync(cached())).toEqual([]);
    expect(path).toContain('main-');
  });
});
