import { describe, expect, it } from 'vitest';
import type { JobView } from '../core/answers.ts';
import type { DeliverMessage, FromClient, LogLine, Session } from '../core/messages.ts';
import type { JobSpec } from '../core/spec.ts';
import { Connection, type ReadAlong } from './connection.ts';

function session(): Session & { sent: FromClient[]; isClosed: boolean } {
  return {
    sent: [] as FromClient[],
    isClosed: false,
    send(message) {
      this.sent.push(message);
    },
    onMessage: () => undefined,
    onClose: () => undefined,
    close() {
      this.isClosed = true;
    },
  };
}

it('matches replies to requests in any order', async () => {
  const line = session();
  const connection = new Connection(line);
  const first = connection.request({ kind: 'query', job: 'a' });
  const second = connection.request({ kind: 'query', job: 'b' });
  line.onMessage({ kind: 'reply', request: 2, value: 'b' });
  line.onMessage({ kind: 'refusal', request: 1, error: { code: 'SH1401', message: 'no a', hint: 'look' } });
  line.onMessage({ kind: 'reply', request: 2, value: 'again' });
  await expect(second).resolves.toBe('b');
  await expect(first).rejects.toMatchObject({ code: 'SH1401', message: 'no a', hint: 'look' });
});

it('tells each who feeds a job how far it is, also when another of them has ended (A02)', () => {
  const line = session();
  const connection = new Connection(line);
  const heard: string[] = [];
  const sinks = ['first', 'second'].map(
    (name) =>
      ({ added }: { added: number }) =>
        void heard.push(`${name} ${added}`),
  );
  for (const sink of sinks) connection.onFlow('a', sink);
  line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 1, final: 0 });
  connection.offFlow('a', sinks[1]!);
  line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 2, final: 0 });
  expect(heard).toEqual(['first 1', 'second 1', 'first 2']);
});

