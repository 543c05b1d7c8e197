// @ts-check
/**
 * Exported functions, classes and constants of src/ that nobody imports, tests included. Types are left alone: they
 * are often part of what an exported value says.
 */

/** @typedef {import('./source.mjs').Problem} Problem */

/**
 * @param {readonly import('./source.mjs').Source[]} sources
 * @param {ReadonlySet<string>} entries files that users or Node load by name
 * @returns {Problem[]}
 */
export function checkDeadExports(sources, entries) {
  /** @type {Map<string, Set<string> | 'all'>} */
  const used = new Map();
  for (const { imports } of sources) {
    for (const { path, names } of imports) {
      if (!path) continue;
      const known = used.get(path) ?? new Set();
      if (names === 'all' || known === 'all') used.set(path, 'all');
      else used.set(path, new Set([...known, ...names]));
    }
  }
  return sources.flatMap(({ path, values }) => {
    const names = used.get(path);
    if (!path.startsWith('src/') || entries.has(path) || names === 'all') return [];
    return values
      .filter(({ name }) => !names?.has(name))
      .map(({ name, line }) => ({ path, line, rule: 'dead', message: `${name} is exported, and nobody imports it` }));
  });
}
