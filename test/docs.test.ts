/** What README.md and docs/ print is true: programs type-check and give the output shown, links lead somewhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, run } from './packed.ts';
import { blocksOf } from './pages.ts';

const pages = ['README.md', 'bench/README.md', ...pagesIn('docs')];
const blocks = pages.flatMap(blocksOf);

describe('every TypeScript block', () => {
  const snippets = blocks.filter(({ language }) => language === 'ts');

  it('type-checks', () => {
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8'));
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
    const files = new Map(snippets.map(({ page, line, text }) => [join(root, `${page}.${line}.ts`), text]));
    const host = ts.createCompilerHost(options);
    const { readFile, fileExists } = host;
    const disk = { readFile: readFile.bind(host), fileExists: fileExists.bind(host) };
    host.readFile = (path) => files.get(path) ?? disk.readFile(path);
    host.fileExists = (path) => files.has(path) || disk.fileExists(path);
    const program = ts.createProgram([...files.keys()], options, host);
    const found = [...files.keys()].flatMap((path) => ts.getPreEmitDiagnostics(program, program.getSourceFile(path)));
    const shown = found.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
    expect(shown).toEqual([]);
  });
});

describe('every program with its output', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-docs-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const shown = blocks.flatMap((block, index) => {
    const [, name, output] = /^\$ npx shoal run (\S+\.ts)\n([\s\S]*)$/.exec(block.text) ?? [];
    const program = blocks[index - 1];
    return name !== undefined && program?.language === 'ts'
      ? [{ name, output: output!, program, title: `${block.page}:${program.line}` }]
      : [];
  });

  it.each(shown)('$title', async ({ name, output, program }) => {
    await writeFile(join(folder, name), program.text);
    const { stdout } = await run(process.execPath, [join(root, 'dist/cli/bin.js'), 'run', name], folder);
    expect(stdout).toBe(output);
  });

  it('is found', () => expect(shown.length).toBeGreaterThanOrEqual(4));
});

it('links lead to files and headings that exist', () => {
  const broken = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(([, path, heading]) => {
      const target = path === '' ? page : join(dirname(page), path!);
      if (!existsSync(join(root, target))) return [`${page}: ${path}`];
      if (heading === undefined) return [];
      const headings = [...readFileSync(join(root, target), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
        text!.toLowerCase().replaceAll(' ', '-'),
      );
      return headings.includes(heading) ? [] : [`${page}: ${path}#${heading}`];
    }),
  );
  expect(broken).toEqual([]);
});

it('each fault of the catalogue is named by a test', () => {
  const page = readFileSync(join(root, 'docs/explanation/faults.md'), 'utf8');
  const ids = [...page.matchAll(/^\| ([A-Z]\d\d) \|/gm)].map(([, id]) => id!);
  const tests = ['src', 'test', 'simulation'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .map((path) => join(folder, path))
      .filter((path) => /^simulation.*\.m?[jt]s$|^test.*\.ts$|\.(test|suite)\.ts$/.test(path)),
  );
  const text = tests.map((path) => readFileSync(join(root, path), 'utf8')).join();
  expect(ids.length).toBeGreaterThan(100);
  expect(ids.filter((id) => !new RegExp(`\\b${id}\\b`).test(text))).toEqual([]);
});

function pagesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return pagesIn(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}
