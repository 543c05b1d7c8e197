/** The built command on real programs: what a user types, sees, pipes, interrupts and kills. */
import { once } from 'node:events';
import { existsSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, program, shoal } from './command.suite.ts';

describe('shoal run', () => {
  it('runs a program on threads, leaves stdout to it and sums up on stderr', async () => {
    program(
      'squares.ts',
      `const square = task('square', (n: number) => n * n);
       main(async ({ args }) => {
         const squares = await square.map(Array.from({ length: 1000 }, (_, i) => i)).toArray();
         console.log(squares.reduce((a, b) => a + b, 0), ...args, process.argv.slice(2).join());
       });`,
    );
    const { code, stdout, stderr } = await shoal(['run', '--threads', '2', 'squares.ts', '--threads', '9', '--', '-x']).ended;
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: '332833500 --threads 9 -- -x --threads,9,--,-x\n' });
    expect(stderr).toMatch(/^square {2}1 000 done in \d+(\.\d)? m?s\n$/);
  });

  it('takes flags before the verb, twins of the environment, and nothing for granted', async () => {
    expect(await shoal(['--quiet', '--threads', '1', 'run', 'squares.ts', '--', 'a']).ended).toMatchObject({
      ...{ code: 0, stdout: '332833500 a a\n', stderr: '' },
    });
    const wrong = await shoal(['run', 'squares.ts'], { SHOAL_THREADS: 'many', SHOAL_QUIET: '0' }).ended;
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('SHOAL_THREADS');
  });

  it('tells programs in JSON what it tells people in words', async () => {
    const { code, stderr } = await shoal(['run', '--json', 'squares.ts']).ended;
    expect(code).toBe(0);
    expect(
      stderr
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ type: 'job', name: 'square', state: 'succeeded', succeeded: 1000 }]);
  });

  it('shows what tasks print, marked with the task, unless it is told not to', async () => {
    program(
      'logs.ts',
      `const loud = task('loud', (n: number) => { console.log('hello', n, '\\u001b[2J'); return n; });
       main(async () => { console.log(await loud.map([1, 2]).toArray()); });`,
    );
    const shown = await shoal(['run', 'logs.ts']).ended;
    expect(shown.stdout).toBe('[ 1, 2 ]\n');
    expect(shown.stderr).toContain('loud[0] hello 1 \\x1b[2J\n');
    expect((await shoal(['run', '--logs', 'none', 'logs.ts']).ended).stderr).toMatch(/^loud {2}2 done/);
  });

  it('runs tasks in child processes', async () => {
    program(
      'pids.ts',
      `const pid = task('pid', () => process.pid);
       main(async () => { console.log((await pid.run()) === process.pid); });`,
    );
    expect(await shoal(['run', '--quiet', '--isolation', 'process', 'pids.ts']).ended).toMatchObject({
      code: 0,
      stdout: 'false\n',
      stderr: '',
    });
  });
});