describe('on a line that breaks and comes back', () => {
  function breaking() {
    const line = { ...session(), resets: true, onReset: () => undefined };
    const connection = new Connection(line);
    const reset = (): FromClient[] => {
      const before = line.sent.length;
      line.onReset();
      return line.sent.slice(before);
    };
    return { line, connection, reset };
  }
  const delivery = (reader: number, from: number, count: number, done = false): DeliverMessage => ({
    kind: 'deliver',
    reader,
    indices: Uint32Array.of(from, count),
    statuses: new Uint32Array(count),
    attempts: new Uint32Array(count),
    durations: new Uint32Array(count),
    workers: new Uint32Array(count),
    workerNames: ['w'],
    lengths: new Uint32Array(count),
    failures: [],
    done,
    body: [],
  });
  const spec: JobSpec = { name: 'j', stages: [], output: { stage: 0, take: 'one' }, priority: 0, keepMs: 0 };

  it('a submission that is refused for want of its program keeps its name when it is said again (A03)', async () => {
    const { line, connection } = breaking();
    const message = { kind: 'submit', spec, digest: 'd' } as const;
    const refused = connection.request({ ...message });
    line.onMessage({ kind: 'refusal', request: 1, error: { code: 'SH1408', message: 'no program' } });
    await expect(refused).rejects.toMatchObject({ code: 'SH1408' });
    const same = { ...message };
    for (const request of [2, 3]) {
      void connection.request(same);
      line.onMessage({ kind: 'reply', request, value: {} });
    }
    const [first, second, third] = line.sent.map((sent) => (sent.kind === 'submit' ? sent.submission : undefined));
    expect(second).not.toBe(first);
    expect(third).toBe(second);
  });

  it('what was not answered is asked again, what was is not; a submission keeps its name (A03)', async () => {
    const { line, connection, reset } = breaking();
    const answered = connection.request({ kind: 'query', job: 'a' });
    line.onMessage({ kind: 'reply', request: 1, value: 'b' });
    await answered;
    const submitted = connection.request({ kind: 'submit', spec, digest: '' });
    const again = reset();
    expect(again).toEqual([line.sent[1]]);
    expect(again[0]).toMatchObject({ kind: 'submit', submission: expect.stringMatching(/^[0-9a-z]{26}$/) });
    line.onMessage({ kind: 'reply', request: 2, value: 'job' });
    await expect(submitted).resolves.toBe('job');
    expect(reset()).toEqual([]);
  });

  it('a submission that reads opens its reader again, under a number of the new line, until it was answered', async () => {
    const { line, connection, reset } = breaking();
    const told: unknown[] = [];
    const one: ReadAlong = {
      how: { order: 'input', credit: 1, inputs: false },
      close: () => undefined,
      deliver: ({ statuses }) => told.push(statuses.length),
      end: (error) => told.push(error ?? 'end'),
    };
    const submitted = connection.submitAndRead({ kind: 'submit', spec, digest: '' }, one);
    const { reader: old } = (line.sent[0] as Extract<FromClient, { kind: 'submit' }>).read!;
    const again = reset();
    expect(again).toMatchObject([{ kind: 'submit', read: { order: 'input', credit: 1, inputs: false } }]);
    const { reader } = (again[0] as Extract<FromClient, { kind: 'submit' }>).read!;
    expect(reader).not.toBe(old);
    line.onMessage(delivery(old, 0, 1, true));
    expect(told).toEqual([]);
    // The answer may come with what it goes before.
    line.onMessage({ ...delivery(reader, 0, 1), replies: [{ kind: 'reply', request: 2, value: { job: 'a' } }] });
    await expect(submitted).resolves.toEqual({ job: 'a' });
    expect(told).toEqual([1]);
    const [third] = reset();
    expect(third).toMatchObject({ kind: 'read', job: 'a', had: Uint32Array.of(0, 1), credit: 0 });
    line.onMessage(delivery((third as Extract<FromClient, { kind: 'read' }>).reader, 1, 0, true));
    expect(told).toEqual([1, 0, 'end']);
    one.close();
    expect(line.sent.at(-1)).toMatchObject({ kind: 'unread', reader: (third as Extract<FromClient, { kind: 'read' }>).reader });
  });

  it('a submission that reads and is refused, or cut off by the end, is told so by its answer alone', async () => {
    const { line, connection, reset } = breaking();
    const told: unknown[] = [];
    const one = (): ReadAlong => ({
      how: { order: 'input', credit: 1, inputs: false },
      close: () => undefined,
      deliver: () => told.push('delivery'),
      end: () => told.push('end'),
    });
    const refused = connection.submitAndRead({ kind: 'submit', spec, digest: '' }, one());
    line.onMessage({ kind: 'refusal', request: 2, error: { code: 'SH1408', message: 'no program' } });
    await expect(refused).rejects.toMatchObject({ code: 'SH1408' });
    expect(reset()).toEqual([]);
    const cutOff = connection.submitAndRead({ kind: 'submit', spec, digest: '' }, one());
    connection.close();
    await expect(cutOff).rejects.toMatchObject({ code: 'SH1302' });
    await expect(connection.submitAndRead({ kind: 'submit', spec, digest: '' }, one())).rejects.toMatchObject({ code: 'SH1302' });
    expect(told).toEqual([]);
  });

  it('a change has a name of its own, and keeps it when it is said again (A03)', () => {
    const { line, connection, reset } = breaking();
    const changes = [
      { kind: 'cancel', job: 'a', reason: '' },
      { kind: 'replay', job: 'a', expectedVersion: 3 },
      { kind: 'purge', job: 'a' },
      { kind: 'setQueue', queue: 'a', paused: true },
    ] as const;
    for (const change of changes) void connection.request({ ...change });
    const names = line.sent.map((sent) => ('change' in sent ? sent.change : undefined));
    expect(new Set(names.filter((name) => /^[0-9a-z]{26}$/.test(name ?? ''))).size).toBe(4);
    expect(line.sent[1]).toMatchObject(changes[1]);
    expect(reset()).toEqual(line.sent.slice(0, 4));
    const lasting = session();
    void new Connection(lasting).request({ ...changes[0] });
    expect(lasting.sent).toEqual([{ ...changes[0], request: 1 }]);
  });

  it('a deletion that was done the first time is done', async () => {
    const { line, connection, reset } = breaking();
    const deleted = connection.request({ kind: 'deleteJob', job: 'a' });
    reset();
    line.onMessage({ kind: 'refusal', request: 1, error: { code: 'SH1401', message: 'no job' } });
    await expect(deleted).resolves.toEqual({});
  });

  it('inputs that are not known to be durable are sent again, in order; with none left the feeder says who it is', () => {
    const { line, connection, reset } = breaking();
    const inputs = (from: number, count: number) => ({
      kind: 'inputs' as const,
      job: 'a',
      stage: 0,
      from,
      lengths: new Uint32Array(count),
      body: [],
    });
    for (const from of [0, 10, 20]) connection.feed(inputs(from, 10));
    line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 20, final: 3 });
    expect(reset()).toMatchObject([{ from: 20, confirm: true }]);
    line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 30, final: 3 });
    expect(reset()).toMatchObject([{ from: 30, lengths: new Uint32Array(), confirm: true }]);
    connection.feed({ kind: 'seal', job: 'a', stage: 0, total: 30 });
    expect(reset()).toMatchObject([{ from: 30 }, { kind: 'seal', total: 30, confirm: true }]);
    line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 30, final: 3, sealed: true });
    expect(reset()).toEqual([]);
  });

  it('a reader goes on where it was, and an old line has no say in it any more', () => {
    const { line, connection, reset } = breaking();
    const got: string[] = [];
    const sink = (name: string) => ({
      deliver: ({ indices }: DeliverMessage) => void got.push(`${name} ${indices.join()}`),
      end: (error: unknown) => void got.push(`${name} ${error === undefined ? 'end' : 'error'}`),
    });
    const first = connection.read('a', sink('in order'), { order: 'input', credit: 100, inputs: false });
    connection.read('a', sink('as done'), { order: 'completion', credit: 50, inputs: true });
    line.onMessage(delivery(1, 20, 10));
    line.onMessage(delivery(1, 0, 10));
    line.onMessage({
      ...delivery(2, 7, 20),
      statuses: Uint32Array.from({ length: 20 }, (_, i) => (i === 3 ? 1 : 0)),
      attempts: new Uint32Array(20).fill(4),
    });
    connection.readCredit(first, 5);
    const again = reset();
    expect(again).toMatchObject([
      { kind: 'read', reader: 3, order: 'input', credit: 85, had: Uint32Array.of(0, 10, 20, 10) },
      { kind: 'read', reader: 4, order: 'completion', credit: 30, had: Uint32Array.of(7, 20), failed: Uint32Array.of(10, 4), inputs: true },
    ]);
    line.onMessage(delivery(1, 30, 5));
    line.onMessage(delivery(3, 30, 5, true));
    connection.unread(first);
    expect(line.sent.at(-1)).toEqual({ kind: 'unread', reader: 3 });
    expect(got).toEqual(['in order 20,10', 'in order 0,10', 'as done 7,20', 'in order 30,5', 'in order end']);
    expect(reset()).toMatchObject([{ order: 'completion' }]);
  });

  it('of printed lines only those come that are new', () => {
    const { line, connection, reset } = breaking();
    const got: string[] = [];
    const printed = (message: string): LogLine => ({
      wallMs: 1,
      job: 'a',
      stage: 0,
      index: 0,
      attempt: 1,
      task: 't',
      level: 'info',
      message,
    });
    connection.readLogs(
      'a',
      { lines: (lines) => void got.push(...lines.map(({ message }) => message)), end: () => void got.push('end') },
      true,
    );
    const place = { term: 1, line: 2 };
    line.onMessage({ kind: 'printed', reader: 1, lines: [printed('1'), printed('2')], done: false, place });
    expect(reset()).toEqual([{ kind: 'readLogs', reader: 2, job: 'a', follow: true, from: place }]);
    line.onMessage({ kind: 'printed', reader: 2, lines: [printed('4')], done: false, dropped: 1, place: { term: 2, line: 1 } });
    expect(reset()).toMatchObject([{ from: { term: 2, line: 1 } }]);
    line.onMessage({ kind: 'printed', reader: 3, lines: [], done: true });
    expect(got).toEqual(['1', '2', '1 line dropped: of what a job prints the newest is kept', '4', 'end']);
    expect(reset()).toEqual([]);
  });

  it('a reader of printed lines is forgotten at its end, whether its owner says so or not (L04)', () => {
    const { line, connection } = breaking();
    let ends = 0;
    const sink = { lines: () => undefined, end: () => void ends++ };
    const handles = [1, 2].map(() => connection.readLogs('a', sink, true));
    line.onMessage({ kind: 'printed', reader: 1, lines: [], done: true });
    line.onMessage({ kind: 'readEnd', reader: 2, error: { code: 'SH1401', message: 'no a' } });
    expect(ends).toBe(2);
    const { length } = line.sent;
    for (const handle of handles) connection.unread(handle);
    expect(line.sent).toHaveLength(length);
  });
});

