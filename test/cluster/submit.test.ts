/** `shoal submit`: programs that travel. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from './harness.ts';

const primes = fileURLToPath(new URL('../../examples/primes.ts', import.meta.url));
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ workers: 2, threads: 1, worker: { args: ['--allow-bundles'] } });
  await cluster.ready(2);
});
afterAll(() => cluster?.close());

function program(name: string, text: string): string {
  const file = join(cluster.folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

describe('a program', () => {
  test('runs on the workers while one is killed and another joins: primes to a billion (W01)', async () => {
    const running = cluster.run(['submit', '--address', cluster.address, '--progress', 'plain', primes, '1000000000']);
    await new Promise((resolve) => setTimeout(resolve, 700));
    cluster.workers[0]!.kill('SIGKILL');
    cluster.addWorker({ threads: 1, args: ['--allow-bundles'] });
    expect((await running.ended).code).toBe(0);
    expect(running.stdout).toBe('50847534\n');
  });

  test('is uploaded once, whatever runs it; two versions of it run side by side, each its own code', async () => {
    const text = (version: string) => `
      import { main, task } from 'shoal';
      export const version = task('submit.version', async (_: number) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return ${JSON.stringify(version)};
      });
      main(async () => console.log(JSON.stringify(await version.map(Array.from({ length: 40 }, (_, i) => i)).toArray())));`;
    const [one, two] = [program('one/program.ts', text('one')), program('two/program.ts', text('two'))];
    const both = await Promise.all([
      cluster.shoal('submit', '--quiet', one),
      cluster.shoal('submit', '--quiet', two),
      cluster.shoal('submit', '--quiet', one),
    ]);
    expect(both.map(({ stdout }) => [...new Set(JSON.parse(stdout) as string[])])).toEqual([['one'], ['two'], ['one']]);
  });

  test('that defines a task in its main() is told where it belongs, and leaves no job that waits (V01)', async () => {
    const file = program(
      'late.ts',
      `import { main, task } from 'shoal';
       main(async () => { await task('submit.late', (n: number) => n).run(1); });`,
    );
    const { code, stderr } = await cluster.shoal('submit', '--address', cluster.address, file);
    expect(code).toBe(1);
    expect(stderr).toContain('error[SH5002] no worker can have the task "submit.late"');
    expect(stderr).toContain('  try    define tasks at the top level');
    expect((await cluster.shoal('jobs', 'list')).stdout).not.toContain('submit.late');
  });

  test('that starts its work at its top level can be loaded by no worker: it waits, and says why and what to do (V01)', async () => {
    const file = program(
      'top.ts',
      `import { task } from 'shoal';
       const same = task('submit.same', (n: number) => n);
       console.log(await same.map([1, 2]).toArray());`,
    );
    const running = cluster.run(['submit', '--address', cluster.address, file]);
    await running.said(/no worker could load the code of "submit\.same" from its bundle: .*tasks can't be started while a worker loads/);
    const [, job] = /shoal explain (\S+)/.exec(running.stderr)!;
    expect((await cluster.shoal('explain', job!)).stdout).toMatch(/put what starts the work into main\(/);
    expect((await cluster.shoal('jobs', 'cancel', job!)).code).toBe(0);
    expect((await running.ended).code).not.toBe(0);
  });

  test('fails with the lines of its sources in the stack, and exit code 1', async () => {
    const file = program(
      'stack.ts',
      [
        "import { main, task } from 'shoal';",
        '',
        "export const bad = task('submit.bad', (n: number): number => {",
        "  if (n === 1) throw new RangeError('no ones');",
        '  return n;',
        '});',
        'main(async () => {',
        '  await bad.map([0, 1]).toArray();',
        '});',
        '',
      ].join('\n'),
    );
    const { code, stderr } = await cluster.shoal('submit', '--progress', 'none', file);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no ones/);
    expect(stderr).toMatch(/stack\.ts:4:/);
  });

  test('takes its packages along; its main() reads files beside its source, its tasks print here', async () => {
    program('node_modules/left/package.json', JSON.stringify({ name: 'left', version: '1.0.0', main: 'index.js' }));
    program('node_modules/left/index.js', "const { join } = require('node:path'); exports.pad = (text) => join('padded', text);");
    program('beside.txt', 'from beside');
    const file = program(
      'packages.ts',
      `import { readFileSync } from 'node:fs';
      import { pad } from 'left';
      import { main, task } from 'shoal';
      export const padded = task('submit.padded', (text: string): string => {
        console.log('working on', text);
        return pad(text);
      });
      main(async () => console.log(await padded.run(readFileSync(new URL('./beside.txt', import.meta.url), 'utf8'))));`,
    );
    const { code, stdout, stderr } = await cluster.shoal('submit', file);
    expect([code, stdout]).toEqual([0, 'padded/from beside\n']);
    expect(stderr).toMatch(/submit\.padded\[0\] working on from beside/);
  });

  test('that is interrupted detaches: its job goes on, and says where (A01)', async () => {
    const file = program(
      'long.ts',
      `import { main, task } from 'shoal';
      export const slow = task('submit.slow', (n: number) => new Promise<number>((resolve) => setTimeout(() => resolve(n), 30)));
      main(async () => console.log((await slow.map(Array.from({ length: 100 }, (_, i) => i), { keepResults: '1h' }).toArray()).length));`,
    );
    const running = cluster.run(['submit', '--address', cluster.address, '--progress', 'json', file]);
    await running.said(/"succeeded":\d/);
    running.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    const [, id] = await running.said(/shoal jobs watch (\S+)/);
    expect((await cluster.shoal('jobs', 'watch', id!, '--quiet')).code).toBe(0);
    expect((await cluster.shoal('jobs', 'result', id!)).stdout.trim().split('\n')).toHaveLength(100);
  });

  test('submitted again under the same key is the same job (A02)', async () => {
    const write = (prefix: string): string =>
      program(
        'keyed.ts',
        `import { main, task } from 'shoal';
        export const when = task('submit.when', () => '${prefix}' + process.hrtime.bigint().toString());
        main(async () => console.log(await when.run()));`,
      );
    const file = write('');
    const first = await cluster.shoal('submit', '--quiet', '--key', 'nightly', file);
    const again = await cluster.shoal('submit', '--quiet', '--key', 'nightly', file);
    expect([first.code, again.code]).toEqual([0, 0]);
    expect(again.stdout).toBe(first.stdout);
    for (let i = 0; i < 2; i++) {
      const changed = await cluster.shoal('submit', '--key', 'nightly', write('changed '));
      expect(changed.stdout).toBe(first.stdout);
      expect(changed.stderr).toMatch(
        /^shoal: submit\.when: the key "nightly" stands for job \w+, which was submitted with other code: .+$/m,
      );
    }
    expect((await cluster.shoal('submit', '--key', 'nightly', write(''))).stderr).not.toContain('other code');
  });

  test('needs a token that may send it; another may not run what somebody else has sent', async () => {
    for (const file of [
      primes,
      program(
        'unseen.ts',
        "import { main, task } from 'shoal';\nexport const t = task('submit.unseen', (n: number) => n);\nmain(async () => console.log(await t.run(1)));",
      ),
    ]) {
      const running = cluster.run(['submit', '--address', cluster.address, file, '1000'], { SHOAL_TOKEN: cluster.token('client') });
      expect((await running.ended).code).toBe(3);
      expect(running.stderr).toMatch(/SH3002.*a client token may not/);
    }
  });

  test('that cannot travel says why, before anything is sent', async () => {
    const native = program('node_modules/native/package.json', JSON.stringify({ name: 'native', version: '1.0.0', main: 'index.js' }));
    writeFileSync(join(dirname(native), 'index.js'), "module.exports = require('./build/addon.node');");
    program('node_modules/native/build/addon.node', '');
    const file = program(
      'native.ts',
      "import native from 'native';\nimport { task } from 'shoal';\nexport const t = task('submit.native', () => native);",
    );
    const { code, stderr } = await cluster.shoal('submit', file);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/SH1314.*native cannot travel/);
    expect(stderr).toMatch(/--tasks/);
  });
});

describe('a worker that takes no bundles', () => {
  test('is not given any, and the job says that nobody takes them', async () => {
    const strict = await TestCluster.start({ workers: 1 });
    try {
      await strict.ready(1);
      const running = strict.run(['submit', '--address', strict.address, primes, '1000']);
      let jobs: { job: string; waiting?: string }[] = [];
      // For a moment it waits for its inputs.
      while (!/no worker accepts bundles/.test(jobs[0]?.waiting ?? '')) {
        jobs = (JSON.parse((await strict.shoal('jobs', 'list', '--json')).stdout) as { jobs: typeof jobs }).jobs;
      }
      await running.said(/shoal: primes\.\w+ waits: no worker accepts bundles/);
      strict.addWorker({ args: ['--allow-bundles'] });
      expect((await running.ended).code).toBe(0);
      expect(running.stdout).toBe('168\n');
    } finally {
      await strict.close();
    }
  });
});
