import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { jobSpec, pack, stage } from '../core/drive.suite.ts';
import type { FromClient } from '../core/messages.ts';
import { Dice, Graphs } from '../core/model-graphs.suite.ts';
import { randomFrom } from '../core/random.ts';
import type { JobSpec, StageSpec } from '../core/spec.ts';
import { checkMessage } from './check-message.ts';

const wrongWith = (message: unknown): string | undefined => checkMessage(message as FromClient);

const submit = (spec: unknown, more: object = {}): unknown => ({ kind: 'submit', request: 1, spec, digest: 'd', ...more });
const spec = (change: object = {}, options: Partial<JobSpec> = {}): JobSpec =>
  jobSpec([stage(), { ...stage({ kind: 'each', from: 0 }), ...change } as StageSpec], options);

/** A fold as stage 1, and behind it what should not be there. */
const folds = (feed: StageSpec['feed']): JobSpec =>
  jobSpec([stage(), stage({ kind: 'fold', from: 0, fanIn: 2, ordered: false }), stage(feed)]);
const bare = ({ stages: [first, ...others] }: JobSpec): unknown[] => [{ ...first, definition: undefined }, ...others];

describe('a specification', () => {
  test('as clients write it is fine', () => {
    const full = spec({
      definition: { name: 'work', module: 'file:///x.ts', bundle: 'a'.repeat(64) },
      args: [{ stage: 0, take: 'all', path: ['a', 'b'] }],
      template: 'AAAA',
      after: [0],
      resources: { gpu: 1 },
      timeoutMs: 1,
      ttlMs: 1,
      failuresMax: { share: 0.5 },
      chunkSize: 1,
      concurrency: 2,
    });
    expect(wrongWith(submit(spec()))).toBeUndefined();
    expect(wrongWith(submit({ ...full, key: 'k', tags: { a: 'b' }, deadlineWallMs: 1, delayMs: 1 }))).toBeUndefined();
    expect(wrongWith(submit(spec(), pack(['a', '', 'ccc'])))).toBeUndefined();
  });

  test.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /^spec is no object/],
    ['a text', 'job', /^spec is no object/],
    ['a list', [], /^spec is no object/],
    ['no stages', jobSpec([], { output: { stage: 0, take: 'all' } }), /^spec\.stages is empty/],
    ['too many stages', jobSpec(Array.from({ length: 10_001 }, () => stage())), /^spec\.stages has more than/],
    ['stages that cost too much', jobSpec(Array.from({ length: 5_000 }, () => stage())), /^spec\.stages are too many/],
    ['an output that is not there', spec({}, { output: { stage: 2, take: 'all' } }), /^spec\.output\.stage does not exist/],
    ['an odd output', spec({}, { output: { stage: 0, take: 'some' as 'all' } }), /^spec\.output\.take is none of one, all/],
    ['itself as its feed', spec({ feed: { kind: 'each', from: 1 } }), /^spec\.stages\[1\] refers to a stage that is not before it/],
    ['a later argument', spec({ args: [{ stage: 7, take: 'one', path: [] }] }), /^spec\.stages\[1\] refers/],
    ['a later gate', spec({ after: [1] }), /^spec\.stages\[1\] refers/],
    ['a fraction of a stage', spec({ feed: { kind: 'each', from: 0.5 } }), /^spec\.stages\[1\]\.feed\.from is no whole number/],
    ['a feed of Object', spec({ feed: { kind: 'constructor', from: 0 } }), /^spec\.stages\[1\]\.feed is no way to feed/],
    ['a fold that never ends', spec({ feed: { kind: 'fold', from: 0, fanIn: 1, ordered: false } }), /^spec\.stages\[1\]\.feed\.fanIn/],
    ['a fold of a fold', folds({ kind: 'fold', from: 1, fanIn: 2, ordered: false }), /^spec\.stages\[2\] is fed by a fold/],
    ['each of a fold', folds({ kind: 'each', from: 1 }), /^spec\.stages\[2\] is fed by a fold/],
    ['elements of a fold', folds({ kind: 'spread', from: 1 }), /^spec\.stages\[2\] is fed by a fold/],
    ['a stage both cut and folded', folds({ kind: 'spread', from: 0 }), /^spec\.stages\[0\] is both cut/],
    [
      'a fold that waits',
      spec({ feed: { kind: 'fold', from: 0, fanIn: 2, ordered: false }, after: [0] }),
      /^spec\.stages\[1\] is a fold, which/,
    ],
    [
      'elements that no task gave',
      { ...spec({ feed: { kind: 'spread', from: 0 } }), stages: bare(spec({ feed: { kind: 'spread', from: 0 } })) },
      /^spec\.stages\[1\] cuts results/,
    ],
    [
      'an index of elsewhere',
      spec({ feed: { kind: 'spread', from: 0 }, args: [{ stage: 0, take: 'same', path: [] }] }),
      /^spec\.stages\[1\] takes a result of the same index/,
    ],
    ['no task', spec({ definition: undefined }), /^spec\.stages\[1\] has no task definition/],
    ['no name of a task', spec({ definition: { name: '' } }), /^spec\.stages\[1\]\.definition\.name/],
    ['NUL in a name', spec({ definition: { name: 'a\0b' } }), /^spec\.stages\[1\]\.definition\.name/],
    ['10 kB of a name', spec({ definition: { name: 'n'.repeat(10_000) } }), /^spec\.stages\[1\]\.definition\.name has more than/],
    ['no hash', spec({ definition: { name: 'a', bundle: '../x' } }), /^spec\.stages\[1\]\.definition\.bundle/],
    ['endless retries', spec({ retry: { ...stage().retry, retries: 1e9 } }), /^spec\.stages\[1\]\.retry\.retries/],
    ['negative time', spec({ timeoutMs: -1 }), /^spec\.stages\[1\]\.timeoutMs/],
    ['text for a number', spec({ timeoutMs: '1' }), /^spec\.stages\[1\]\.timeoutMs/],
    ['null for a number', spec({ timeoutMs: null }), /^spec\.stages\[1\]\.timeoutMs/],
    ['two ways to fail', spec({ failuresMax: { share: 1, count: 1 } }), /^spec\.stages\[1\]\.failuresMax has an unknown field/],
    ['a share above all', spec({ failuresMax: { share: 1.5 } }), /^spec\.stages\[1\]\.failuresMax\.share/],
    ['a prototype for resources', spec({ resources: JSON.parse('{"__proto__":1}') }), /^spec\.stages\[1\]\.resources has a name/],
    ['a prototype for tags', { ...spec(), tags: JSON.parse('{"constructor":"x"}') }, /^spec\.tags has a name/],
    ['a prototype', JSON.parse(`${JSON.stringify(spec()).slice(0, -1)},"__proto__":{"key":"x"}}`), /^spec has an unknown field/],
    ['something unknown', { ...spec(), admin: true }, /^spec has an unknown field/],
    ['an empty key', { ...spec(), key: '' }, /^spec\.key/],
  ])('with %s is refused by its path (X05)', (_, bad, message) => {
    expect(wrongWith(submit(bad))).toMatch(message);
  });
});

