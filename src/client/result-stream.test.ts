import { expect, it } from 'vitest';
import { msgpackCodec } from '../codecs/msgpack.ts';
import type { DeliverMessage, FromClient, Session } from '../core/messages.ts';
import { ByteSink } from '../lib/bytes.ts';
import { Connection } from './connection.ts';
import { nothing, ResultStream } from './result-stream.ts';

interface Line extends Session {
  sent: FromClient[];
}

function line(): Line {
  const sent: FromClient[] = [];
  return { sent, send: (message) => void sent.push(message), onMessage: () => undefined, onClose: () => undefined, close: () => undefined };
}

function stream(session: Line, taken: (number | undefined)[] = []): ResultStream<unknown> {
  return new ResultStream<unknown>({
    connection: new Connection(session),
    job: 'j',
    codecs: { output: msgpackCodec, input: msgpackCodec },
    order: 'input',
    inputs: false,
    value: (cursor) => cursor.value(),
    failure: () => Promise.resolve(nothing),
    rest: () => Promise.resolve([]),
    taken: (count) => void taken.push(count),
  });
}

function delivery(from: number, values: readonly unknown[], done = false): DeliverMessage {
  const sink = new ByteSink();
  const lengths = values.map((value) => {
    const before = sink.length;
    msgpackCodec.encode(value, sink);
    return sink.length - before;
  });
  const zeros = new Uint32Array(values.length);
  return {
    kind: 'deliver',
    reader: 1,
    indices: Uint32Array.of(from, values.length),
    statuses: zeros,
    attempts: zeros,
    durations: zeros,
    workers: zeros,
    workerNames: [],
    lengths: Uint32Array.from(lengths),
    failures: [],
    done,
    body: [sink.take()],
  };
}

function creditOf({ sent }: Line): number[] {
  return sent.flatMap((message) => (message.kind === 'readCredit' ? [message.credit] : []));
}

it('asks for many small results ahead', async () => {
  const session = line();
  const results = stream(session);
  session.onMessage(delivery(0, [1, 2, 3]));
  expect(creditOf(session)).toEqual([32_768 - 1_024]);
  expect(await results.next()).toEqual({ done: false, value: 1 });
  await results.return();
});

it('asks for few large ones, and only as they are taken', async () => {
  const session = line();
  const results = stream(session);
  const large = 'x'.repeat(1024 * 1024);
  session.onMessage(delivery(0, [large, large, large]));
  for (let n = 0; n < 3; n++) await results.next();
  expect(creditOf(session)).toEqual([]);
  await results.return();
});

it('tells how far it was taken, by deliveries, and that it is over', async () => {
  const session = line();
  const taken: (number | undefined)[] = [];
  const results = stream(session, taken);
  session.onMessage(delivery(0, [1, 2]));
  session.onMessage(delivery(2, [3], true));
  for await (const _ of results);
  expect(taken).toEqual([0, 2, 3, undefined]);
  expect(session.sent.map(({ kind }) => kind)).toEqual(['read', 'readCredit', 'unread']);
});

it('stops reading when the loop is left', async () => {
  const session = line();
  const results = stream(session);
  session.onMessage(delivery(0, [1, 2]));
  for await (const value of results) if (value === 1) break;
  expect(session.sent.at(-1)).toEqual({ kind: 'unread', reader: 1 });
  expect(await results.next()).toEqual({ done: true, value: undefined });
});

it('ends what waits when it is closed meanwhile', async () => {
  const session = line();
  const results = stream(session);
  const waiting = results.next();
  await results.return();
  expect(await waiting).toEqual({ done: true, value: undefined });
});

it('gives an error where a value is damaged', async () => {
  const session = line();
  const results = stream(session);
  session.onMessage({ ...delivery(0, ['abc']), body: [Uint8Array.of(0xc1, 0, 0, 0)] });
  await expect(results.next()).rejects.toMatchObject({ code: 'SH1202' });
  expect(session.sent.at(-1)).toEqual({ kind: 'unread', reader: 1 });
});
