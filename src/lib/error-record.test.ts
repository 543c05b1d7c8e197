import { describe, expect, it } from 'vitest';
import { errorFromRecord, recordText, toErrorRecord } from './error-record.ts';

describe('an error becomes a record', () => {
  it('with its name, message, code, stack and cause', () => {
    const error = Object.assign(new TypeError('outer', { cause: new Error('inner') }), { code: 'E_OUTER' });
    expect(toErrorRecord(error)).toEqual({
      name: 'TypeError',
      message: 'outer',
      code: 'E_OUTER',
      stack: error.stack,
      cause: { name: 'Error', message: 'inner', stack: (error.cause as Error).stack },
    });
    expect(toErrorRecord(Object.assign(new Error('x'), { code: 17 })).code).toBe('17');
  });

  it('bounded: 10 MB of stack, of message and of name, and many causes (T06)', () => {
    const error = new Error('m'.repeat(10_000_000));
    error.name = 'n'.repeat(10_000_000);
    error.stack = '😀'.repeat(5_000_000);
    let deep = error;
    for (let i = 0; i < 100; i++) deep = new Error(`level ${i}`, { cause: deep });
    error.cause = deep;
    const record = toErrorRecord(deep);
    const text = JSON.stringify(toErrorRecord(error));
    expect(text.length).toBeLessThan(6 * 40_000);
    expect(text).not.toContain('\\ud83d');
    let depth = 0;
    for (let at = record.cause; at; at = at.cause) depth++;
    expect(depth).toBe(5);
  });

  it('with properties of its own, as far as JSON has them; and back', () => {
    class HttpError extends Error {
      status = 502;
      headers = { retry: ['soon'] };
      at = new Date(0);
      big = 5n;
      send = () => undefined;
      long = 'x'.repeat(10_000);
      override name = 'HttpError';
    }
    const record = toErrorRecord(new HttpError('bad gateway', { cause: 'x' }));
    const own = { status: 502, headers: { retry: ['soon'] }, at: '1970-01-01T00:00:00.000Z' };
    expect(record.own).toEqual(own);
    expect({ ...errorFromRecord(record) }).toEqual(own);
    expect(errorFromRecord(record)).toMatchObject({ name: 'HttpError', message: 'bad gateway', status: 502 });
    const many = Object.assign(new Error('many'), Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`p${n}`, n])));
    expect(Object.keys(toErrorRecord(many).own!)).toHaveLength(20);
    expect(toErrorRecord(new Error('none'))).not.toHaveProperty('own');
  });

  it('with properties that would take a hundred megabytes, or code, to show: they are left out (T06)', () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const error = Object.assign(new Error('big'), {
      body: Buffer.alloc(100_000_000),
      nested: { body: Buffer.alloc(100_000_000), fine: 1 },
      list: new Array(1_000_000).fill(1),
      text: 'x'.repeat(100_000_000),
      circle,
      sly: {
        toJSON: () => {
          throw new Error('it was run');
        },
      },
      status: 500,
    });
    const { own } = toErrorRecord(error);
    expect(own).toMatchObject({ nested: { fine: 1 }, sly: {}, status: 500 });
    expect(own).not.toHaveProperty('body');
    expect(own).not.toHaveProperty('list');
    expect(own).not.toHaveProperty('text');
    expect(JSON.stringify(own).length).toBeLessThan(3 * 1024);
  });

  it('whose own properties do not take the place of what makes it an error (X11)', () => {
    const own = JSON.parse('{"message":"other","stack":"none","__proto__":{"polluted":true},"constructor":1,"fine":1}');
    const error = errorFromRecord({ name: 'Error', message: 'it', own });
    expect({ ...error }).toEqual({ fine: 1 });
    expect(error.message).toBe('it');
    expect('polluted' in error).toBe(false);
    const hostile = Object.defineProperty(new Error('it'), 'getter', {
      enumerable: true,
      get() {
        throw new Error('no');
      },
    });
    expect(toErrorRecord(Object.assign(hostile, { circle: hostile }))).not.toHaveProperty('own');
  });

  it('whose causes go in a circle (T06)', () => {
    const one = new Error('one');
    const two = new Error('two', { cause: one });
    one.cause = two;
    expect(toErrorRecord(one)).toMatchObject({ message: 'one', cause: { message: 'two' } });
    expect(toErrorRecord(one).cause).not.toHaveProperty('cause');
    one.cause = one;
    expect(toErrorRecord(one)).not.toHaveProperty('cause');
  });

  it('whose getters throw (T06)', () => {
    const error = new RangeError('original');
    for (const key of ['stack', 'cause', 'code']) {
      Object.defineProperty(error, key, {
        get() {
          throw new Error('no');
        },
      });
    }
    expect(toErrorRecord(error)).toEqual({ name: 'RangeError', message: 'original' });
    Object.defineProperty(error, 'message', {
      get() {
        throw new Error('no');
      },
    });
    expect(toErrorRecord(error).name).toBe('NonError');
    expect(toErrorRecord(Object.assign(new Error('x'), { name: 5 })).name).toBe('Error');
  });

  it('of what is no error (T07)', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const hostile = new Proxy(new Error('x'), {
      get() {
        throw new Error('no');
      },
      getPrototypeOf() {
        throw new Error('no');
      },
    });
    const messages = [null, undefined, 'x', '', 5, Symbol('s'), () => 1, { a: 1 }, proxy, hostile].map((thrown) => {
      const record = toErrorRecord(thrown);
      expect(record.name).toBe('NonError');
      return record.message;
    });
    expect(messages.slice(0, 8)).toEqual([
      'null was thrown',
      'undefined was thrown',
      'x',
      '',
      '5 was thrown',
      'Symbol(s) was thrown',
      '[Function (anonymous)] was thrown',
      '{ a: 1 } was thrown',
    ]);
    expect(toErrorRecord({ message: 'like an error', code: 'E' })).toEqual({ name: 'Error', message: 'like an error', code: 'E' });
  });

  it('of many errors: the first is the cause', () => {
    expect(toErrorRecord(new AggregateError([new Error('first'), new Error('second')], 'all')).cause?.message).toBe('first');
  });
});

describe('a record', () => {
  it('becomes an error again', () => {
    const record = toErrorRecord(Object.assign(new TypeError('outer', { cause: new Error('inner') }), { code: 'E' }));
    const error = errorFromRecord(record);
    expect(error).toBeInstanceOf(TypeError);
    expect(toErrorRecord(error)).toEqual(record);
    expect(Object.keys(error)).toEqual(['code']);
  });

  it('never chooses a class by its name (X11)', () => {
    for (const name of ['constructor', '__proto__', 'Function', 'Promise', 'toString']) {
      const error = errorFromRecord({ name, message: 'm' });
      expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
      expect([error.name, error.stack]).toEqual([name, `${name}: m`]);
    }
  });

  it('of another maker may nest without end', () => {
    let record = { name: 'Error', message: 'm' };
    for (let i = 0; i < 100_000; i++) record = { name: 'Error', message: 'm', cause: record } as typeof record;
    expect(errorFromRecord(record).message).toBe('m');
    expect(recordText(record).length).toBeLessThan(1100);
  });

  it('is one line that acts on no terminal (X13)', () => {
    const text = recordText({
      name: 'Error',
      message: 'a\nerror: forged\u001b[2J\r\u009b31m\u202e',
      cause: { name: 'RangeError', message: 'why', cause: { name: 'Error', message: 'deep' } },
    });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    expect(text).toContain('(cause: RangeError: why (cause: Error: deep))');
  });
});
