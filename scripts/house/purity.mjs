// @ts-check
/**
 * The core decides and does nothing else: no clock, no randomness, no timers, no process, no promises. Whatever it
 * needs of these comes in with its input, which is what makes it possible to simulate and to replay.
 */
import ts from 'typescript';
import { isTest, lineOf } from './source.mjs';

/** @typedef {import('./source.mjs').Problem} Problem */

const forbiddenNames = new Map(
  Object.entries({
    setTimeout: 'timers live in shells; the core has a timer wheel driven by `tick`',
    setInterval: 'timers live in shells; the core has a timer wheel driven by `tick`',
    setImmediate: 'timers live in shells; the core has a timer wheel driven by `tick`',
    queueMicrotask: 'the core is synchronous',
    Promise: 'the core is synchronous',
    process: 'the core knows no process',
    performance: 'time comes in with the input (`nowMs`)',
    crypto: 'randomness comes in with the input (`seed`)',
    randomUUID: 'ids come in with the input',
    console: 'the core tells by effects',
    fetch: 'the core does no I/O',
  }),
);
const forbiddenCalls = new Map(
  Object.entries({
    'Date.now': 'time comes in with the input (`nowMs`, `wallMs`)',
    'Math.random': 'randomness comes in with the input (`seed`)',
  }),
);

/**
 * @param {readonly import('./source.mjs').Source[]} sources
 * @returns {Problem[]}
 */
export function checkPurity(sources) {
  /** @type {Problem[]} */
  const problems = [];
  for (const { path, tree } of sources) {
    if (!path.startsWith('src/core/') || isTest(path)) continue;
    /** @param {ts.Node} node @param {string} what @param {string} why */
    const report = (node, what, why) => void problems.push({ path, line: lineOf(tree, node), rule: 'purity', message: `${what}: ${why}` });
    /** @param {ts.Node} node */
    const visit = (node) => {
      if (ts.isPropertyAccessExpression(node)) {
        const why = forbiddenCalls.get(node.getText(tree));
        if (why) report(node, node.getText(tree), why);
      } else if (ts.isNewExpression(node) && node.expression.getText(tree) === 'Date') {
        report(node, 'new Date()', 'times are plain numbers here');
      } else if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier)) {
        report(node, 'await', 'the core is synchronous');
      } else if (node.kind === ts.SyntaxKind.AsyncKeyword) {
        report(node, 'async', 'the core is synchronous');
      } else if (ts.isIdentifier(node) && isReference(node)) {
        const why = forbiddenNames.get(node.text);
        if (why) report(node, node.text, why);
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  return problems;
}

/**
 * Does this identifier mean the global, and not somebody's property or member of that name?
 * @param {ts.Identifier} node
 */
function isReference(node) {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent)) return parent.name !== node;
  return !(ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent) || ts.isQualifiedName(parent));
}
