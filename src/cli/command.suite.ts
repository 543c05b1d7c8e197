/** The built command in a folder of its own, as a user has it: programs to write, and what a command says until it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach } from 'vitest';

const bin = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url));
const running = new Set<ChildProcess>();

/** Gone when the tests of the file are. */
export const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shoal-run-')));

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

export function program(name: string, text: string): void {
  writeFileSync(join(folder, name), `import { appendFileSync } from 'node:fs';\nimport { main, task } from 'shoal';\n${text}`);
}

export interface Run {
  child: ChildProcess;
  stdout: string;
  stderr: string;
  /** Resolves when a stream has said it. */
  said(stream: 'stdout' | 'stderr', text: string): Promise<void>;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>;
}

/** `stdout`: a file that is open, instead of what the run tells. */
export function shoal(args: readonly string[], env: Record<string, string> = {}, stdout: 'pipe' | number = 'pipe'): Run {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(SHOAL_|NODE_OPTIONS|NO_COLOR|FORCE_COLOR)/.test(name));
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: folder,
    env: { ...Object.fromEntries(inherited), SHOAL_CACHE: join(folder, 'cache'), ...env },
    stdio: ['ignore', stdout, 'pipe'],
  });
  running.add(child);
  const waiting = new Set<() => void>();
  const run: Run = {
    child,
    stdout: '',
    stderr: '',
    said: (stream, text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!run[stream].includes(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    ended: once(child, 'close').then(([code, signal]) => {
      running.delete(child);
      return { code, signal, stdout: run.stdout, stderr: run.stderr };
    }),
  };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      run[stream] += text;
      for (const look of [...waiting]) look();
    });
  }
  return run;
}
