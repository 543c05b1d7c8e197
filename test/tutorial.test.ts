/**
 * docs/tutorial.md and docs/tutorial-cluster.md word for word, as somebody who is new here does them: what the blocks say today is
 * typed in an empty project that has the package. Port 7690 and the name of the coordinator are those of the pages, so the
 * project is on a machine of its own. Each test begins where the one before ended, as a reader does.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import ts from 'typescript';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { cpuMsOf, OwnNetwork, pressCtrlC, shoalOf } from './own-network.ts';
import { installPacked, type Packed, root } from './packed.ts';
import { linesWith, Walk } from './pages.ts';
import { childrenOf, type Running } from './running.ts';

// Through npx, on a machine that has other things to do, each command takes seconds.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const first = new Walk('docs/tutorial.md');
const second = new Walk('docs/tutorial-cluster.md');
const programs = ['A task, and many inputs', 'Combine where the results are', 'When something goes wrong'].map((heading) => ({
  heading,
  blocks: first.under(heading, 'ts', ''),
}));
const longest = sessionOf(programs[1]!.blocks[1]);
const [runWithJournal] = first.under('Stop and go on', '');
const [startCoordinator, welcome] = second.under('A coordinator', '', '');
const [startWorker, showStatus] = second.under('Workers', '', '');
const [submit, jobs] = second.under('The same program', '', '');
const [listJobs, watchJob, explainJob] = linesWith(jobs, 'jobs list', 'jobs watch JOB', 'explain JOB');
const [submitPrimes, primesCount] = second.says(/`(npx shoal submit \S+ \d+)` prints `(\d+)`/);
const [startSecure, others] = second.under('Other machines', '', '');
const [workElsewhere, submitElsewhere] = linesWith(others, 'shoal worker', 'shoal submit');
const [findOut] = second.says(/`(npx shoal doctor)` finds out what is wrong when something is/);
const [tasksModule, startWithTasks, client] = second.under('Code that workers have', 'ts', '', 'ts');
const [clientFile, runClient, clientPrints] = second.says(/as `(\w+\.ts)`, it is run by `(npx shoal run \S+)`, and prints `(\S+)`/);
const [dev] = second.under('While you write', '');

let packed: Packed | undefined;
let network: OwnNetwork | undefined;
let noNetwork: string | undefined;

beforeAll(async () => {
  packed = await installPacked();
  cpSync(join(root, 'examples/primes.ts'), join(packed.project, 'examples/primes.ts'));
  mkdirSync(join(packed.project, 'tmp'));
  network = await OwnNetwork.open(packed.project, ['coordinator.internal']).catch((error: Error) => {
    noNetwork = error.message;
    return undefined;
  });
});
afterAll(async () => {
  await network?.close();
  await packed?.remove();
});

describe('the first ten minutes', () => {
  beforeEach((context) => context.skip(noNetwork !== undefined, `no network namespaces here: ${noNetwork}`));

  it.each(programs)('$heading', async ({ blocks: [program, session] }) => {
    const { command, output } = sessionOf(session);
    write(programIn(command), program);
    const running = type(command);
    await running.ended;
    expect(running.stdout, running.stderr).toBe(output);
  });

  it('Stop and go on', async () => {
    const run = (): Running => type(runWithJournal, { SHOAL_PROGRESS: 'json' });
    const interrupted = run();
    await interrupted.said(/"succeeded":[1-9]/);
    await stop(interrupted);
    expect(interrupted.stderr).toMatch(/interrupted; what is done is kept/);

    const killed = run();
    const before = await recoveredOf(killed);
    await killed.said(new RegExp(`"succeeded":(?!${before},)`));
    await kill(killed);
    const again = run();
    expect(await recoveredOf(again)).toBeGreaterThan(before);
    await stop(again);
  });
});

describe('from one machine to a cluster', () => {
  beforeEach((context) => context.skip(noNetwork !== undefined, `no network namespaces here: ${noNetwork}`));

  let coordinator: Running;
  const workers: Running[] = [];

  it('A coordinator', async () => {
    coordinator = await started(type(startCoordinator));
    const shown = coordinator.stderr.replace(/^\d\d:\d\d:\d\d/, '14:02:11').replace(folder(), '/srv/project');
    expect(shown).toBe(welcome);
  });

  it('Workers', async () => {
    // One thread each: the primes are not to be through before we are unkind.
    for (let i = 0; i < 2; i++) workers.push(type(startWorker, { SHOAL_THREADS: '1' }));
    await Promise.all(workers.map((worker) => worker.said(/worker .*, running uploaded programs/)));
    await saysInTheEnd(showStatus, /^workers +2 live/m);
    expect(await answer(findOut!)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ok +workers +2 with 2 slots$/m) });
  });

  it('The same program', async () => {
    const { code, stdout } = await answer(submit);
    expect({ code, stdout }).toEqual({ code: 0, stdout: longest.output });
  });

  it('... while we are unkind to workers and coordinator', async () => {
    second.says(/Kill a worker with `kill -9`.* Start another worker .* Kill the coordinator with `kill -9`/);
    const [victim] = workers as [Running];
    const busyMs = workMsOf(victim) + 200;
    const running = type(submitPrimes!);
    while (workMsOf(victim) < busyMs && !running.isOver) await later(5);
    await Promise.all([kill(victim), kill(coordinator)]);
    expect(running.stdout, 'it was through before anything was killed').toBe('');
    workers.splice(0, 1, type(startWorker, { SHOAL_THREADS: '1' }));
    coordinator = await started(type(startCoordinator));
    expect(await running.ended, running.stderr).toMatchObject({ code: 0 });
    expect(running.stdout).toBe(`${primesCount}\n`);
    await saysInTheEnd(showStatus, /^workers +2 live/m);
  });

  it('... and Ctrl-C detaches', async () => {
    second.says(/Press Ctrl-C in the program\. It \*detaches\*: the job goes on, and the message says how to watch it/);
    // Without workers it can't end before we have left.
    await Promise.all(workers.splice(0).map(stop));
    const running = type(submitPrimes!);
    await saysInTheEnd(listJobs, /primes\.count +queued +0 \/ 255 .*there is no worker$/m);
    await stop(running);
    const [, id] = await running.said(/detached; 1 job goes on at .*\n {2}shoal jobs watch (\S+)/);
    expect((await answer(listJobs)).stdout).toMatch(new RegExp(`^${id} +primes\\.count +queued .*there is no worker$`, 'm'));
    expect(await answer(explainJob.replace('JOB', id!))).toMatchObject({ code: 0, stdout: expect.stringContaining('there is no worker') });
    const watching = type(watchJob.replace('JOB', id!));
    workers.push(type(startWorker));
    expect(await watching.ended, watching.stderr).toMatchObject({ code: 0 });
    expect(watching.stderr).toMatch(/has succeeded: 255 done/);
    expect((await answer(explainJob.replace('JOB', id!))).stdout).toMatch(/has succeeded/);
  });

  it('Other machines', async () => {
    await stopCluster(coordinator, workers.splice(0));
    makeCertificate();
    coordinator = await started(type(startSecure));
    const [authority] = second.says(/`(NODE_EXTRA_CA_CERTS=\S+)` makes both trust it/);
    second.says(/in `\.shoal\/tokens`/);
    // Nothing of the user's own lies there.
    const elsewhere = { HOME: join(folder(), 'elsewhere') };
    const typed = (line: string, role: string): string => `${authority} ${line.replace('shoal_…', tokenOf(role))}`;
    const worker = type(typed(workElsewhere, 'worker'), elsewhere);
    const { code, stdout, stderr } = await answer(typed(submitElsewhere, 'admin'), elsewhere);
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: longest.output });
    second.says(/\| `client` \| submit jobs of tasks that workers have, .*as `client\+bundles` also upload programs \|/);
    const refused = answer(typed(submitElsewhere, 'client'), elsewhere);
    const doctor = (address: string) => answer(findOut!, { SHOAL_ADDRESS: address });
    const [untrusting, unencrypted] = [doctor('https://coordinator.internal:7690'), doctor('http://coordinator.internal:7690')];
    expect(await refused).toMatchObject({ code: 3, stderr: expect.stringContaining('client+bundles or admin token') });
    expect(await untrusting).toMatchObject({ code: 1, stdout: expect.stringContaining(authority!.split('=')[0]!) });
    expect(await unencrypted).toMatchObject({ code: 1, stdout: expect.stringContaining('try https:// instead of http://') });
    await stopCluster(coordinator, [worker]);
  });

  it('Code that workers have', async () => {
    // The network is ours alone, and 127.0.0.1 a part of it.
    const [plaintext] = second.says(/`(--insecure-plaintext)` in their place/);
    coordinator = await started(type(startSecure.replace(/--tls.*/, plaintext!)));
    write('dist/tasks.js', ts.transpile(tasksModule, { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }));
    write(clientFile!, client);
    const lacking = type(startWorker);
    const running = type(runClient!);
    const [, id] = await saysInTheEnd(listJobs, /^(\w+) +images\.resize +queued/m);
    await saysInTheEnd(explainJob.replace('JOB', id!), /no worker has the code of "images\.resize"/);
    const having = type(startWithTasks);
    expect(await running.ended, running.stderr).toMatchObject({ code: 0 });
    expect(running.stdout).toBe(`${clientPrints}\n`);
    await stopCluster(coordinator, [lacking, having]);
  });

  it('While you write', async () => {
    const { output } = longest;
    const running = type(dev);
    await running.said(/done; waiting for changes/);
    expect(running.stdout).toBe(output);
    const file = programIn(dev);
    write(file, `${readFileSync(join(folder(), file), 'utf8')}// Saved.\n`);
    await running.said(/has changed: once more[\s\S]*done; waiting for changes/);
    expect(running.stdout).toBe(output + output);
    await stop(running);
  });

  it('leaves nothing running behind Ctrl-C', async () => {
    while (network!.processes().length > 0) await later(20);
  });
});

