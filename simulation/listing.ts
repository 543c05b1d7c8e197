/** Rules and mutants as lines of a table, for docs/explanation/how-we-test.md: `npm run sim -- --list` prints them. */
import type { Mutant } from './mutants.mjs';
import type { Rule } from './rules.ts';

export function listing(rules: readonly Rule[], mutants: readonly Mutant[]): string[] {
  return [
    ...rules.map(({ id, says, reached = '—', instead = '' }) => `| ${id} | ${says} | ${reached} | ${instead} |`),
    ...mutants.map(({ id, rule, budget }) => `| \`${id}\` | ${rule} | ${budget} |`),
  ];
}
