/**
 * The simulator's own budget in `npm test`: fresh seeds, those that once failed, and that a seed is repeatable. What it can
 * see at all is shown by its mutants (`npm run sim -- --mutants`).
 */
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { corpus, corpusOfFiles } from './corpus.ts';
import { runFiles } from './files/schedule.ts';
import { listing } from './listing.ts';
import { type Mutant, mutants } from './mutants.mjs';
import { faultKinds } from './plan.ts';
import { probeCounts } from './probes.ts';
import { rules } from './rules.ts';
import { type Outcome, runSchedule } from './schedule.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const freshCount = 120;
const fresh = Math.floor(Date.now() / 1000);
const leaks = { now: Date.now, random: Math.random, randomBytes: crypto.randomBytes, randomInt: crypto.randomInt };
const mono = performance.now.bind(performance);

/** While a schedule runs, whoever asks the real world for time or chance fails. */
function closeWorld(): void {
  const leak = (what: string) => (): never => {
    throw new Error(`${what} leaks into the simulation`);
  };
  Date.now = leak('Date.now');
  Math.random = leak('Math.random');
  performance.now = leak('performance.now');
  crypto.randomBytes = leak('randomBytes') as unknown as typeof crypto.randomBytes;
  crypto.randomInt = leak('randomInt') as unknown as typeof crypto.randomInt;
  syncBuiltinESMExports();
}

function openWorld(): void {
  Date.now = leaks.now;
  Math.random = leaks.random;
  performance.now = mono;
  crypto.randomBytes = leaks.randomBytes;
  crypto.randomInt = leaks.randomInt;
  syncBuiltinESMExports();
}

async function inClosedWorld<T>(act: () => Promise<T>): Promise<T> {
  closeWorld();
  try {
    return await act();
  } finally {
    openWorld();
  }
}

function run(...schedule: Parameters<typeof runSchedule>): Promise<Outcome> {
  return inClosedWorld(() => runSchedule(...schedule));
}

async function expectGoodFiles(seed: number): Promise<void> {
  const { error, invariant } = await inClosedWorld(() => runFiles(seed));
  if (error) throw new Error(`${invariant}: npm run sim -- --files --seed ${seed}`, { cause: error });
}

async function expectGood(seed: number): Promise<void> {
  const { error, invariant } = await run(seed);
  if (error) throw new Error(`${invariant}: npm run sim -- --seed ${seed}`, { cause: error });
}

/** They take seconds; another program's load is no failure. */
const busyMachineMs = 600_000;

const { stackTraceLimit } = Error;
beforeAll(() => void (Error.stackTraceLimit = 0));
afterAll(() => void (Error.stackTraceLimit = stackTraceLimit));

test(
  `${freshCount} fresh schedules keep all invariants, from seed ${fresh}`,
  async () => {
    for (let seed = fresh; seed < fresh + freshCount; seed++) await expectGood(seed);
  },
  busyMachineMs,
);

test(
  `${freshCount} fresh schedules of the file journal keep what it owes, from seed ${fresh}`,
  async () => {
    for (let seed = fresh; seed < fresh + freshCount; seed++) await expectGoodFiles(seed);
  },
  busyMachineMs,
);

test(
  'fresh schedules come by the places where rules matter',
  async () => {
    const missed = (): string[] => rules.flatMap(({ reached }) => (reached === undefined || probeCounts().has(reached) ? [] : [reached]));
    // The rarest of them comes once in thirty schedules.
    for (let seed = fresh + freshCount; missed().length > 0 && seed < fresh + 4 * freshCount; seed++) await expectGood(seed);
    expect(missed()).toEqual([]);
  },
  busyMachineMs,
);

test('each rule of the design has a probe or a reason, and each hole a mutant or a reason', () => {
  const numbers = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at + 1}`);
  expect(rules.map(({ id }) => id)).toEqual([...numbers('rule ', 15), ...numbers('H', 19)]);
  expect(rules.filter(({ reached, instead }) => reached === undefined && instead === undefined)).toEqual([]);
  const planted = new Set(mutants.flatMap(({ rule }) => rule.match(/\bH\d+/g) ?? []));
  const unplanted = rules.filter(({ id, instead }) => id.startsWith('H') && instead === undefined && !planted.has(id));
  expect(unplanted.map(({ id }) => id)).toEqual([]);
});

test('what a mutant switches off is there, once', () => {
  const timesIn = ({ file, find }: Mutant): number => readFileSync(join(root, file), 'utf8').split(find).length - 1;
  expect(mutants.filter((mutant) => timesIn(mutant) !== 1).map(({ id }) => id)).toEqual([]);
});

test('the page about testing lists rules and mutants as they are', () => {
  const page = readFileSync(join(root, 'docs/explanation/how-we-test.md'), 'utf8');
  expect(listing(rules, mutants).filter((line) => !page.includes(`${line}\n`))).toEqual([]);
});

test.each(corpus)('seed $seed: $showed', async ({ seed }) => {
  await expectGood(seed);
});

test.each(corpusOfFiles)('files, seed $seed: $showed', async ({ seed }) => {
  await expectGoodFiles(seed);
});

test('a seed is repeatable, step by step', async () => {
  for (const seed of [3, 77, 4_711]) {
    const steps: string[] = [];
    const first = await run(seed, {}, { onStep: (line) => steps.push(line) });
    const again: string[] = [];
    const second = await run(seed, {}, { onStep: (line) => again.push(line) });
    expect(again).toEqual(steps);
    expect(second.hash).toBe(first.hash);
    expect(second.events).toBe(first.events);
  }
  for (const seed of [3, 77]) {
    const [steps, again]: [string[], string[]] = [[], []];
    const first = await inClosedWorld(() => runFiles(seed, (line) => steps.push(line)));
    const second = await inClosedWorld(() => runFiles(seed, (line) => again.push(line)));
    expect(again).toEqual(steps);
    expect(second).toEqual(first);
  }
});

test('a failure is shrunk to few tasks and few faults, and its trace has it again', () => {
  const sim = (...args: string[]): string =>
    spawnSync(process.execPath, ['scripts/sim.mjs', '--plant', 'worker-runs-twice', ...args], { cwd: root, encoding: 'utf8' }).stdout;
  const folder = mkdtempSync(join(tmpdir(), 'shoal-shrink-'));
  try {
    const trace = join(folder, 'trace.json');
    const told = sim('--from', '1', '--count', '200', '--trace', trace);
    const [, seed, invariant] = /^seed (\d+) violates (\S+) .* at commit [0-9a-f]{12}/m.exec(told)!;
    expect(told).toContain(`npm run sim -- --seed ${seed}`);
    const [, tasks, faults] = /shrunk in \d+ runs to (\d+) tasks, .* (\d+) faults/.exec(told)!;
    expect(Number(tasks)).toBeLessThanOrEqual(6);
    expect(Number(faults)).toBeLessThanOrEqual(15);
    const again = sim('--replay', trace, '--steps');
    expect(again).toContain(`seed ${seed} violates ${invariant}`);
    expect(again).toMatch(/ starts \S+, attempt 1/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('without faults each schedule is short, and all its jobs end well', async () => {
  const off = new Set(faultKinds);
  for (let seed = 1; seed <= 20; seed++) {
    const { error, virtualMs, plan } = await run(seed, { off });
    expect(error).toBeUndefined();
    expect(virtualMs).toBeLessThan(plan.stormMs + 20_000);
  }
});
