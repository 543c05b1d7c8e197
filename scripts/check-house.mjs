// @ts-check
/**
 * The house rules as a program. Reads every file that git keeps or would keep, runs each rule of scripts/house/ over
 * them, and fails with one line a problem.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkDeadExports } from './house/dead-exports.mjs';
import { checkErrorCodes, errorsPage } from './house/error-codes.mjs';
import { checkPurity } from './house/purity.mjs';
import { checkCycles, checkDirections } from './house/rooms.mjs';
import { parse } from './house/source.mjs';
import { checkHiddenTests, checkLeaks, checkSizes } from './house/text.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const textKinds = /\.(ts|mjs|js|json|jsonc|md|proto|ya?ml|html|css|sh)$|(^|\/)(\.ci\/run|\.npmrc|\.nvmrc|LICENSE)$/;

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((path) => textKinds.test(path) && existsSync(join(root, path)))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const sources = files.filter(({ path }) => path.endsWith('.ts')).map(parse);

const problems = [
  ...checkDirections(sources),
  ...checkCycles(sources),
  ...checkPurity(sources),
  ...checkDeadExports(sources, entries()),
  ...checkErrorCodes(
    sources,
    files.find(({ path }) => path === errorsPage),
  ),
  ...checkSizes(files),
  ...checkLeaks(files),
  ...checkHiddenTests(sources),
];
for (const { path, line, rule, message } of problems) console.error(`${path}:${line}  ${rule}  ${message}`);
console.log(problems.length === 0 ? `${files.length} files keep the house rules` : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** What package.json names, in src/. */
function entries() {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const built = [
    ...Object.values(exports).flatMap((target) => (typeof target === 'object' ? [target.default] : [])),
    ...Object.values(bin),
  ];
  return new Set(built.map((path) => path.replace(/^(\.\/)?dist\//, 'src/').replace(/\.js$/, '.ts')));
}