it('no page has a block that nobody runs', () => {
  expect([...first.untaken, ...second.untaken]).toEqual([]);
});

/** A line behind a prompt, and what it prints. */
function sessionOf(text: string): { command: string; output: string } {
  const [, command, output] = /^\$ (.*)\n([\s\S]*)$/.exec(text)!;
  return { command: command!, output: output! };
}

const programIn = (command: string): string => /[\w/]+\.ts/.exec(command)![0];

const folder = (): string => packed!.project;

/** Types a line into a new terminal. */
function type(line: string, env: NodeJS.ProcessEnv = {}): Running {
  // What the machine says of Shoal, npm and users must not decide a test.
  const home = { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, HOME: join(folder(), 'home'), TMPDIR: join(folder(), 'tmp') };
  return network!.type(line, folder(), { ...home, ...env });
}

async function answer(line: string, env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const running = type(line, env);
  const { code } = await running.ended;
  return { code, stdout: running.stdout, stderr: running.stderr };
}

const patienceMs = 60_000;

/** Asks until the answer has it. */
async function saysInTheEnd(line: string, pattern: RegExp): Promise<RegExpExecArray> {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    const { stdout, stderr } = await answer(line);
    const match = pattern.exec(stdout);
    if (match) return match;
    if (performance.now() > deadlineMs) throw new Error(`${line} does not say ${pattern}:\n${stdout}${stderr}`);
  }
}

