import { expect, it } from 'vitest';
import type { FromClient, JobView, Session } from '../core/messages.ts';
import { Connection } from './connection.ts';

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
  connection.send({ kind: 'unread', reader: 1 });
  expect(line.sent).toHaveLength(length);
});

it('keeps the newest log lines', () => {
  const connection = new Connection(session());
  const line = { wallMs: 0, job: 'a', stage: 0, index: 0, attempt: 1, task: 't', level: 'info', message: '' };
  for (let n = 0; n < 25_000; n++) connection.addLog({ ...line, message: String(n) });
  const kept = connection.logsOf('a');
  expect(kept.at(-1)!.message).toBe('24999');
  expect(kept.length).toBeLessThanOrEqual(20_000);
});
