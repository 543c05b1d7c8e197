/** What people do wrong at first, and what they are told. */
import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { program, shoal } from './command.suite.ts';

describe('help', () => {
  it.each([
    [['help', 'run'], 'Usage: shoal run [options] <file> [args...]\n'],
    [['help', 'jobs'], 'Usage: shoal jobs [options] [command]\n'],
    [['help', 'jobs', 'list'], 'Usage: shoal jobs list [options]\n'],
    [['jobs', 'help', 'list'], 'Usage: shoal jobs list [options]\n'],
    [['help'], 'Usage: shoal <command> [options]\n'],
  ])('%j', async (args, usage) => {
    const { code, stdout, stderr } = await shoal(args).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.startsWith(usage), stdout).toBe(true);
  });

  it.each([
    [['help', 'rnu'], 'there is no command "rnu"', 'shoal run'],
    [['help', 'jobs', 'lst'], 'there is no command "jobs lst"', 'shoal jobs list'],
  ])('of what there is not: %j', async (args, what, hint) => {
    const { code, stderr } = await shoal(args).ended;
    expect(code).toBe(2);
    expect(stderr).toContain(what);
    expect(stderr).toContain(`  try    ${hint}\n`);
  });
});

describe('whoever stops reading', () => {
  it('help ends without a word', async () => {
    const run = shoal(['help']);
    run.child.stdout!.destroy();
    expect(await run.ended).toMatchObject({ code: 141, stderr: '' });
  });

  it('a coordinator goes on without its log', async () => {
    const run = shoal(['coordinator', '--json', '--listen', '127.0.0.1:0', '--journal', 'memory:', '--token-file', 'tokens']);
    await run.said('stderr', '"started"');
    const { address } = JSON.parse(run.stderr) as { address: string };
    run.child.stderr!.destroy();
    run.child.kill('SIGTERM');
    // The first word that nobody reads is said now; it still ends in good order.
    expect((await run.ended).code).toBe(0);
    await expect(fetch(`${address}/livez`)).rejects.toThrow();
  });
});

it('a full disk behind stdout is told, with exit code 1', async (context) => {
  if (process.platform !== 'linux') context.skip('only Linux has /dev/full');
  program('speaks.ts', `main(() => void process.stdout.write('a result'));`);
  const full = openSync('/dev/full', 'w');
  const { code, stderr } = await shoal(['run', 'speaks.ts'], {}, full).ended;
  closeSync(full);
  expect(code, stderr).toBe(1);
  expect(stderr).toMatch(/^error\[SH4020\] what goes to stdout cannot be written.*\n {2}why {4}ENOSPC/);
});

describe('a flag', () => {
  it('whose twin is empty is not given', async () => {
    program('quiet.ts', `main(() => void process.stdout.write('ran'));`);
    const { code, stdout, stderr } = await shoal(['run', 'quiet.ts'], { SHOAL_THREADS: '', SHOAL_CANCEL_GRACE: '' }).ended;
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: 'ran' });
  });

  it('--heap is none that Node could not start with', async () => {
    const { code, stderr } = await shoal(['worker', '--allow-bundles', '--heap', '5']).ended;
    expect(code).toBe(2);
    expect(stderr).toContain('It is a size from 16MiB on');
  });
});

describe('an address', () => {
  it.each([
    ['localhost:7690', 'http://localhost:7690'],
    ['ftp://shoal.internal', 'http://HOST:PORT'],
  ])('of the environment that is none is not passed over: %s', async (address, hint) => {
    const { code, stderr } = await shoal(['status'], { SHOAL_ADDRESS: address }).ended;
    expect(code).toBe(2);
    expect(stderr).toContain(`SHOAL_ADDRESS=${address} is no address of a coordinator`);
    expect(stderr).toContain(`  try    SHOAL_ADDRESS=${hint}\n`);
  });

  it('of programs that need no cluster is not that of one', async () => {
    // Nobody listens on port 1.
    const { code, stderr } = await shoal(['status', '--address', 'http://127.0.0.1:1'], { SHOAL_ADDRESS: 'local:2' }).ended;
    expect(code).toBe(3);
    expect(stderr).toContain('127.0.0.1:1');
  });
});