describe('what goes wrong', () => {
  it('a task that throws: its own line in the source, exit 1', async () => {
    program(
      'throws.ts',
      `interface Input { n: number }
       const bad = task('bad', ({ n }: Input) => {
         throw new TypeError(\`no \${n}\`);
       });
       main(async () => { await bad.map([{ n: 1 }]).toArray(); });`,
    );
    const { code, stderr } = await shoal(['run', 'throws.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('error[SH2001] bad[0] failed: TypeError: no 1');
    expect(stderr).toContain('throws.ts:5:16');
    expect(stderr).toContain('docs/reference/errors.md#sh2001');
    const problem = JSON.parse((await shoal(['run', '--json', 'throws.ts']).ended).stderr.trimEnd().split('\n').at(-1)!);
    expect(problem).toMatchObject({ code: 'SH2001', attempts: 1 });
  });

  it('failures that the job tolerates: exit 5', async () => {
    program(
      'tolerant.ts',
      `const odd = task('odd', (n: number) => { if (n % 2 === 0) throw new Error('even'); return n; });
       main(async () => { console.log((await odd.map([1, 2, 3], { maxFailures: 1 }).toArray()).length); });`,
    );
    const { code, stdout, stderr } = await shoal(['run', 'tolerant.ts']).ended;
    expect({ code, stdout }, stderr).toEqual({ code: 5, stdout: '2\n' });
    expect(stderr).toContain('1 failed');
  });

  it('main() throws: the line in the source, exit 1', async () => {
    program('broken.ts', `main((): void => {\n  throw new RangeError('here');\n});`);
    const { code, stderr } = await shoal(['run', 'broken.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error RangeError: here\n {2}at {5}.*broken\.ts:4:9/);
  });

  it.each([
    [['run', 'sqares.ts'], 'there is no file sqares.ts', 'shoal run squares.ts'],
    [['run', '--thread', '2', 'squares.ts'], 'there is no flag --thread', '--threads'],
    [['run', '--journal', 'here', 'squares.ts'], '--journal here', '--journal file:here'],
    [['run', '--threads', '0', 'squares.ts'], '"0" is invalid', 'shoal run --help'],
    [['rnu', 'squares.ts'], 'there is no command "rnu"', 'shoal run'],
    [['squares.ts', '7'], 'there is no command "squares.ts"', 'shoal run squares.ts 7'],
    [['run'], 'shoal run needs <file>', 'shoal run --help'],
    [[], 'shoal needs a command', 'shoal --help'],
  ])('wrong usage, exit 2: %j', async (args, what, hint) => {
    const { code, stdout, stderr } = await shoal(args).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(what);
    expect(stderr).toContain(`  try    ${hint}\n`);
  });

  it('a program that does not compile, or whose top level throws', async () => {
    writeFileSync(join(folder, 'syntax.ts'), 'const = 1;');
    const syntax = await shoal(['run', 'syntax.ts']).ended;
    expect(syntax.code).toBe(2);
    expect(syntax.stderr).toContain('syntax.ts:1:7');
    writeFileSync(join(folder, 'toplevel.ts'), `setInterval(() => undefined, 1000);\nthrow new Error('at the top');`);
    const top = await shoal(['run', 'toplevel.ts']).ended;
    expect(top.code).toBe(1);
    expect(top.stderr).toMatch(/^error Error: at the top\n.*toplevel\.ts:2:7/);
  });

  it('a program without main() is told why its tasks can’t run', async () => {
    program('mainless.ts', `const one = task('one', () => 1);\nconsole.log(await one.run());`);
    const { code, stderr } = await shoal(['run', 'mainless.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('main(');
  });

  it('a task that needs what this machine is not said to have: what that is, and where it would run', async () => {
    program('scarce.ts', `const f = task('train', (n: number) => n, { resources: { gpu: 1 } });\nmain(() => f.map([1]).toArray());`);
    const run = shoal(['run', 'scarce.ts']);
    await run.said('stderr', 'shoal: train waits: no worker has 1 gpu (the best worker has 0)\n  local:');
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
  });
});

/** Resolves when the file has so many lines. */
async function lines(path: string, count: number): Promise<void> {
  const enough = (): boolean => existsSync(path) && readFileSync(path, 'utf8').split('\n').length > count;
  const watcher = watch(folder);
  try {
    while (!enough()) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

const slowly = `
  const mark = task('mark', async (n: number, { signal }) => {
    appendFileSync('marks', n + '\\n');
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 20);
      signal.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); });
    });
    return n;
  });
  main(async ({ args }) => {
    const all = await mark.map(Array.from({ length: Number(args[0]) }, (_, i) => i), { chunkSize: 1 }).toArray();
    console.log(all.reduce((a, b) => a + b, 0));
  });`;

describe('stopping', () => {
  it('killed half-way, it goes on where it was', async () => {
    program('slow.ts', slowly);
    const command = ['run', '--threads', '2', '--journal', 'file:state', 'slow.ts', '100'];
    const first = shoal(command);
    await lines(join(folder, 'marks'), 50);
    first.child.kill('SIGKILL');
    expect((await first.ended).signal).toBe('SIGKILL');
    const second = await shoal(command).ended;
    expect(second, second.stderr).toMatchObject({ code: 0, stdout: '4950\n' });
    const counts = /mark {2}100 done {2}\((\d+) from the journal, (\d+) computed/.exec(second.stderr);
    expect(counts, second.stderr).not.toBeNull();
    expect(Number(counts![1]) + Number(counts![2])).toBe(100);
    expect(Number(counts![1])).toBeGreaterThan(20);
    // Only what was running when it died, or not yet written, ran twice.
    const marks = readFileSync(join(folder, 'marks'), 'utf8').trimEnd().split('\n');
    expect(new Set(marks).size).toBe(100);
    expect(marks.length).toBeLessThan(130);
    const third = await shoal(command).ended;
    expect(third).toMatchObject({ code: 0, stdout: '4950\n' });
    expect(third.stderr).toContain('(100 from the journal, 0 computed)');
  });

  it('Ctrl-C cancels, says so on the spot, and exits with 130', async () => {
    program('slow.ts', slowly.replace('marks', 'cancelled'));
    const run = shoal(['run', 'slow.ts', '100000']);
    await lines(join(folder, 'cancelled'), 4);
    run.child.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    expect({ code, stdout }, stderr).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(/interrupted, cancelling 1 job/);
    expect(stderr).toMatch(/mark .*cancelled/);
    expect(stderr).not.toContain('error');
  });

  it('a second Ctrl-C does not wait for anything', async () => {
    program(
      'stubborn.ts',
      `const spin = task('spin', () => { appendFileSync('spinning', 'x\\n'); for (;;); });
       main(async () => { await spin.run(undefined); });`,
    );
    const run = shoal(['run', '--cancel-grace', '1h', 'stubborn.ts']);
    await lines(join(folder, 'spinning'), 1);
    run.child.kill('SIGINT');
    await run.said('stderr', 'interrupted');
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
  });

  it('SIGTERM with a journal keeps what is done, and exits with 143', async () => {
    program('slow.ts', slowly.replace('marks', 'terminated'));
    const command = ['run', '--journal', 'file:kept', 'slow.ts', '60'];
    const run = shoal(command);
    await lines(join(folder, 'terminated'), 20);
    run.child.kill('SIGTERM');
    const { code, stderr } = await run.ended;
    expect(code, stderr).toBe(143);
    expect(stderr).toContain('run it again to go on');
    const again = await shoal(command).ended;
    expect(again, again.stderr).toMatchObject({ code: 0, stdout: '1770\n' });
    expect(again.stderr).toMatch(/\d+ from the journal, \d+ computed/);
  });

  it('a worker that has not loaded its tasks yet has nothing to finish (W10)', async () => {
    program('endless.ts', `appendFileSync('loading', '.\\n');\nawait new Promise(() => setInterval(() => undefined, 1_000));`);
    const worker = shoal(['worker', '--address', 'http://127.0.0.1:1', '--tasks', 'endless.ts']);
    await lines(join(folder, 'loading'), 1);
    worker.child.kill('SIGTERM');
    expect((await worker.ended).code).toBe(0);
  });

  it('a closed pipe ends it without a word', async () => {
    program('chatty.ts', `main(async () => { for (;;) { console.log('line'); await new Promise((resolve) => setImmediate(resolve)); } });`);
    const run = shoal(['run', 'chatty.ts']);
    await run.said('stdout', 'line\n');
    run.child.stdout!.destroy();
    expect(await run.ended).toMatchObject({ code: 141, stderr: '' });
  });
});
