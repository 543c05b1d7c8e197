// @ts-check
/**
 * Runs the suites of all brokers on their real servers and writes what they showed into docs/reference/brokers.md, below its
 * marker. Takes some minutes.
 *
 *   node scripts/broker-matrix.mjs
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ ancestorTitles: string[], title: string, status: string }} Test as vitest reports it
 * @typedef {Map<string, Map<string, string>>} Section rows by title, each with a status by broker
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'docs/reference/brokers.md');
const marker = '<!-- from here on written by scripts/broker-matrix.mjs -->';
const files = ['memory', 'ws/ws', 'redis', 'rabbitmq', 'nats', 'kafka'].map((name) => `src/brokers/${name}.test.ts`);

/** Names of suites that mean the same broker. */
const columns = {
  memory: 'memory:',
  'ws:': 'ws:',
  'redis:': 'Redis',
  'valkey:': 'Valkey',
  'amqp:': 'RabbitMQ',
  'nats:': 'NATS',
  'kafka:': 'Kafka',
};
const sections = [
  { heading: 'What every broker does', suite: /^broker (\S+)$/, text: 'Between two ends of one, in one process or over its server.' },
  {
    heading: 'What every message system does',
    suite: /^carrier (\S+)$/,
    text: 'Over the real server, which is restarted, killed and stopped meanwhile.',
  },
  {
    heading: 'What every cluster survives',
    suite: /^a cluster over (\S+)$/,
    text: `A coordinator, two workers and a client as processes; a job has to give the exact answer. For \`ws:\` what befalls "the
server" befalls the way to the coordinator's port. What names a system's own settings is asked of that system alone.`,
  },
];
const marks = /** @type {Record<string, string>} */ ({ passed: 'yes', failed: '**no**', skipped: 'not run', pending: 'not run' });

const tests = await runSuites();
const [head] = readFileSync(page, 'utf8').split(marker);
writeFileSync(page, `${head}${marker}\n\n${sections.map((section) => show(section)).join('\n')}`);
process.exitCode = tests.some(({ status }) => status === 'failed') ? 1 : 0;

/** @returns {Promise<Test[]>} */
async function runSuites() {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-matrix-'));
  const output = join(folder, 'results.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile=${output}`, ...files, 'test/brokers'];
  await once(spawn(process.execPath, args, { cwd: root, stdio: 'inherit' }), 'exit');
  /** @type {{ testResults: { assertionResults: Test[] }[] }} */
  const { testResults } = JSON.parse(readFileSync(output, 'utf8'));
  rmSync(folder, { recursive: true });
  return testResults.flatMap(({ assertionResults }) => assertionResults);
}

/** @param {typeof sections[number]} section */
function show({ heading, suite, text }) {
  /** @type {Section} */
  const rows = new Map();
  const shown = new Set();
  for (const { ancestorTitles, title, status } of tests) {
    // Suites lie within suites: the innermost is what is shown.
    const name = suite.exec(ancestorTitles.at(-1) ?? '')?.[1];
    const column = columns[/** @type {keyof typeof columns} */ (name)];
    if (column === undefined) continue;
    shown.add(column);
    const row = rows.get(title) ?? new Map();
    rows.set(title, row.set(column, marks[status] ?? status));
  }
  const names = Object.values(columns).filter((name) => shown.has(name));
  const lines = [...rows]
    // What all are asked stands first.
    .sort(([, one], [, other]) => other.size - one.size)
    .map(([title, row]) => `| ${title.replaceAll('|', '\\|')} | ${names.map((name) => row.get(name) ?? '–').join(' | ')} |`);
  return [`## ${heading}`, '', text, '', `| | ${names.join(' | ')} |`, `|---|${names.map(() => '---|').join('')}`, ...lines, ''].join('\n');
}