it('tells its session whether something waits: an answer, a reader, inputs that are not known to be durable', () => {
  const told: boolean[] = [];
  const line = { ...session(), resets: true, holdProcess: (holds: boolean) => void told.push(holds) };
  const connection = new Connection(line);
  expect(told.splice(0)).toEqual([false]);
  connection.request({ kind: 'status' }).catch(() => undefined);
  connection.request({ kind: 'status' }).catch(() => undefined);
  line.onMessage({ kind: 'reply', request: 1, value: {} });
  expect(told.splice(0)).toEqual([true]);
  line.onMessage({ kind: 'refusal', request: 2, error: { code: 'SH1330', message: 'no' } });
  expect(told.splice(0)).toEqual([false]);
  const sink = { lines: () => undefined, deliver: () => undefined, end: () => undefined };
  const handle = connection.read('a', sink, { order: 'input', credit: 1, inputs: false });
  connection.unread(handle);
  expect(told.splice(0)).toEqual([true, false]);
  connection.readLogs('a', sink, true);
  line.onMessage({ kind: 'printed', reader: 4, lines: [], done: true });
  expect(told.splice(0)).toEqual([true, false]);
  connection.feed({ kind: 'seal', job: 'a', stage: 0, total: 0 });
  line.onMessage({ kind: 'flow', job: 'a', stage: 0, added: 0, final: 0, sealed: true });
  expect(told.splice(0)).toEqual([true, false]);
});

