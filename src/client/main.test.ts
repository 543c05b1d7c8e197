import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

function start(program: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const file = fileURLToPath(new URL(`./fixtures/${program}.mjs`, import.meta.url));
  const { SHOAL_ADDRESS: _address, SHOAL_QUIET: _quiet, SHOAL_JOURNAL: _journal, ...rest } = process.env;
  return spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...rest, NO_COLOR: '1', ...env } });
}

async function run(
  program: string,
  args: readonly string[],
  env?: Record<string, string>,
): Promise<{ out: string; err: string; code: number }> {
  const child = start(program, args, env);
  const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')]);
  return { out, err, code: code as number };
}

describe('main', () => {
  it('runs the body on the default cluster, which it names, and ends by itself', async () => {
    const { out, err, code } = await run('squares', ['squares', '2', '3'], { SHOAL_ADDRESS: 'local:1' });
    expect({ out, code }).toEqual({ out: '[4,9]\n', code: 0 });
    expect(err).toBe('shoal: running on local:1 (from SHOAL_ADDRESS)\n');
  });

  it('says so where it was given a journal, which it has none of', async () => {
    const { err } = await run('squares', ['squares', '2'], { SHOAL_ADDRESS: 'local:1', SHOAL_JOURNAL: 'file:here' });
    expect(err).toContain('SHOAL_JOURNAL is for shoal run');
  });

  it('says nothing if asked to', async () => {
    expect(await run('squares', ['squares', '4'], { SHOAL_QUIET: '1' })).toEqual({ out: '[16]\n', err: '', code: 0 });
  });

  it('prints errors and leaves an exit code', async () => {
    const failed = await run('squares', ['fail']);
    expect(failed).toMatchObject({ code: 1, err: expect.stringContaining('the body failed') });
    const misused = await run('squares', ['usage']);
    expect(misused).toMatchObject({ code: 2, err: expect.stringMatching(/^error\[SH1102\] fixture\.square: the option timeout/m) });
    const again = await run('squares', ['again']);
    expect(again).toMatchObject({ code: 2, err: expect.stringContaining('SH1107') });
  });

  it('tells of a map that failed or never ran, and that nobody read; the exit code does, too', async () => {
    const told = (what: string): RegExp => new RegExp(`^shoal: fixture\\.square: nobody read what this map gives, and it ${what}`, 'm');
    const left = await run('squares', ['left']);
    expect(left).toMatchObject({ code: 1, err: expect.stringMatching(told('failed: UnserialisableError')) });
    expect(await run('squares', ['left at once'])).toMatchObject({ code: 1, err: expect.stringMatching(told('ended with the program')) });
    expect(await run('squares', ['called off'], { SHOAL_QUIET: '1' })).toEqual({ code: 0, out: '', err: '' });
    expect(await run('squares', ['asked late'], { SHOAL_QUIET: '1' })).toEqual({ code: 0, out: 'SH1201\n', err: '' });
  });

  it('is that of the program, not of the modules that it takes tasks from', async () => {
    expect(await run('importer', [], { SHOAL_QUIET: '1' })).toEqual({ out: 'mine 49\n', err: '', code: 0 });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('cancels what runs on %s', async (signal, exitCode) => {
    const child = start('squares', ['forever'], { SHOAL_ADDRESS: 'local:1', SHOAL_QUIET: '1' });
    const err = text(child.stderr!);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const exited = once(child, 'exit');
    expect((await lines.next()).value).toBe('ready local:1');
    child.kill(signal);
    expect((await lines.next()).value).toBe('aborted');
    expect(await exited).toEqual([exitCode, null]);
    expect(await err).toBe('shoal: interrupted, cancelling 1 job; once more to stop at once\n');
  });

  it('says at once that it was interrupted where no job runs, and stops at once when told again', async () => {
    const child = start('squares', ['busy'], { SHOAL_ADDRESS: 'local:1', SHOAL_QUIET: '1' });
    const exited = once(child, 'exit');
    const said = createInterface({ input: child.stderr! })[Symbol.asyncIterator]();
    await createInterface({ input: child.stdout! })[Symbol.asyncIterator]().next();
    child.kill('SIGINT');
    expect((await said.next()).value).toBe('shoal: interrupted; waiting for main() to end; once more to stop at once');
    child.kill('SIGINT');
    expect(await exited).toEqual([130, null]);
  });
});
