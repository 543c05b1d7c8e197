/** What commands print with --json is what docs/reference/schemas promises, each command asked of a real cluster. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineAdmin } from '../../src/cli/admin/define.ts';
import { type Setting, startSetting } from './setting.ts';

const folder = fileURLToPath(new URL('../../docs/reference/schemas/', import.meta.url));
const ajv = new Ajv2020({ allErrors: true, strict: true });
for (const file of readdirSync(folder)) ajv.addSchema(JSON.parse(readFileSync(join(folder, file), 'utf8')));

function problemsOf(schema: string, value: unknown): unknown[] {
  const validate = ajv.getSchema(`${schema}.json`);
  if (!validate) throw new Error(`there is no schema ${schema}`);
  return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message, params }) => ({ instancePath, message, params }));
}

/** In this order: the later ones change what the earlier ones look at. */
const commands: readonly [command: string, schema: string, shape?: object][] = [
  ['status', 'status', { durability: 'host', workers: { live: 1 }, jobs: { failed: 1 } }],
  ['doctor', 'doctor', { ok: true }],
  ['explain open', 'explain', { state: 'running' }],
  ['explain day/2024/11 1', 'explain', { state: 'dead' }],
  ['jobs list', 'jobs-list'],
  ['jobs list --limit 1', 'jobs-list', { next: expect.any(String) }],
  ['jobs list --state expired', 'jobs-list', { jobs: [] }],
  ['jobs get open', 'jobs-get', { key: 'open', state: 'running' }],
  ['jobs get day/2024/11', 'jobs-get', { state: 'failed', error: { code: 'SH2001' } }],
  ['jobs watch done', 'jobs-get', { succeeded: 3 }],
  ['jobs result sum', 'jobs-result'],
  ['jobs logs done', 'jobs-logs', { task: 'cli.double', level: 'info' }],
  ['tasks list day/2024/11', 'tasks-list', { tasks: [{ state: 'done' }, { state: 'dead' }, {}] }],
  ['tasks list done --limit 1', 'tasks-list', { next: '0/0' }],
  ['tasks get day/2024/11/0/1', 'tasks-get', { state: 'dead', history: [{ how: 'failed' }] }],
  ['workers list', 'workers-list', { workers: [{ worker: 'w1', labels: { zone: 'a' } }] }],
  ['workers get w1', 'workers-get', { status: 'live' }],
  ['dlq list', 'dlq-list', { letters: [{ task: 'cli.picky' }, { task: 'cli.picky' }] }],
  ['dlq get tolerated/0/1', 'tasks-get', { state: 'dead' }],
  ['queues list', 'queues-list', { queues: [{ queue: 'default', paused: false }] }],
  ['queues pause default --if-match 0', 'queues-set', { paused: true, version: 1 }],
  ['status', 'status', { queues: [{ paused: true }] }],
  ['queues resume default', 'queues-set', { paused: false }],
  ['dlq replay tolerated 1', 'dlq-replay', { stage: 0, index: 1, replayed: 1 }],
  ['dlq purge day/2024/11 --if-match 0', 'dlq-purge', { purged: 1, version: 1 }],
  ['jobs replay done --if-match 0', 'jobs-replay', { replayed: 0, version: 0 }],
  ['jobs cancel open --if-match 0', 'jobs-cancel', { cancelled: true, state: 'cancelled', version: 1 }],
  ['jobs delete done --if-match 0', 'jobs-delete', { deleted: true }],
  ['workers drain w1', 'workers-drain', { worker: 'w1' }],
];

let setting: Setting;
beforeAll(async () => {
  setting = await startSetting();
});
afterAll(() => setting?.cluster.close());