describe('the address of a broker', () => {
  it.each([
    ['redis://host:notaport', 'the port "notaport" is no number', 'redis://[USER:PASSWORD@]HOST[:PORT]'],
    ['redis://127.0.0.1/jobs', '"jobs" is no number of a database', 'redis://[USER:PASSWORD@]HOST[:PORT]'],
    ['redis+sentinel://127.0.0.1/main?database=1', 'it knows no ?database=', '[/MASTER][?db=DATABASE]'],
    ['amqp:/x', 'there is no //', 'amqp://[USER:PASSWORD@]HOST[:PORT]'],
    ['amqp://127.0.0.1?heartbeat=3', 'it knows no ?heartbeat=', '[/VHOST]'],
    ['nats://127.0.0.1/x', 'NATS has no paths', 'nats://[USER:PASSWORD@]HOST[:PORT]'],
    ['kafka://', 'it names no host', 'kafka://[USER:PASSWORD@]HOST[:PORT]'],
    ['kafka://127.0.0.1/?tsl=true', 'it knows no ?tsl=', '?tls=true&ca=FILE&sasl=…&partitions=…'],
    ['redis://me:se/cret@127.0.0.1', 'in a user, a password or a path / is %2F', 'redis://[USER:PASSWORD@]HOST[:PORT]'],
  ])('%s', async (url, what, hint) => {
    const own = [
      ['worker', '--allow-bundles'],
      ['coordinator', '--listen', '127.0.0.1:0', '--journal', 'memory:'],
    ];
    for (const args of own) {
      const { code, stdout, stderr } = await shoal([...args, '--broker', url]).ended;
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '' });
      const [first, second] = stderr.split('\n') as [string, string];
      expect(first).toContain(what);
      expect(second).toMatch(/^ {2}try {4}/);
      expect(second).toContain(hint);
      expect(stderr).not.toContain('cret');
    }
  });
});

describe('a program', () => {
  it('with two functions of one name gets no result of the wrong one', async () => {
    program(
      'twins.ts',
      `const first = task('same', (n: number) => n);
       const second = task('same', (n: number) => n + 1);
       main(async () => { console.log(await second.run(1)); console.log(await first.run(1)); });`,
    );
    const { code, stdout, stderr } = await shoal(['run', 'twins.ts']).ended;
    expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: '2\n' });
    expect(stderr).toContain('error[SH1101] the task name "same" is used twice');
  });

  it.each([
    ['run', '--threads=1'],
    ['submit', '--address'],
  ])('%s is told of its flags that stand behind the file, where they are the program’s', async (verb, flag) => {
    program('flags.ts', "if (process.argv.at(-1) === '--help') process.stdout.write('its own');\n");
    const name = flag.split('=')[0]!;
    const { stdout, stderr } = await shoal([verb, 'flags.ts', flag, '--help']).ended;
    expect(stdout).toBe('its own');
    expect(stderr).toContain(`${name} stands behind flags.ts, so that it goes to the program`);
    expect((await shoal([verb, 'flags.ts', '--', flag, '--help']).ended).stderr).not.toContain(name);
  });

  it('that defines a task in main() is told where it belongs', async () => {
    program('late.ts', `main(async () => { await task('late', (n: number) => n).run(1); });`);
    const { code, stderr } = await shoal(['run', 'late.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('error[SH5002]');
    expect(stderr).toContain('  try    define tasks at the top level');
  });

  it('whose task returns a function is told what to return', async () => {
    program('function.ts', `const make = task('make', () => ({ f: () => 1 }));\nmain(async () => { await make.run(); });`);
    const { code, stderr } = await shoal(['run', 'function.ts']).ended;
    expect(code).toBe(2);
    expect(stderr).toContain('$.f is a function, which cannot travel');
    expect(stderr).toContain('  try    return data');
  });

  it('that does not wait for its job is told that it ended too soon', async () => {
    program(
      'hasty.ts',
      `const wait = task('wait', (n: number, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
       main(async () => { await wait.submit(1); });`,
    );
    const { code, stderr } = await shoal(['run', 'hasty.ts']).ended;
    expect(code).toBe(0);
    expect(stderr).toContain('shoal: main() ended before wait, which ends with it');
  });

  it('that lacks packages is told to install them, all of them', async () => {
    program('lacking.ts', `import './nowhere';\nimport '@no/such/file';\nimport 'none/such';\nmain(() => undefined);`);
    const { code, stderr } = await shoal(['run', 'lacking.ts']).ended;
    expect(code).toBe(2);
    expect(stderr).toContain('  try    npm install @no/such none\n');
  });

  it('whose task ends its thread is told so as the command speaks', async () => {
    program('exit.ts', `const exit = task('exit', () => process.exit(3), { crashLimit: 0 });\nmain(async () => { await exit.run(); });`);
    const { code, stderr } = await shoal(['run', 'exit.ts']).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^shoal: worker local: .*process\.exit\(3\)/);
    const events = (await shoal(['run', '--json', 'exit.ts']).ended).stderr.trimEnd().split('\n');
    expect(JSON.parse(events[0]!)).toMatchObject({ type: 'warning', message: expect.stringContaining('process.exit(3)') });
  });
});
