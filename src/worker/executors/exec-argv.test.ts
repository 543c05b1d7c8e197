import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { withoutInput } from './exec-argv.ts';
import { processExecutor } from './process.ts';
import { SlotDouble } from './slot-double.suite.ts';

test.each([
  [['-e', 'code', '--import', 'x.mjs'], '--import x.mjs'],
  [['--input-type=module', '--no-warnings', '--eval', 'code'], '--no-warnings'],
  [['--input-type', 'module', '--eval=code', '-r', 'x.cjs'], '-r x.cjs'],
  [['-p', '--no-warnings'], '--no-warnings'],
  [['-pe', 'code', '--print', 'code'], ''],
  [['--expose-gc', '--max-old-space-size=100'], '--expose-gc --max-old-space-size=100'],
])('of %j what says what to run is left out', (flags, kept) => {
  expect(withoutInput(flags).join(' ')).toBe(kept);
});

test('a child of a program that came by node -e runs tasks, and not the program again', async () => {
  const flags = ['--input-type=module', '-e', 'process.exit(9)'];
  process.execArgv.push(...flags);
  const slot = new SlotDouble(processExecutor);
  try {
    const told = await slot.whole('double', [4]);
    expect([...told.values.values()]).toEqual([8]);
  } finally {
    process.execArgv.splice(-flags.length);
    await slot.close();
  }
});

test('a thread of a program that came by node -e is started', () => {
  const program = `
    import { threadExecutor } from ${JSON.stringify(new URL('../../../dist/worker/executors/thread.js', import.meta.url).href)};
    const events = new Proxy({}, { get: (_, name) => (...args) => {
      if (name === 'finished') executor.close();
      if (name !== 'finished') console.log(name, name === 'replaced' ? args[0] : '');
    } });
    const executor = threadExecutor({ name: 'of-eval', graceMs: 1000, events });
    executor.run({
      id: 1, job: 'j', jobName: 'j', stage: 0, attempt: 1, attemptsMax: 1, input: { kind: 'value' },
      definition: { name: 'double', module: ${JSON.stringify(new URL('./fixtures/tasks.mjs', import.meta.url).href)} },
      ranges: Uint32Array.of(0, 1), lengths: Uint32Array.of(1), body: Uint8Array.of(1),
    });`;
  const flags = ['--max-old-space-size=200', '--no-warnings', '--input-type=module', '-e', program];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8', timeout: 50_000, killSignal: 'SIGKILL' });
  expect(stdout + stderr).toBe('results \n');
});