test('every graph that the core is proven on is let in', () => {
  const dice = new Dice(randomFrom(11));
  const graphs = new Graphs(dice);
  for (let i = 0; i < 2_000; i++) {
    const stages: StageSpec[] = [];
    while (stages.length < 1 + (i % 7)) stages.push(graphs.next(stages, stages.length));
    expect(wrongWith(submit(JSON.parse(JSON.stringify(jobSpec(stages)))))).toBeUndefined();
  }
});

describe('inputs', () => {
  const inputs = (change: object): unknown => ({ kind: 'inputs', job: 'j', stage: 0, from: 0, ...pack(['a', 'bb']), ...change });

  test('whose lengths and body agree are fine', () => {
    expect(wrongWith(inputs({}))).toBeUndefined();
    expect(wrongWith(inputs(pack([])))).toBeUndefined();
  });

  test.each<[string, object, RegExp]>([
    ['lengths that promise more', { lengths: Uint32Array.of(1, 3) }, /^lengths speak of 4 bytes, the body has 3/],
    ['lengths that promise less', { lengths: Uint32Array.of(1) }, /^lengths speak of 1 bytes/],
    ['lengths around a whole turn', { lengths: Uint32Array.of(4, 2 ** 32 - 1) }, /^lengths\[1\] is more than/],
    ['marks that are of other inputs (A02)', { marks: Uint32Array.of(0, 1) }, /^marks has not one more/],
    ['no lengths', { lengths: undefined }, /^lengths is no column/],
    ['a list for a column', { lengths: [1, 2] }, /^lengths is no column/],
    ['a body of JSON', { body: ['abc'] }, /^body is no payload/],
    ['no body', { body: undefined }, /^body is no payload/],
    ['a column for a body', { body: Uint32Array.of(1) }, /^body is no payload/],
    ['a stage of nowhere', { stage: -1 }, /^stage is no whole number/],
    ['a start behind the end of all', { from: 2 ** 32 - 1 }, /^a stage has at most/],
    ['more tasks than memory', { lengths: new Uint32Array(1_000_001), body: [] }, /^lengths has more than 1000000/],
  ])('with %s are refused (X09)', (_, change, message) => {
    expect(wrongWith(inputs(change))).toMatch(message);
  });

  test('sent along with a job go together', () => {
    expect(wrongWith(submit(spec(), { lengths: Uint32Array.of() }))).toBe('lengths and body go together');
    expect(wrongWith(submit(spec(), { lengths: Uint32Array.of(2), body: [new Uint8Array(1)] }))).toMatch(/^lengths speak of 2/);
  });
});

