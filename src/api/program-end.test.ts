/** Programs that never close their cluster: they end when they wait for nothing of it. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import { RawClient, tokenOf } from './api.suite.ts';
import { serving } from './client-line.suite.ts';

const served = serving(() => ({ broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() }));
const started: Program[] = [];
afterEach(async () => {
  for (const program of started.splice(0)) await program.end();
});

class Program {
  readonly child;
  readonly code: Promise<number | null>;
  private readonly lines;

  constructor(port: number, what: string) {
    const { NODE_OPTIONS: _, ...rest } = process.env;
    const env = { ...rest, SHOAL_QUIET: '1', SHOAL_ADDRESS: `http://127.0.0.1:${port}`, SHOAL_TOKEN: tokenOf('client') };
    const file = fileURLToPath(new URL('./fixtures/ends-by-itself.mjs', import.meta.url));
    this.child = spawn(process.execPath, [file, what], { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.code = new Promise((resolve) => this.child.once('close', resolve));
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    started.push(this);
  }

  async line(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`ended with ${await this.code}`);
    return value;
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.code;
  }
}

test('one that waits for nothing ends, and closes its session', async () => {
  const { port, sessions } = await served();
  const program = new Program(port, 'go');
  const job = await program.line();
  const isClosed = new Promise<void>((resolve) => {
    const close = sessions[0]!.close.bind(sessions[0]);
    sessions[0]!.close = () => {
      close();
      resolve();
    };
  });
  expect(await program.code).toBe(0);
  await isClosed;
  const other = await RawClient.open(port, 'client');
  expect(await other.ask({ kind: 'query', request: 1, job })).toMatchObject({ value: { state: 'cancelled' } });
  other.socket.terminate();
});

test('one that waits for nothing ends while its coordinator is away', async () => {
  const { port, api } = await served();
  const program = new Program(port, 'stay');
  for (const _ of ['job', 'on']) await program.line();
  await api.close();
  program.child.stdin.end();
  expect(await program.code).toBe(0);
});

test('one that waits for a result goes on, also while its line breaks', async () => {
  const { port, sessions } = await served();
  const program = new Program(port, 'wait');
  const job = await program.line();
  await program.line();
  sessions[0]!.onClose({ code: 'SH3001', message: 'the line breaks' });
  const other = await RawClient.open(port, 'client');
  // Answered or not when the line broke, the program asks for the job again.
  while (sessions.length < 3) await other.ask({ kind: 'status', request: sessions.length + asked++ });
  await other.ask({ kind: 'cancel', request: 1, job, reason: 'enough' });
  expect(await program.line()).toBe('SH2005');
  expect(await program.code).toBe(0);
  other.socket.terminate();
});

let asked = 10;
