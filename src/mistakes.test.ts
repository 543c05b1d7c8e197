/** Mistakes in what programs call: refused by name, before anything is opened or started. */
import { describe, expect, it } from 'vitest';
import { connect, dag, startCoordinator, startWorker, task } from './index.ts';
import type { ShoalError } from './lib/errors.ts';
import { enterTaskThread } from './tasks/where-am-i.ts';

const one = task('mistakes.one', (n: number) => n);

async function refusal(act: () => unknown): Promise<ShoalError> {
  try {
    await act();
  } catch (error) {
    return error as ShoalError;
  }
  throw new Error('it was not refused');
}

/** What types forbid, and JavaScript does all the same. */
type Wrong = any;

describe('startWorker', () => {
  // Nobody listens on port 1.
  const good = { address: 'http://127.0.0.1:1', tasks: 'bundles' };
  it.each([
    [{ threads: -1 }, 'threads', 'a whole number from 1 to 1024'],
    [{ threads: '2' }, 'threads', 'a whole number from 1 to 1024'],
    [{ threads: Number.NaN }, 'threads', 'a whole number from 1 to 1024'],
    [{ threads: 1025 }, 'threads', 'a whole number from 1 to 1024'],
    [{ queues: 'default' }, 'queues', 'an array of names'],
    [{ queues: [5] }, 'queues', 'an array of names'],
    [{ queues: [] }, 'queues', 'an array of names'],
    [{ name: '' }, 'name', 'a text of 1 to 200 characters'],
    [{ name: 5 }, 'name', 'a text of 1 to 200 characters'],
    [{ tasks: 'bundle' }, 'tasks', "an array of tasks, or 'bundles'"],
    [{ tasks: undefined }, 'tasks', "an array of tasks, or 'bundles'"],
    [{ tasks: [] }, 'tasks', "an array of tasks, or 'bundles'"],
    [{ address: 5 }, 'address', 'a text'],
    [{ token: 5 }, 'token', 'a text'],
    [{ drainTimeout: '1 minute' }, 'drainTimeout', 'a number of milliseconds'],
  ])('refuses %j', async (wrong, option, rule) => {
    const { code, message, hint } = await refusal(() => startWorker({ ...good, ...wrong } as Wrong));
    expect({ code, message }).toEqual({ code: 'SH1102', message: expect.stringContaining(`startWorker: the option ${option} can't be`) });
    expect(hint).toContain(`${option} is ${rule}`);
  });

  it('refuses names that there are not, and no options at all', async () => {
    expect(await refusal(() => startWorker({ ...good, thread: 2 } as Wrong))).toMatchObject({
      code: 'SH1102',
      message: 'startWorker: there is no option thread',
      hint: 'did you mean threads?',
    });
    expect(await refusal(() => (startWorker as Wrong)())).toMatchObject({
      code: 'SH1102',
      message: "startWorker: the options can't be undefined",
    });
  });
});

describe('startCoordinator', () => {
  it.each([
    [{ jornal: 'memory:' }, 'there is no option jornal', 'did you mean journal?'],
    [{ tls: { certFile: 'x', key: 'y' } }, 'there is no option key of tls', 'did you mean keyFile?'],
    [{ tls: { certFile: 'x' } }, "the option tls.keyFile can't be undefined", 'tls.keyFile is the path of a file'],
    [{ journal: 5 }, "the option journal can't be 5", 'journal is a text'],
    [{ stealing: 'off' }, "the option stealing can't be 'off'", 'stealing is true or false'],
    [{ onLog: 'stderr' }, "the option onLog can't be 'stderr'", 'onLog is a function'],
    [null, "the options can't be null", 'an object with any of listen'],
  ])('refuses %j', async (wrong, message, hint) => {
    const error = await refusal(() => startCoordinator(wrong as Wrong));
    expect(error).toMatchObject({ code: 'SH1102', message: `startCoordinator: ${message}` });
    expect(error.hint).toContain(hint);
  });
});

