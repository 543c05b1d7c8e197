import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { findDefinition } from '../tasks/definition.ts';
import { enterTaskThread } from '../tasks/where-am-i.ts';
import { ClusterHandle } from './cluster.ts';
import { installOpener } from './opener.ts';
import { installProgram } from './program.ts';
import { ScriptedCoordinator } from './scripted-coordinator.double.ts';
import { dag, task, taskRef } from './task.ts';
import type { Cluster, Ref } from './types.ts';

let coordinator: ScriptedCoordinator;
let cluster: Cluster;

beforeEach(() => {
  coordinator = new ScriptedCoordinator();
  installOpener(coordinator.open);
  cluster = new ClusterHandle('scripted:', {}, true);
});

afterEach(async () => {
  await cluster.close();
  installOpener(undefined);
  installProgram(undefined);
});

const half = task('task.half', (n: number) => ({ half: n / 2 }));
const fail = task('task.fail', (why: string): string => {
  throw new TypeError(why);
});
const nothing = task('task.nothing', (_: void) => 'x');

describe('task', () => {
  it('registers what workers need to find it', () => {
    const retryIf = () => true;
    task({ name: 'task.full', input: z.object({ n: z.number() }), retries: { retries: 2, retryIf }, codec: 'json', run: ({ n }) => n });
    expect(findDefinition('task.full')).toMatchObject({
      name: 'task.full',
      module: expect.stringMatching(/^file:\/\/.*\/src\/client\/task\.test\.ts/),
      codec: { name: 'json' },
      retryIf,
      schema: { '~standard': { version: 1 } },
    });
    task('task.elsewhere', () => 1, { module: new URL('file:///somewhere/else.mjs') });
    expect(findDefinition('task.elsewhere')!.module).toBe('file:///somewhere/else.mjs');
  });

  it('X04: may be called like a property of every object', async () => {
    const strange = task('constructor', (n: number) => n + 1).on(cluster);
    expect(await strange.run(1)).toBe(2);
    expect(
      await task('__proto__', (n: number) => n + 2)
        .on(cluster)
        .map([1])
        .toArray(),
    ).toEqual([3]);
  });

  it.each([
    ['a name', () => task('', () => 1)],
    ['a name of one line', () => task('a\nb', () => 1)],
    ['a function', () => task('task.none', 5 as never)],
    ['a schema', () => task({ name: 'task.schema', input: {} as never, run: () => 1 })],
    ['options that exist', () => task('task.options', () => 1, { retry: 3 } as object)],
    ['a codec', () => task('task.codec', () => 1, { codec: 'xml' as never })],
    ['a module', () => task('task.module', () => 1, { module: './relative.ts' })],
    ['sensible durations', () => task('task.duration', () => 1, { timeout: Number.NaN })],
    ['a task to pipe into', () => half.pipe((() => 1) as never)],
  ])('needs %s', (_what, act) => {
    expect(act).toThrow(expect.objectContaining({ code: 'SH1102' }));
  });

  it('refuses a name that another module uses', () => {
    task('task.twice', () => 1, { module: 'file:///a.mjs' });
    expect(() => task('task.twice', () => 1, { module: 'file:///b.mjs' })).toThrow(expect.objectContaining({ code: 'SH1101' }));
  });
});