it('asks once how a job ended, however many want to know', async () => {
  const line = session();
  const connection = new Connection(line);
  const both = [connection.ended('a'), connection.ended('a')];
  expect(line.sent).toHaveLength(1);
  line.onMessage({ kind: 'reply', request: 1, value: { state: 'succeeded' } satisfies Partial<JobView> });
  expect(await Promise.all(both)).toEqual([{ state: 'succeeded' }, { state: 'succeeded' }]);
});

it('tells everybody when it is over, and whoever asks later', async () => {
  const line = session();
  const connection = new Connection(line);
  const waiting = connection.request({ kind: 'query', job: 'a' });
  const ends: unknown[] = [];
  const sink = { deliver: () => undefined, end: (error: unknown) => void ends.push(error) };
  connection.read('a', sink, { order: 'input', credit: 1, inputs: false });
  connection.close();
  expect(line.isClosed).toBe(true);
  await expect(waiting).rejects.toMatchObject({ code: 'SH1302' });
  await expect(connection.request({ kind: 'query', job: 'a' })).rejects.toMatchObject({ code: 'SH1302' });
  connection.read('a', sink, { order: 'input', credit: 1, inputs: false });
  await Promise.resolve();
  expect(ends).toEqual([expect.objectContaining({ code: 'SH1302' }), expect.objectContaining({ code: 'SH1302' })]);
  const { length } = line.sent;
  connection.unread(1);
  expect(line.sent).toHaveLength(length);
});
