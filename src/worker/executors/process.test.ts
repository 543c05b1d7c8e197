import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { executorSuite } from './executor.suite.ts';
import { killableSuite } from './killable.suite.ts';
import { processExecutor } from './process.ts';
import { SlotDouble } from './slot-double.suite.ts';
import { untilGone } from './stopping.suite.ts';

executorSuite('process', processExecutor);
killableSuite('process', processExecutor);

test.each([
  ['abort', 'SIGABRT'],
  ['kill', 'SIGKILL'],
])('%s: a native death costs the task that caused it (W05)', async (input, signal) => {
  const slot = new SlotDouble(processExecutor);
  const next = slot.run('abort', ['a', input, 'c']);
  const after = slot.run('double', [4]);
  await slot.until(() => next.told.isFinished && after.told.isFinished);
  expect(next.told.crashed.get(1)).toMatchObject({ how: 'signal', error: { code: 'SH2003' } });
  expect(next.told.crashed.get(1)?.error.message).toContain(signal);
  expect([...next.told.crashed.keys()]).toEqual([1]);
  // The first one was done, but perhaps not told; the last one had not begun.
  expect(next.told.released.has(2)).toBe(true);
  await slot.close();
});

test('where no child can be started its works go back, and the next ones run when one can', async () => {
  const slot = new SlotDouble(processExecutor);
  const folder = process.env.TMPDIR;
  process.env.TMPDIR = '/nonexistent/at-all';
  try {
    const told = await slot.whole('double', [4]);
    expect(told.released.get(0)).toContain('neither thread nor process could be started: ENOENT');
    expect(slot.replaced).toHaveLength(1);
  } finally {
    if (folder === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = folder;
  }
  expect([...(await slot.whole('double', [4])).values.values()]).toEqual([8]);
  await slot.close();
});

test('what a task has started ends with its process group', async () => {
  const slot = new SlotDouble(processExecutor);
  await slot.whole('spawn and spin', [0], { timeoutMs: 1000 });
  await slot.close();
  const [child, grandchild] = slot.notes[0]!.note!.split(' ').map(Number);
  await untilGone(child!);
  await untilGone(grandchild!);
});

test('a child ends with its parent, even if that is killed and the child spins', async () => {
  const parent = spawn(process.execPath, [fileURLToPath(new URL('./fixtures/parent.mjs', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
  parent.kill('SIGKILL');
  const [child, grandchild] = line.split(' ').map(Number);
  await untilGone(child!);
  process.kill(grandchild!, 'SIGKILL');
});