describe('run', () => {
  it('gives the result, and leaves nothing behind', async () => {
    expect(await half.on(cluster).run(5)).toEqual({ half: 2.5 });
    expect(await nothing.on(cluster).run()).toBe('x');
    expect(coordinator.job.spec).toMatchObject({ name: 'task.nothing', keepMs: 0, output: { stage: 0, take: 'one' } });
    expect(coordinator.of('submit').map(({ digest }) => digest)).toEqual(['', '']);
    expect(coordinator.of('unread')).toHaveLength(2);
  });

  it('throws what the task threw', async () => {
    await expect(fail.on(cluster).run('no')).rejects.toMatchObject({
      name: 'TaskError',
      code: 'SH2001',
      message: 'task.fail[0] failed: TypeError: no',
      cause: expect.objectContaining({ name: 'TypeError', message: 'no' }),
    });
  });

  it('names the input that cannot travel before anything is queued', async () => {
    await expect(half.on(cluster).run((() => 1) as never)).rejects.toThrow(/^task\.half input: \$ is a function/);
    expect(coordinator.sent).toEqual([]);
  });

  it('goes through chains and graphs', async () => {
    const root = task('task.root', ({ half: n }: { half: number }) => Math.sqrt(n));
    expect(await half.pipe(root).on(cluster).run(32)).toBe(4);
    const both = dag('task.both', (g, input: Ref<{ n: number }>) =>
      g.call(
        task('task.join', (x: { a: number; b: { half: number } }) => [x.a, x.b.half]),
        { a: input.get('n'), b: g.call(half, input.get('n')) },
      ),
    );
    expect(await both.on(cluster).run({ n: 8 })).toEqual([8, 4]);
    expect(
      await both
        .on(cluster)
        .map([{ n: 2 }, { n: 4 }])
        .toArray(),
    ).toEqual([
      [2, 1],
      [4, 2],
    ]);
  });

  it('is read from its submission on, unless it has a key or more of its inputs follow', async () => {
    await half.on(cluster).run(1);
    await half.on(cluster).run(1, { idempotencyKey: 'k' });
    coordinator.isEager = false;
    const sum = task('task.sum', (parts: number[]) => parts.reduce((a, b) => a + b, 0));
    const doubled = task('task.doubled', (n: number) => 2 * n);
    const fixed = dag('task.fixed', (g, _input: Ref<number>) => g.reduce(sum, g.map(doubled, [1, 2, 3])));
    const running = fixed.on(cluster).run(0);
    while (coordinator.of('read').length < 2) await new Promise(setImmediate);
    expect(coordinator.of('submit').map(({ read }) => read?.credit)).toEqual([1, undefined, undefined]);
    await Promise.all([expect(running).rejects.toMatchObject({ code: 'SH1302' }), cluster.close()]);
  });

  it('takes options of with and of the call', async () => {
    await half
      .with({ priority: 'low', timeout: 5 })
      .on(cluster)
      .run(1, { timeout: 6, tags: { a: 'b' } });
    expect(coordinator.job.spec).toMatchObject({ priority: -10, tags: { a: 'b' }, stages: [{ timeoutMs: 6 }] });
    await expect(half.on(cluster).run(1, { order: 'input' } as object)).rejects.toMatchObject({ code: 'SH1102' });
  });

  it('is cancelled by its signal', async () => {
    coordinator.isEager = false;
    const controller = new AbortController();
    const running = half.on(cluster).run(1, { signal: controller.signal });
    while (coordinator.of('submit').length === 0) await new Promise(setImmediate);
    controller.abort(new Error('stop'));
    await expect(running).rejects.toThrow('stop');
    expect(coordinator.job.state).toBe('cancelled');
    await expect(half.on(cluster).run(1, { signal: controller.signal })).rejects.toThrow('stop');
    expect(coordinator.jobs.size).toBe(1);
  });
});

describe('submit', () => {
  it('gives a handle that can be waited for', async () => {
    const job = await half.on(cluster).submit(3);
    expect(job).toMatchObject({ id: 'job1', url: undefined, deduplicated: false });
    expect(await job.result()).toEqual({ half: 1.5 });
    expect(await job.state()).toBe('succeeded');
    expect(coordinator.job.spec.keepMs).toBe(86_400_000);
  });

  it('A02: gives the same job for the same key and input, and a conflict for others', async () => {
    const first = await half.on(cluster).submit(3, { idempotencyKey: 'k' });
    await first.result();
    const again = await half.on(cluster).submit(3, { idempotencyKey: 'k' });
    expect(again).toMatchObject({ id: first.id, deduplicated: true });
    expect(await again.result()).toEqual({ half: 1.5 });
    expect(await half.on(cluster).run(3, { idempotencyKey: 'k' })).toEqual({ half: 1.5 });
    await expect(half.on(cluster).submit(4, { idempotencyKey: 'k' })).rejects.toMatchObject({ code: 'SH1403' });
    await expect(half.on(cluster).submit(3, { idempotencyKey: 'k', retries: 9 })).rejects.toMatchObject({ code: 'SH1402' });
  });
});

