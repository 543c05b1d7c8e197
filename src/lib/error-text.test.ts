import { describe, expect, it } from 'vitest';
import { formatError, problemJson, userFrames } from './error-text.ts';
import { ShoalError } from './errors.ts';

const plain = { color: false, folder: '/home/me/sweep' };

describe('an error of ours', () => {
  it('has four parts', () => {
    const error = new ShoalError('SH3001', 'cannot reach the coordinator at http://shoal.internal:7690', {
      why: 'connect ECONNREFUSED 10.0.3.7:7690, 5 attempts in 10 s',
      from: 'SHOAL_ADDRESS (environment)',
      hint: 'shoal doctor',
    });
    expect(formatError(error, plain)).toBe(
      [
        'error[SH3001] cannot reach the coordinator at http://shoal.internal:7690',
        '  why    connect ECONNREFUSED 10.0.3.7:7690, 5 attempts in 10 s',
        '  from   SHOAL_ADDRESS (environment)',
        '  try    shoal doctor',
        '  docs   docs/reference/errors.md#sh3001',
      ].join('\n'),
    );
    expect(problemJson(error)).toEqual({
      type: 'docs/reference/errors.md#sh3001',
      title: 'cannot reach the coordinator at http://shoal.internal:7690',
      code: 'SH3001',
      detail: 'connect ECONNREFUSED 10.0.3.7:7690, 5 attempts in 10 s',
      from: 'SHOAL_ADDRESS (environment)',
      hint: 'shoal doctor',
    });
  });

  it('leaves out what it does not know, and tells its causes', () => {
    const cause = new Error('disk full', { cause: new RangeError('no blocks') });
    expect(formatError(new ShoalError('SH4005', 'the journal is full', { cause }), plain).split('\n')).toEqual([
      'error[SH4005] the journal is full',
      '  why    Error: disk full',
      '         caused by RangeError: no blocks',
      '  docs   docs/reference/errors.md#sh4005',
    ]);
  });

  it('is known by its shape: another copy of this package may have thrown it', () => {
    const stranger = Object.assign(new Error('from elsewhere'), { code: 'SH1201', hint: 'leave it out' });
    expect(formatError(stranger, plain)).toBe(
      'error[SH1201] from elsewhere\n  try    leave it out\n  docs   docs/reference/errors.md#sh1201',
    );
  });

  it('can’t act on the terminal (X13)', () => {
    const text = formatError(new ShoalError('SH2001', 'a\u001b]0;title\u0007b', { why: 'line\n  docs   forged' }), plain);
    expect(text).toContain('a\\x1b]0;title\\x07b');
    expect(text).toContain('\n         \x20 docs   forged');
    expect(formatError(new Error('\u001b[31m'), { color: true, folder: '/' })).toContain('\\x1b[31m');
  });
});

describe('a task that failed', () => {
  const remoteStack = `TypeError: x is not iterable
    at sieve (/home/me/sweep/primes.ts:12:9)
    at Array.map (<anonymous>)
    at helper (/home/me/sweep/node_modules/lib/index.js:1:1)
    at inner (file:///home/me/sweep/lib/count.ts:7:3)
    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)`;
  const error = Object.assign(
    new ShoalError('SH2001', 'primes.count[17] failed after 3 attempts: TypeError: x is not iterable', {
      cause: new TypeError('x is not iterable'),
    }),
    { taskId: 'j/0/17', attempts: 3, worker: 'host/4', remoteStack },
  );

  it('shows the user’s own frames of the thread, and how often it was tried', () => {
    expect(formatError(error, plain).split('\n')).toEqual([
      'error[SH2001] primes.count[17] failed after 3 attempts: TypeError: x is not iterable',
      '  from   sieve (primes.ts:12:9)',
      '         inner (lib/count.ts:7:3)',
      '  tried  3 attempts, the last on host/4',
      '  docs   docs/reference/errors.md#sh2001',
    ]);
    expect(problemJson(error)).toMatchObject({ code: 'SH2001', taskId: 'j/0/17', attempts: 3, worker: 'host/4', remoteStack });
  });

  it('shows what frames there are where none is the user’s, but never Node’s or ours', () => {
    const library = 'at deep (/x/node_modules/lib/index.js:1:2)';
    const ours = `at loop (${new URL('./limits.js', import.meta.url).pathname}:1:2)`;
    expect(userFrames(`Error: x\n    ${ours}\n    ${library}\n    at node:internal/main:1:2`, '/')).toEqual([library.slice(3)]);
  });

  it('that never got to run shows where its module is to blame, and what was advised there', () => {
    const cause = Object.assign(new Error('tasks can’t be started while a worker loads the module'), { code: 'SH1104' });
    cause.stack = 'ShoalError: …\n    at /home/me/sweep/top.ts:3:1';
    const refused = Object.assign(new ShoalError('SH5001', 'one[0] failed', { cause: new Error('not loaded', { cause }) }), {
      ...{ taskId: 'j/0/0', attempts: 1, worker: 'w', remoteStack: 'Error: not loaded' },
    });
    const text = formatError(refused, plain);
    expect(text).toContain('\n  from   /home/me/sweep/top.ts:3:1\n'.replace('/home/me/sweep/', ''));
    expect(text).toContain('\n  try    put what starts the work into main(');
  });
});

describe('anything else that was thrown', () => {
  it('has a name, a message, the user’s frames and its causes', () => {
    const error = new RangeError('too far', { cause: 'a string' });
    error.stack = 'RangeError: too far\n    at walk (/home/me/sweep/walk.ts:3:1)\n    at node:internal/x:1:1';
    expect(formatError(error, plain)).toBe('error RangeError: too far\n  at     walk (walk.ts:3:1)\n  cause  thrown: a string');
  });

  const hostile = {
    get message(): string {
      throw new Error('ha');
    },
  };
  it.each([[null], [undefined], ['text'], [{ a: 1 }], [hostile], [Symbol('s')], [12n]])('can be shown: %#', (thrown) => {
    expect(formatError(thrown, plain)).toMatch(/^error \S/);
    expect(() => JSON.stringify(problemJson(thrown))).not.toThrow();
  });
});

it('a program that has travelled is shown by the names of its sources, not by where its bundle lay', () => {
  const bundles = '/home/me/my cache/shoal/bundles/28ba33fb2c6f';
  const unmapped = `${bundles}/${'a'.repeat(64)}.mjs:9:8`;
  const stack = ['Error: x', `inner (${bundles}/lib/deep.ts:5:17)`, `async ${bundles}/job.ts:1:2`, unmapped].join('\n    at ');
  expect(userFrames(stack, '/somewhere')).toEqual(['inner (lib/deep.ts:5:17)', 'async job.ts:1:2', unmapped]);
});