describe('a program', () => {
  const body = [Buffer.from('export '), Buffer.from('{}')];
  const hash = createHash('sha256').update('export {}').digest('hex');
  const put = (change: object): unknown => ({ kind: 'putBundle', request: 1, hash, name: 'main.ts', body, ...change });

  test('comes under its own hash, and not too large', () => {
    expect(wrongWith(put({}))).toBeUndefined();
    expect(wrongWith(put({ hash: 'f'.repeat(64) }))).toBe('hash is not that of the body');
    expect(wrongWith(put({ hash: hash.toUpperCase() }))).toMatch(/^hash/);
    expect(wrongWith(put({ body: [new Uint8Array(64 * 1024 * 1024 + 1)] }))).toMatch(/^body has more than/);
  });
});

test.each<[string, object, RegExp]>([
  ['listJobs', { limit: 0 }, /^limit/],
  ['listJobs', { limit: 1e9 }, /^limit/],
  ['listJobs', { limit: 10, states: 'queued' }, /^states is no list/],
  ['listJobs', { limit: 10, after: 'the last one' }, /^after is not what/],
  ['query', { job: '' }, /^job/],
  ['query', { job: ['x'] }, /^job is no text/],
  ['query', { job: 'x'.repeat(300) }, /^job has more than/],
  ['getTask', { job: 'j', stage: 0, index: -1 }, /^index/],
  ['getTask', { job: 'j', stage: 0, index: 2 ** 32 }, /^index/],
  ['setQueue', { queue: 'q', paused: 1 }, /^paused/],
  ['replay', { job: 'j', expectedAttempt: 1.5 }, /^expectedAttempt/],
  ['replay', { job: 'j', expectedVersion: -1 }, /^expectedVersion/],
  ['purge', { job: 'j', expectedVersion: '1' }, /^expectedVersion/],
  ['setQueue', { queue: 'q', paused: true, change: '' }, /^change/],
  ['deleteJob', { job: 'j', change: 'c'.repeat(65) }, /^change has more than/],
  ['drainWorker', { worker: 'w', expectedVersion: 0 }, /^it has an unknown field/],
  ['cancel', { job: 'j', reason: 'r'.repeat(5_000) }, /^reason has more than/],
  ['status', { request: -1 }, /^request/],
  ['status', { request: 2 ** 53 }, /^request/],
  ['status', { toString: 1 }, /^it has an unknown field/],
])('%s with %j is refused', (kind, change, message) => {
  expect(wrongWith({ kind, request: 1, ...change })).toMatch(message);
});

test.each<[string, object, RegExp]>([
  ['ranges that overlap', { had: Uint32Array.of(0, 3, 2, 1) }, /^had is out of order/],
  ['ranges that descend', { had: Uint32Array.of(5, 1, 2, 1) }, /^had is out of order/],
  ['an empty range', { had: Uint32Array.of(5, 0) }, /^had is out of order/],
  ['half a range', { had: Uint32Array.of(5) }, /^had is no column of ranges/],
  ['a list for a column', { failed: [1, 2] }, /^failed is no column/],
])('a reader that comes back with %s is refused (X09)', (_, change, message) => {
  const read = { kind: 'read', reader: 1, job: 'j', order: 'input', credit: 1, inputs: false, had: Uint32Array.of(0, 2, 2, 1) };
  expect(wrongWith(read)).toBeUndefined();
  expect(wrongWith({ ...read, ...change })).toMatch(message);
});
