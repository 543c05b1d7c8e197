// @ts-check
/**
 * What the rules know of a source file: its imports, its exports and its syntax tree, parsed once. Rules take an array
 * of these and give back problems; they read no files themselves, so that their tests can feed them bad examples.
 */
import { posix } from 'node:path';
import ts from 'typescript';

/**
 * @typedef {{ path: string, text: string }} File path relative to the root, with `/`
 * @typedef {{ path: string, line: number, rule: string, message: string }} Problem
 * @typedef {object} Import
 * @property {string} specifier as written
 * @property {string | undefined} path the file meant, for a relative one
 * @property {'all' | string[]} names
 * @property {boolean} erased types only: nothing is loaded
 * @property {number} line
 * @typedef {object} Source
 * @property {string} path
 * @property {ts.SourceFile} tree
 * @property {Import[]} imports re-exports, `import()`, `import('…').Type` and `new URL('./x.ts', import.meta.url)`-like strings too
 * @property {{ name: string, line: number }[]} values exported functions, classes and constants, not types
 */

/**
 * Tests, the suites that several of them share, and test doubles.
 * @param {string} path
 */
export const isTest = (path) => /\.(test|suite|double)\.ts$/.test(path);

/** @param {string} path */
export const isGenerated = (path) => /_pb(\.d)?\.[jt]s$/.test(path);

/**
 * @param {ts.SourceFile} tree
 * @param {ts.Node} node
 */
export function lineOf(tree, node) {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
}

/**
 * @param {File} file
 * @returns {Source}
 */
export function parse(file) {
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ESNext, true);
  /** @type {Import[]} */
  const imports = [];
  /** @type {Source['values']} */
  const values = [];

  /** @param {ts.Node} at @param {string} specifier @param {Import['names']} names @param {boolean} [erased] */
  const addImport = (at, specifier, names, erased = false) => {
    const path = specifier.startsWith('.') ? posix.join(posix.dirname(file.path), specifier) : undefined;
    // What is built mirrors what it was built from.
    imports.push({ specifier, path: path?.replace(/^dist\/(.*)\.js$/, 'src/$1.ts'), names, erased, line: lineOf(tree, at) });
  };

  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      addImport(
        node,
        node.moduleSpecifier.text,
        importedNames(node.importClause),
        node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword,
      );
      return;
    }
    if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.exportClause;
      addImport(
        node,
        node.moduleSpecifier.text,
        clause && ts.isNamedExports(clause) ? clause.elements.map(originalName) : 'all',
        node.isTypeOnly,
      );
      return;
    }
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
      addImport(node, node.argument.literal.text, 'all', true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments;
      if (specifier && ts.isStringLiteral(specifier)) addImport(node, specifier.text, 'all');
    } else if (ts.isStringLiteral(node) && /^\.{1,2}\/.*\.ts$/.test(node.text) && !isSpecifier(node)) {
      // A thread's or child's entry file, named relative to import.meta.url.
      addImport(node, node.text, 'all');
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);

  for (const statement of tree.statements) {
    if (!ts.canHaveModifiers(statement)) continue;
    if (!ts.getModifiers(statement)?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword)) continue;
    if ((ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name) {
      values.push({ name: statement.name.text, line: lineOf(tree, statement.name) });
    } else if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) {
        if (ts.isIdentifier(name)) values.push({ name: name.text, line: lineOf(tree, name) });
      }
    }
  }
  return { path: file.path, tree, imports, values };
}

/**
 * Of an `import()` or an `import('…').Type`, which have been seen as such.
 * @param {ts.StringLiteral} node
 */
function isSpecifier({ parent }) {
  if (ts.isCallExpression(parent)) return parent.expression.kind === ts.SyntaxKind.ImportKeyword;
  return ts.isLiteralTypeNode(parent) && ts.isImportTypeNode(parent.parent);
}

/**
 * @param {ts.ImportClause | undefined} clause
 * @returns {Import['names']}
 */
function importedNames(clause) {
  if (!clause?.namedBindings) return [];
  return ts.isNamedImports(clause.namedBindings) ? clause.namedBindings.elements.map(originalName) : 'all';
}

/** @param {ts.ImportSpecifier | ts.ExportSpecifier} element */
function originalName(element) {
  return (element.propertyName ?? element.name).text;
}