describe('taskRef', () => {
  it('calls by name what is defined elsewhere', async () => {
    const remote = taskRef<typeof half>('task.later').on(cluster);
    task('task.later', (n: number) => ({ half: n / 2 }), { codec: 'json' });
    expect(await remote.run(6)).toEqual({ half: 3 });
    taskRef<typeof half>('task.never');
  });
});

describe('a cluster', () => {
  it('A01: finds jobs again by id and by key', async () => {
    await half.on(cluster).submit(3, { idempotencyKey: 'mine' });
    expect(await (await cluster.job('job1')).result()).toEqual({ half: 1.5 });
    const mapped = half.on(cluster).map([1, 2], { idempotencyKey: 'many' });
    await mapped.state();
    expect(await (await cluster.job('many')).result()).toEqual([{ half: 0.5 }, { half: 1 }]);
    await expect(cluster.job('none')).rejects.toMatchObject({ code: 'SH1401' });
  });

  it('is no longer one once it is closed', async () => {
    await half.on(cluster).run(1);
    await cluster.close();
    await cluster.close();
    expect(coordinator.closed).toBe(1);
    await expect(half.on(cluster).run(1)).rejects.toMatchObject({ code: 'SH1302' });
    expect(() => half.on({} as never)).toThrow(expect.objectContaining({ code: 'SH1102' }));
  });
});

describe('a program that is run with a journal', () => {
  it('gives its jobs keys, by which a second run finds them, and replays what failed', async () => {
    let isBroken = true;
    const flaky = task('task.flaky', (n: number) => {
      if (isBroken && n === 2) throw new Error('down');
      return n;
    });
    const program = { args: [], autoKey: (ordinal: number, name: string) => `auto/${name}/${ordinal}` };
    installProgram(program);
    await expect(flaky.on(cluster).map([1, 2, 3]).toArray()).rejects.toMatchObject({ code: 'SH2001' });
    expect(await flaky.on(cluster).run(5)).toBe(5);
    expect([...coordinator.jobs.values()].map(({ spec }) => [spec.key, spec.keepMs])).toEqual([
      ['auto/task.flaky/0', 86_400_000],
      [expect.stringMatching(/^auto\/task\.flaky@[0-9a-f]{16}\/0$/), 86_400_000],
    ]);
    // The second run, in the same process for once, asks for the same keys.
    program.autoKey = (_ordinal, name) => `auto/${name}/0`;
    isBroken = false;
    expect(await flaky.on(cluster).map([1, 2, 3]).toArray()).toEqual([1, 2, 3]);
    expect(coordinator.jobs.size).toBe(2);
    expect(coordinator.of('replay')).toHaveLength(1);
  });
});

// Last: it cannot be undone.
describe('a worker thread that loads the module', () => {
  it('defines tasks and starts nothing', async () => {
    enterTaskThread();
    await expect(half.on(cluster).run(1)).rejects.toMatchObject({ code: 'SH1104', hint: expect.stringContaining('main(') });
    await expect(half.on(cluster).submit(1)).rejects.toMatchObject({ code: 'SH1104' });
    expect(() => half.on(cluster).map([1])).toThrow(expect.objectContaining({ code: 'SH1104' }));
    task('task.inside', () => 1);
    expect(coordinator.sent).toEqual([]);
  });
});