async function started(coordinator: Running): Promise<Running> {
  await coordinator.said(/ next .*\n.*shoal submit .*\n/);
  return coordinator;
}

/** Ctrl-C, and what was running has ended. */
async function stop(running: Running): Promise<void> {
  pressCtrlC(running);
  const { code, signal } = await running.ended;
  expect(signal === 'SIGINT' ? 130 : code, running.stderr).toBe(130);
}

/** Workers first: one that has not heard yet that its results are safe waits for its coordinator. */
async function stopCluster(coordinator: Running, workers: readonly Running[]): Promise<void> {
  await Promise.all(workers.map(stop));
  await stop(coordinator);
}

/** kill -9 of the program itself, not of the shell and npx before it. */
async function kill(running: Running): Promise<void> {
  process.kill(shoalOf(running)!, 'SIGKILL');
  await running.ended;
}

/** How long the process of a worker that has the tasks has computed. */
function workMsOf(worker: Running): number {
  return childrenOf(shoalOf(worker)!).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
}

async function recoveredOf(running: Running): Promise<number> {
  const [, count] = await running.said(/"recovered":([1-9]\d*)/);
  return Number(count);
}

function write(name: string, text: string): void {
  mkdirSync(dirname(join(folder(), name)), { recursive: true });
  writeFileSync(join(folder(), name), text);
}

function tokenOf(role: string): string {
  const lines = readFileSync(join(folder(), '.shoal/tokens'), 'utf8').split('\n');
  return lines.map((line) => line.split(/\s+/)).find(([name]) => name === role)![1]!;
}

/** ca.pem, and cert.pem with key.pem that it has signed. */
function makeCertificate(): void {
  const openssl = (line: string): void => void execFileSync('openssl', line.split(' '), { cwd: folder(), stdio: 'pipe' });
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  openssl(`req -x509 ${key} -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2`);
  const name = 'coordinator.internal';
  openssl(`req ${key} -keyout key.pem -out request.pem -subj /CN=${name} -addext subjectAltName=DNS:${name}`);
  openssl('x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -copy_extensions copy -days 2 -out cert.pem');
}
