/** The rules find what they are there to find: each is fed an example that breaks it and one that does not. */
import { describe, expect, it } from 'vitest';
import { checkDeadExports } from './dead-exports.mjs';
import { checkErrorCodes } from './error-codes.mjs';
import { checkPurity } from './purity.mjs';
import { checkCycles, checkDirections } from './rooms.mjs';
import { parse } from './source.mjs';
import { checkHiddenTests, checkLeaks, checkSizes } from './text.mjs';

const tree = (files: Record<string, string>) => Object.entries(files).map(([path, text]) => parse({ path, text }));
const messages = (problems: readonly { path: string; line: number; message: string }[]): string[] =>
  problems.map(({ path, line, message }) => `${path}:${line} ${message}`);

describe('rooms', () => {
  it('lets imports point down', () => {
    const sources = tree({
      'src/lib/a.ts': `export {};`,
      'src/core/a.ts': `import { x } from '../lib/a.ts'; import { y } from './b.ts';`,
      'src/journals/file.ts': `import { open } from 'node:fs/promises'; import { x } from '../lib/a.ts'; import './journal.ts';`,
      'src/coordinator/loop.ts': `import type { Journal } from '../journals/journal.ts';`,
      'src/open.ts': `import { fileJournal } from './journals/file.ts'; import './coordinator/loop.ts';`,
      'src/index.ts': `import './open.ts'; export { task } from './client/task.ts';`,
      'src/cli/bin.ts': `import { Command } from 'commander'; import '../index.ts'; import '../open.ts';`,
      'src/journals/journal.suite.ts': `import { it } from 'vitest';`,
      'src/worker/outbox.double.ts': `import { expect } from 'vitest';`,
      'src/core/core.test.ts': `import fc from 'fast-check'; import '../open.ts';`,
    });
    expect(messages(checkDirections(sources))).toEqual([]);
  });

  it.each([
    ['src/lib/a.ts', `import '../core/b.ts';`, 'lib may not import core (../core/b.ts)'],
    ['src/core/a.ts', `import type { X } from '../wire/b.ts';`, 'core may not import wire (../wire/b.ts)'],
    ['src/core/a.ts', `let x: import('../tasks/b.ts').X;`, 'core may not import tasks (../tasks/b.ts)'],
    ['src/core/a.ts', `import { hash } from 'node:crypto';`, 'core imports no Node module (node:crypto)'],
    ['src/core/a.ts', `import fs from 'fs';`, 'core imports no Node module (fs)'],
    ['src/brokers/a.ts', `export * from '../journals/journal.ts';`, 'brokers may not import journals (../journals/journal.ts)'],
    ['src/worker/a.ts', `await import('../client/b.ts');`, 'worker may not import client (../client/b.ts)'],
    ['src/worker/a.ts', `start(new URL('../client/b.ts', import.meta.url));`, 'worker may not import client (../client/b.ts)'],
    ['src/coordinator/a.ts', `import '../codecs/json.ts';`, 'coordinator may not import codecs (../codecs/json.ts)'],
    [
      'src/coordinator/a.ts',
      `import '../journals/file.ts';`,
      'coordinator may know journals by the port only, src/journals/file.ts is an adapter: open.ts picks those',
    ],
    ['src/index.ts', `import './cli/bin.ts';`, 'index.ts may not import cli (./cli/bin.ts)'],
    ['src/lib/a.ts', `import './a.suite.ts';`, 'what is no test imports the test src/lib/a.suite.ts'],
    ['src/lib/a.ts', `import '../../test/x.ts';`, '../../test/x.ts leaves src/'],
    ['src/lib/a.ts', `import { it } from 'vitest';`, 'vitest has no home: say in scripts/house/rooms.mjs which file adapts it'],
    ['src/worker/a.ts', `import { create } from '@bufbuild/protobuf/codegenv2';`, 'only src/codecs/protobuf.ts imports @bufbuild/protobuf'],
    ['src/utils/a.ts', '', 'src/utils is no room; the rooms and who may import whom are in scripts/house/rooms.mjs'],
  ])('stops %s: %s', (path, text, message) => {
    expect(messages(checkDirections(tree({ [path]: text })))).toEqual([`${path}:1 ${message}`]);
  });

  it('finds a cycle, and only that', () => {
    const sources = tree({
      'src/lib/a.ts': `import './b.ts'; import './c.ts';`,
      'src/lib/b.ts': `\nimport { type X } from './c.ts';`,
      'src/lib/c.ts': `import './d.ts';\nimport './b.ts';`,
      'src/lib/d.ts': `import type { A } from './a.ts'; export type { B } from './a.ts'; let x: import('./a.ts').C;`,
    });
    expect(messages(checkCycles(sources))).toEqual(['src/lib/c.ts:2 src/lib/b.ts -> src/lib/c.ts -> src/lib/b.ts']);
  });
});

