// @ts-check
/**
 * Every error code that src/ uses has its heading in docs/reference/errors.md, and every heading there a use: an error
 * sends its reader to that page, which must not let them down. The heading is the code alone, since the link ends in it.
 */
import ts from 'typescript';
import { isTest, lineOf } from './source.mjs';

/** @typedef {import('./source.mjs').Problem} Problem */

export const errorsPage = 'docs/reference/errors.md';

/**
 * @param {readonly import('./source.mjs').Source[]} sources
 * @param {import('./source.mjs').File | undefined} page
 * @returns {Problem[]}
 */
export function checkErrorCodes(sources, page) {
  /** @type {Map<string, { path: string, line: number }>} the first use of each */
  const used = new Map();
  for (const { path, tree } of sources) {
    if (!path.startsWith('src/') || isTest(path)) continue;
    /** @param {ts.Node} node */
    const visit = (node) => {
      if (ts.isStringLiteral(node) && /^SH\d{4}$/.test(node.text) && !used.has(node.text)) {
        used.set(node.text, { path, line: lineOf(tree, node) });
      }
      ts.forEachChild(node, visit);
    };
    visit(tree);
  }
  const headings = new Map((page?.text ?? '').split('\n').flatMap((text, index) => headingCode(text, index + 1)));
  const undocumented = [...used].filter(([code]) => !headings.has(code));
  const unused = [...headings].filter(([code]) => !used.has(code));
  return [
    ...undocumented.map(([code, at]) => ({ ...at, rule: 'errors', message: `${code} has no heading in ${errorsPage}` })),
    ...unused.map(([code, line]) => ({ path: errorsPage, line, rule: 'errors', message: `${code} is used nowhere in src/` })),
  ];
}

/**
 * @param {string} text
 * @param {number} line
 * @returns {[string, number][]}
 */
function headingCode(text, line) {
  const code = /^#+ (SH\d{4})$/.exec(text)?.[1];
  return code ? [[code, line]] : [];
}