describe('connect', () => {
  it.each([
    [['local:1', { thread: 3 }], 'there is no option thread', 'did you mean threads?'],
    [['local:1', { token: 5 }], "the option token can't be 5", 'token is a text'],
    [['local:1', null], "the options can't be null", 'an object with any of token, threads'],
    [[5], "the option address can't be 5", 'address is a text'],
  ])('refuses %j', async (args, message, hint) => {
    const error = await refusal(() => (connect as Wrong)(...args));
    expect(error).toMatchObject({ code: 'SH1102', message: `connect: ${message}` });
    expect(error.hint).toContain(hint);
  });

  it('refuses more threads than a process has', async () => {
    expect(await refusal(() => connect('local:5000'))).toMatchObject({
      code: 'SH1301',
      message: '"local:5000" asks for too many threads',
      hint: 'local:1 to local:1024',
    });
  });
});

describe('a task', () => {
  it.each([
    ['with() without options', () => (one as Wrong).with(), "the options of a call can't be undefined"],
    ['map(…, null)', () => (one as Wrong).map([1], null), "the options of a map can't be null"],
    ['run(…, null)', () => (one as Wrong).run(1, null), "the options of a call can't be null"],
    ['a definition with null', () => (task as Wrong)('mistakes.one', () => 1, null), "the options of a task can't be null"],
    ['a graph with null', () => (dag as Wrong)('mistakes.one', () => 1, null), "the options of a task can't be null"],
    ['retries that are misspelt', () => one.with({ retries: { retries: 1, delays: 5 } as Wrong }), 'there is no option delays of retries'],
    ['a backoff that is', () => one.with({ retries: { retries: 1, backof: 'fixed' } as Wrong }), 'there is no option backof of retries'],
    ['retryIf in a call', () => one.with({ retries: { retries: 1, retryIf: () => true } as Wrong }), 'no option retryIf of retries'],
  ])('refuses %s', async (_what, act, message) => {
    const error = await refusal(act);
    expect(error).toMatchObject({
      code: 'SH1102',
      message: expect.stringContaining(`mistakes.one: ${message.startsWith('no ') ? 'there is ' : ''}${message}`),
    });
  });
});

it('a job is asked in words that it knows', async () => {
  await using cluster = await connect('inline:');
  const job = await one.on(cluster).submit(1);
  expect(await refusal(() => job.result({ timout: '1s' } as Wrong))).toMatchObject({ code: 'SH1102', hint: 'did you mean timeout?' });
  expect(await refusal(() => job.result({ signal: 1 } as Wrong))).toMatchObject({ code: 'SH1102', hint: 'signal is an AbortSignal' });
  expect(await refusal(() => job.result(null as Wrong))).toMatchObject({ code: 'SH1102' });
  expect(
    await refusal(() =>
      job
        .progress({ evry: 5 } as Wrong)
        [Symbol.asyncIterator]()
        .next(),
    ),
  ).toMatchObject({ hint: 'did you mean every?' });
  expect(
    await refusal(() =>
      job
        .logs({ folow: true } as Wrong)
        [Symbol.asyncIterator]()
        .next(),
    ),
  ).toMatchObject({ hint: 'did you mean follow?' });
  expect(await job.result({ timeout: '10s' })).toBe(1);
});

// Last: it cannot be undone.
it('a thread that loads the module opens no cluster and starts none of its servers', async () => {
  enterTaskThread();
  const inside = { code: 'SH1104', hint: expect.stringContaining('main(') };
  expect(await refusal(() => startWorker({ address: 'http://127.0.0.1:1', tasks: [one] }))).toMatchObject(inside);
  expect(await refusal(() => startCoordinator({ listen: '127.0.0.1:0', journal: 'memory:' }))).toMatchObject(inside);
  expect(await refusal(() => connect('local:1'))).toMatchObject(inside);
});