describe('--json of', () => {
  it.each(commands)('%s fits its schema, alone on stdout', async (command, schema, shape) => {
    const { code, stdout, stderr } = await setting.cluster.shoal(...command.split(' '), '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.trimEnd().split('\n');
    if (schema !== 'jobs-logs') expect(lines).toHaveLength(1);
    for (const line of lines) expect(problemsOf(schema, JSON.parse(line))).toEqual([]);
    if (shape) expect(JSON.parse(lines[0]!)).toMatchObject(shape);
  });

  it('is looked at for every command, and every schema is used', () => {
    const program = new Command();
    defineAdmin(program);
    const leaves = program.commands.flatMap((noun) =>
      noun.commands.length === 0 ? [noun.name()] : noun.commands.map((verb) => `${noun.name()} ${verb.name()}`),
    );
    const missing = leaves.filter((leaf) => !commands.some(([command]) => command === leaf || command.startsWith(`${leaf} `)));
    expect(missing).toEqual([]);
    const used = new Set(commands.map(([, schema]) => `${schema}.json`));
    expect(readdirSync(folder).filter((file) => !used.has(file))).toEqual([
      'common.json',
      'problem.json',
      'program-event.json',
      'server-event.json',
    ]);
  });
});

it.each([
  ['jobs get nothing', 1, 'SH1401'],
  ['tasks get odd/9/9', 1, 'SH1409'],
  ['workers get w9', 1, 'SH1410'],
  ['dlq get odd 0', 1, 'SH1412'],
  ['jobs cancel open --if-match 7', 1, 'SH1414'],
  ['jobs delete odd --if-match -1', 2, 'SH1311'],
  ['jobs lst', 2, 'SH1311'],
  ['jobs', 2, 'SH1311'],
  ['jobs get', 2, 'SH1311'],
  ['status --address http://127.0.0.1:1', 3, 'SH3001'],
])('an error of %s is a problem on stderr, exit code %i', async (command, exitCode, problem) => {
  const { code, stdout, stderr } = await setting.cluster.shoal(...command.split(' '), '--json');
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
  expect(JSON.parse(stderr)).toMatchObject({ code: problem });
  expect(problemsOf('problem', JSON.parse(stderr))).toEqual([]);
});

describe('lines on stderr with --json', () => {
  const program = `
    import { main, task } from 'shoal';
    export const say = task('json.say', (n: number) => {
      console.log('saying', n);
      if (n === 3) throw new Error('no threes');
      return n;
    });
    main(async ({ args }) => console.log((await say.map([1, 2, Number(args[0])]).toArray()).length));`;
  let file: string;
  beforeAll(() => {
    file = join(setting.cluster.folder, 'json.ts');
    writeFileSync(file, program);
  });

  const linesOf = (text: string): { type: string }[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string });
  const expectEvents = (lines: readonly { type: string }[]): void => {
    for (const line of lines) expect(problemsOf('title' in line && 'code' in line ? 'problem' : 'program-event', line)).toEqual([]);
  };

  it.each([
    ['run', '4', 0],
    ['run', '3', 1],
    ['submit', '4', 0],
    ['submit', '3', 1],
  ])('of shoal %s … %s fit their schema', async (verb, argument, exitCode) => {
    setting.cluster.addWorker({ args: ['--allow-bundles'], threads: 1 });
    const where = verb === 'submit' ? ['--address', setting.cluster.address] : [];
    const { code, stderr } = await setting.cluster.shoal(verb, ...where, '--json', '--progress', 'json', file, argument);
    expect(code).toBe(exitCode);
    const lines = linesOf(stderr);
    expectEvents(lines);
    const types = new Set(lines.map(({ type }) => type));
    expect(types).toContain('job');
    expect(types).toContain('progress');
    if (exitCode === 0) expect(types).toContain('log');
  });

  it('of a coordinator and a worker fit theirs', async () => {
    const coordinator = setting.cluster.run(['coordinator', '--listen', '127.0.0.1:0', '--journal', 'memory:', '--json']);
    await coordinator.said(/"type":"started"/);
    const { address } = JSON.parse(coordinator.stderr.split('\n')[0]!) as { address: string };
    const worker = setting.cluster.run(['worker', '--address', address, '--allow-bundles', '--json']);
    await worker.said(/"type":"started"/);
    worker.kill('SIGTERM');
    await worker.ended;
    coordinator.kill('SIGTERM');
    await coordinator.ended;
    for (const line of [...linesOf(coordinator.stderr), ...linesOf(worker.stderr)]) expect(problemsOf('server-event', line)).toEqual([]);
  });
});
