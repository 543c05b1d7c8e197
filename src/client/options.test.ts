import { describe, expect, it } from 'vitest';
import { attemptsMax } from '../core/limits.ts';
import type { ShoalError } from '../lib/errors.ts';
import {
  type AnyOptions,
  checkOptionNames,
  crashLimitMax,
  jobTerms,
  mapTerms,
  mergeOptions,
  reduceTerms,
  retriesMax,
  stageTerms,
} from './options.ts';

const none = {} as AnyOptions;

function refusal(act: () => unknown): ShoalError {
  try {
    act();
  } catch (error) {
    return error as ShoalError;
  }
  throw new Error('it was not refused');
}

describe('what options mean', () => {
  it('has defaults that the docs name', () => {
    expect(stageTerms('t', none)).toEqual({
      queue: 'default',
      resources: {},
      retry: { retries: 0, backoff: 'exponential', delayMs: 200, delayMsMax: 30_000, jitter: true },
      crashLimit: 3,
      failuresMax: { count: 0 },
      onFailure: 'dead-letter',
    });
    expect(jobTerms('t', none)).toEqual({ priority: 0, keepMs: 86_400_000 });
    expect(mapTerms('t', none)).toEqual({ order: 'input', inFlightMax: 65_536, label: undefined, progressTitle: undefined });
    expect(reduceTerms('t', {})).toEqual({ fanIn: 16, ordered: false });
  });

  it("keeps a task's attempts within what its row can count", () => {
    expect(1 + retriesMax + crashLimitMax).toBeLessThan(attemptsMax);
  });

  it('turns words into numbers', () => {
    const deadline = new Date(1_900_000_000_000);
    const options: AnyOptions = {
      priority: 'high',
      timeout: '30s',
      ttl: '2h',
      retries: { retries: 4, backoff: 'fixed', delay: '2s', maxDelay: '1m', jitter: false },
      maxFailures: '2.5%',
      resources: { cpu: 2, memory: '1GiB', licences: 1 },
      chunkSize: 8,
      concurrency: 16,
      deadline,
      delay: 5,
      keepResults: false,
      tags: { team: 'data' },
      idempotencyKey: 'k',
    };
    expect(stageTerms('t', options)).toMatchObject({
      timeoutMs: 30_000,
      ttlMs: 7_200_000,
      retry: { retries: 4, backoff: 'fixed', delayMs: 2_000, delayMsMax: 60_000, jitter: false },
      failuresMax: { share: 0.025 },
      resources: { cpu: 2, memory: 2 ** 30, licences: 1 },
      chunkSize: 8,
      concurrency: 16,
    });
    expect(jobTerms('t', options)).toEqual({
      priority: 10,
      keepMs: 0,
      deadlineWallMs: 1_900_000_000_000,
      delayMs: 5,
      tags: { team: 'data' },
      key: 'k',
    });
  });

  it.each([
    ['timeout', 'K02', Number.NaN],
    ['timeout', 'K02', -1],
    ['timeout', 'K02', 2 ** 52],
    ['timeout', '', 0],
    ['timeout', '', '5 minutes'],
    ['ttl', 'K02', Number.POSITIVE_INFINITY],
    ['retries', 'K03', 1.5],
    ['retries', 'K03', 100_000],
    ['retries', 'K02', { retries: 1, delay: Number.NaN }],
    ['crashLimit', '', -1],
    ['maxFailures', '', '101%'],
    ['maxFailures', '', -1],
    ['queue', '', 'a queue'],
    ['resources', '', { memory: '1GB' }],
    ['chunkSize', '', 0],
    ['concurrency', '', 0.5],
    ['onFailure', '', 'ignore'],
  ])('refuses %s (%s %s) by its name', (option, _fault, value) => {
    const error = refusal(() => stageTerms('images.resize', { [option]: value }));
    expect(error.code).toBe('SH1102');
    expect(error.message).toMatch(new RegExp(`^images\\.resize: the option ${option}`));
    expect(error.hint).toContain(option);
  });

  it.each([
    ['priority', 'highest'],
    ['priority', 'constructor'],
    ['priority', Number.NaN],
    ['delay', -1],
    ['deadline', new Date(Number.NaN)],
    ['deadline', '2030-01-01'],
    ['idempotencyKey', ''],
    ['tags', { n: 1 }],
    ['keepResults', 'forever'],
    ['signal', {}],
  ])('refuses %s of a job', (option, value) => {
    expect(refusal(() => jobTerms('t', { [option]: value } as AnyOptions)).message).toContain(`the option ${option}`);
  });

  it('refuses what a map or a reduce does not understand', () => {
    expect(refusal(() => mapTerms('t', { order: 'random' as never })).code).toBe('SH1102');
    expect(refusal(() => mapTerms('t', { maxInFlight: 0 })).code).toBe('SH1102');
    expect(refusal(() => reduceTerms('t', { fanIn: 1 })).code).toBe('SH1102');
    expect(refusal(() => reduceTerms('t', { fanout: 4 } as object)).code).toBe('SH1102');
  });

  it('refuses misspelt names and says which was meant', () => {
    const error = refusal(() => checkOptionNames('t', 'call', { retry: 3 }));
    expect(error).toMatchObject({ code: 'SH1102', hint: 'did you mean retries?' });
    expect(refusal(() => checkOptionNames('t', 'call', { retires: 3 })).hint).toBe('did you mean retries?');
    expect(refusal(() => checkOptionNames('t', 'call', { backoff: 'fixed' })).hint).toBe(
      'it belongs into retries: { retries: 3, backoff: … }',
    );
    expect(refusal(() => checkOptionNames('t', 'call', { order: 'input' })).message).toBe('t: there is no option order of a call');
    expect(refusal(() => checkOptionNames('t', 'definition', JSON.parse('{"__proto__x": 1}'))).code).toBe('SH1102');
  });

  it('lets the last word count, and undefined say nothing', () => {
    expect(mergeOptions({ timeout: 5, queue: 'a' }, undefined, { timeout: 6, queue: undefined as never })).toEqual({
      timeout: 6,
      queue: 'a',
    });
  });
});
