// @ts-check
/** What may not be in any file that we keep: oversized modules, paths of somebody's machine, registry hosts, tests that hide. */
import ts from 'typescript';
import { isGenerated, isTest, lineOf } from './source.mjs';

/**
 * @typedef {import('./source.mjs').Problem} Problem
 * @typedef {import('./source.mjs').File} File
 */

const linesMax = 450;

/**
 * @param {readonly File[]} files
 * @returns {Problem[]}
 */
export function checkSizes(files) {
  return files.flatMap(({ path, text }) => {
    if (!/\.(ts|mjs)$/.test(path) || isTest(path) || isGenerated(path)) return [];
    const lines = text.split('\n').length - 1;
    return lines > linesMax
      ? [{ path, line: linesMax, rule: 'size', message: `${lines} lines; a file has at most ${linesMax}: what are its two subjects?` }]
      : [];
  });
}

const leaks = [
  // In two pieces, so that this file does not match itself. Examples live with `me`.
  {
    pattern: new RegExp('(?<![\\w./-])/(?:wo' + 'rk|ro' + 'ot|ho' + 'me|Us' + 'ers)/(?!me/)[\\w.-]+'),
    what: "a path of somebody's machine",
  },
  {
    pattern: new RegExp('https?://[\\w.-]*(?:regi' + 'stry|artif' + 'actory|ver' + 'daccio|nex' + 'us|mir' + 'ror)[\\w.-]*'),
    what: 'the host of a package registry',
  },
  { pattern: new RegExp('"reso' + 'lved": "http'), what: 'a lockfile that names hosts (omit-lockfile-registry-resolved)' },
];

/**
 * @param {readonly File[]} files
 * @returns {Problem[]}
 */
export function checkLeaks(files) {
  return files.flatMap(({ path, text }) =>
    leaks.flatMap(({ pattern, what }) => {
      const match = pattern.exec(text);
      return match ? [{ path, line: text.slice(0, match.index).split('\n').length, rule: 'leaks', message: `${what}: ${match[0]}` }] : [];
    }),
  );
}

const testWords = new Set(['it', 'test', 'describe', 'suite', 'bench']);
const hidingWords = new Set(['only', 'skip', 'skipIf', 'runIf', 'todo', 'fails']);

/**
 * A test that can't run here calls `context.skip('why')`, which is printed, and fails in CI.
 * @param {readonly import('./source.mjs').Source[]} sources
 * @returns {Problem[]}
 */
export function checkHiddenTests(sources) {
  /** @type {Problem[]} */
  const problems = [];
  for (const { path, tree } of sources) {
    if (!isTest(path)) continue;
    /** @param {ts.Node} node */
    const visit = (node) => {
      if (ts.isPropertyAccessExpression(node) && hidingWords.has(node.name.text) && testWords.has(rootName(node))) {
        problems.push({
          path,
          line: lineOf(tree, node),
          rule: 'tests',
          message: `${node.getText(tree)}: a test runs, or says why not with context.skip('why')`,
        });
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  return problems;
}

/**
 * @param {ts.Expression} node
 * @returns {string}
 */
function rootName(node) {
  if (ts.isPropertyAccessExpression(node)) return rootName(node.expression);
  return ts.isIdentifier(node) ? node.text : '';
}