describe('purity', () => {
  it.each([
    'const t = Date.now();',
    'const t = new Date(5);',
    'const r = Math.random();',
    'setTimeout(go, 5);',
    'setInterval(go, 5);',
    'setImmediate(go);',
    'const home = process.env.HOME;',
    'const t = performance.now();',
    'const id = crypto.randomUUID();',
    'const id = randomUUID();',
    'async function f() {}',
    'const f = async () => {};',
    'const p = new Promise(go);',
    'const f = globalThis.x ?? setTimeout;',
  ])('stops %s', (text) => {
    expect(checkPurity(tree({ 'src/core/a.ts': text }))).toHaveLength(1);
    expect(checkPurity(tree({ 'src/coordinator/a.ts': text, 'src/core/a.test.ts': text }))).toEqual([]);
  });

  it('knows words from things', () => {
    const text = `
      // Date.now() and setTimeout are for shells.
      interface Spec { isolation: 'process'; process: string; performance?: number }
      const spec = { process: 'a' };
      const limit = Math.max(spec.process.length, state.performance);
    `;
    expect(messages(checkPurity(tree({ 'src/core/a.ts': text })))).toEqual([]);
  });
});

describe('text', () => {
  it('stops files that are too long, unless they are tests or generated', () => {
    const text = 'x\n'.repeat(451);
    const paths = ['src/a.ts', 'src/a.test.ts', 'src/a.suite.ts', 'src/a_pb.ts', 'README.md', 'scripts/a.mjs'];
    const problems = checkSizes(paths.map((path) => ({ path, text })));
    expect(problems.map(({ path }) => path)).toEqual(['src/a.ts', 'scripts/a.mjs']);
    expect(checkSizes([{ path: 'src/a.ts', text: 'x\n'.repeat(450) }])).toEqual([]);
  });

  it.each([
    'see /wo|rk/shared/X.md',
    'at /ho|me/ann/a.ts',
    '"/ro|ot/.npmrc"',
    'https://regi|stry.example.org/x',
    '"reso|lved": "https://a/b.tgz"',
  ])('stops %s', (text) => {
    expect(checkLeaks([{ path: 'a.md', text: `\n${text.replace('|', '')}` }])).toMatchObject([{ line: 2, rule: 'leaks' }]);
  });

  it('lets other paths and addresses pass', () => {
    const text = 'src/wo|rk/item.ts ./home/x /ho|me/me/sweep.ts /tmp/shoal https://nodejs.org/api https://a.example/wo|rk/x';
    expect(checkLeaks([{ path: 'a.md', text: text.replaceAll('|', '') }])).toEqual([]);
  });

  it.each(['it.only', 'test.skip', 'describe.concurrent.only', 'it.todo', 'it.skipIf(ci)', 'test.fails'])('stops %s', (call) => {
    const text = `${call}('x', () => {});`;
    expect(checkHiddenTests(tree({ 'src/a.test.ts': text }))).toHaveLength(1);
  });

  it('lets a test say why it can not run', () => {
    const text = `it('x', (context) => { if (!root) context.skip('needs root'); queue.skip(1); });`;
    expect(checkHiddenTests(tree({ 'src/a.test.ts': text }))).toEqual([]);
  });
});

describe('dead exports', () => {
  it('finds values that nobody imports', () => {
    const sources = tree({
      'src/lib/a.ts': `export const used = 1;\nexport const dead = 2;\nexport interface Shape {}`,
      'src/lib/b.ts': `import { used as other } from './a.ts';\nexport function alsoDead() {}`,
      'src/lib/whole.ts': `export const x = 1;`,
      'src/index.ts': `export * from './lib/whole.ts'; export const door = 1;`,
      'src/worker/entry.ts': `export const x = 1;`,
      'src/worker/start.ts': `start(entryUrl(import.meta.url, './entry.ts'));`,
    });
    expect(messages(checkDeadExports(sources, new Set(['src/index.ts'])))).toEqual([
      'src/lib/a.ts:2 dead is exported, and nobody imports it',
      'src/lib/b.ts:2 alsoDead is exported, and nobody imports it',
    ]);
  });
});

describe('error codes', () => {
  it('keeps code and page in step', () => {
    const sources = tree({
      'src/lib/a.ts': `throw new ShoalError('SH1001', 'x');\nthrow new ShoalError('SH1002', 'x');`,
      'src/lib/a.test.ts': `expect(error.code).toBe('SH1009');`,
    });
    const page = { path: 'docs/reference/errors.md', text: '# Errors\n\n## SH1001\n\n### SH1003\n\n## SH1002: has another anchor\n' };
    expect(messages(checkErrorCodes(sources, page))).toEqual([
      'src/lib/a.ts:2 SH1002 has no heading in docs/reference/errors.md',
      'docs/reference/errors.md:5 SH1003 is used nowhere in src/',
    ]);
    expect(checkErrorCodes(sources, undefined)).toHaveLength(2);
  });
});
