import { pathToFileURL } from 'node:url';
import { runInThisContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { callerUrl } from './module-url.ts';

function define(): string | undefined {
  return callerUrl(define);
}

describe('callerUrl', () => {
  it('is the module that called, as a URL', () => {
    expect(define()).toBe(pathToFileURL(import.meta.filename).href);
  });

  it('is nothing for code without a file', () => {
    const evaluated = runInThisContext('(define) => define()') as (call: typeof define) => string | undefined;
    expect(evaluated(define)).toBeUndefined();
  });

  it('leaves stacks as they are', () => {
    const before = [Error.prepareStackTrace, Error.stackTraceLimit];
    define();
    expect([Error.prepareStackTrace, Error.stackTraceLimit]).toEqual(before);
    expect(new Error('x').stack).toContain('module-url.test.ts');
  });
});
