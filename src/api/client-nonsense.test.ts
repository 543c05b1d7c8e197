/** Whatever a client says, the coordinator serves on (X09). */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { dialWsBroker } from '../brokers/ws/client.ts';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import type { SubmitReply } from '../core/answers.ts';
import { jobSpec, pack, stage } from '../core/drive.suite.ts';
import type { AssignMessage, FromClient, FromWorker, ToWorker, WorkerCode } from '../core/messages.ts';
import { indicesOf } from '../core/ranges.ts';
import type { JobSpec } from '../core/spec.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import { Secret } from '../lib/secret.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { RawClient, seeded, tokenOf } from './api.suite.ts';
import { echo, serving, submit } from './client-line.suite.ts';

const served = serving(() => ({ broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() }));

describe('what makes no sense', () => {
  test('is answered where it has a number: the line goes on', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    expect(await client.ask({ kind: 'query', request: 1 })).toMatchObject({ error: { code: 'SH1330', why: 'job is no text' } });
    expect(await client.ask({ kind: 'toString', request: 2 })).toMatchObject({ error: { code: 'SH1330', why: 'its kind is unknown' } });
    expect(await client.ask({ kind: '__proto__', request: 3 })).toMatchObject({ error: { code: 'SH1330' } });
    expect(await client.ask({ kind: 'submit', request: 4, spec: {}, digest: 'd' })).toMatchObject({ error: { code: 'SH1330' } });
    expect(await client.ask({ kind: 'query', request: 5, job: 'j' })).toMatchObject({ error: { code: 'SH1401' } });
    client.socket.terminate();
  });

  test.each<[string, unknown, string]>([
    ['an unknown word', { kind: 'hello' }, 'its kind is unknown'],
    ['a number that is none', { kind: 'query', request: '1', job: 'j' }, 'request is no whole number'],
    ['lengths that lie', { kind: 'inputs', job: 'j', stage: 0, from: 0, lengths: Uint32Array.of(9), body: [] }, 'lengths speak of 9 bytes'],
    ['credit without end', { kind: 'readCredit', reader: 1, credit: 1e300 }, 'credit is no whole number'],
  ])('%s ends the line', async (_, message, reason) => {
    const { port, coordinator } = await served();
    const client = await RawClient.open(port, 'client');
    client.send(message);
    expect(await client.closed).toEqual([1008, expect.stringContaining(reason)]);
    expect(coordinator.isServing).toBe(true);
  });

  test('no message at all ends the line', async () => {
    const { port } = await served();
    for (const frame of [Buffer.of(0), Buffer.of(0, 0x5f, 9, 9, 9), Buffer.from('\0{"kind":"status"}')]) {
      const client = await RawClient.open(port, 'admin');
      client.socket.send(frame);
      expect((await client.closed)[0]).toBe(1002);
    }
    const client = await RawClient.open(port, 'admin');
    client.socket.send('{"kind":"status"}');
    expect((await client.closed)[0]).toBe(1003);
  });

  test('one reader has one number', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    const job = await submit(client, echo());
    const read = { kind: 'read', reader: 7, job, order: 'input', credit: 1, inputs: false };
    client.send(read);
    client.send({ kind: 'unread', reader: 7 });
    client.send(read);
    client.send(read);
    expect(await client.closed).toEqual([1008, 'a reader of this number is open']);
  });

  test('thousands of mutilated messages by one who may: each is answered or ends a line, and the coordinator serves on (X09)', {
    timeout: 180_000,
  }, async () => {
    const { port, coordinator } = await served();
    const random = seeded(42);
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
    const good: FromClient[] = [
      { kind: 'submit', request: 1, spec: echo(), digest: 'd', ...pack(['a', 'b']) },
      { kind: 'submit', request: 1, spec: jobSpec([stage(), stage({ kind: 'each', from: 0 })]), digest: 'd' },
      { kind: 'inputs', job: 'j', stage: 0, from: 0, ...pack(['a', 'b']) },
      { kind: 'listTasks', request: 1, job: 'j', limit: 10, states: ['ready'], after: '0/1' },
      { kind: 'read', reader: 1, job: 'j', order: 'input', credit: 10, inputs: true },
      { kind: 'status', request: 1 },
    ];
    const frames = good.map((message) => Buffer.concat([Buffer.of(0), ...encodeMessage(message)]));
    let client = await RawClient.open(port, 'admin');
    let ends = 0;
    for (let i = 0; i < 5_000; i++) {
      const frame = Buffer.from(pick(frames));
      for (let n = 1 + Math.floor(random() * 4); n > 0; n--)
        frame[1 + Math.floor(random() * (frame.length - 1))] = Math.floor(random() * 256);
      const cut = random() < 0.1 ? frame.subarray(0, 1 + Math.floor(random() * frame.length)) : frame;
      client.socket.send(cut);
      client.socket.ping();
      const isOver = await Promise.race([once(client.socket, 'pong').then(() => false), client.closed.then(() => true)]);
      if (!isOver) continue;
      ends++;
      client = await RawClient.open(port, 'admin');
    }
    expect(ends).toBeGreaterThan(500);
    expect(await client.ask({ kind: 'status', request: 1e6 })).toMatchObject({ kind: 'reply' });
    expect(coordinator.isServing).toBe(true);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    client.socket.terminate();
  });

  test.each([1, 2, 3])('well-formed nonsense, in any order, does not stop the core (X09), seed %i', async (seed) => {
    const { port, coordinator } = await served();
    const client = await RawClient.open(port, 'admin');
    const random = seeded(seed);
    const worker = await diceWorker(port, random);
    const jobs = ['j'];
    for (let request = 1; request <= 5_000; request++) {
      const message = nonsense(random, jobs, request);
      if (!('request' in message) || message.kind === 'wait') {
        client.send(message);
        continue;
      }
      const answer = await client.ask({ ...message, request });
      if (message.kind === 'submit' && answer.kind === 'reply') jobs.push((answer.value as SubmitReply).job);
    }
    expect(jobs.length).toBeGreaterThan(50);
    expect(worker.reports()).toBeGreaterThan(10);
    expect(coordinator.isServing).toBe(true);
    expect(await client.ask({ kind: 'status', request: 1e6 })).toMatchObject({ kind: 'reply' });
    client.socket.terminate();
    await worker.close();
  });
});

/** A worker that gives a byte for each task, or elements, or fails. */
async function diceWorker(port: number, random: () => number): Promise<{ reports(): number; close(): Promise<void> }> {
  const broker = await dialWsBroker({ address: `http://127.0.0.1:${port}`, token: () => new Secret(tokenOf('worker')) });
  const me = { worker: 'w', incarnation: 'i' };
  let number = 0;
  const say = (message: FromWorker): void => void broker.send('hello', encodeMessage(message)).catch(() => undefined);
  const onAssign = ({ term, serial, job, stage: at, attempt, ranges, spread }: AssignMessage): void => {
    const base = { ...me, term, serial, job, stage: at, attempt };
    const indices = [...indicesOf(ranges)];
    if (random() < 0.2) {
      const error = { name: 'Error', message: 'no' };
      for (const index of indices)
        say({ ...base, number: ++number, kind: 'failed', index, error, verdict: random() < 0.5 ? 'dead' : 'retry', durationUs: 1 });
      return;
    }
    const counts = Uint32Array.from(indices, () => (spread ? Math.floor(random() * 3) : 1));
    const lengths = new Uint32Array(counts.reduce((sum, count) => sum + count, 0)).fill(1);
    const body = [new Uint8Array(lengths.length)];
    say({
      ...base,
      number: ++number,
      kind: 'results',
      ranges,
      lengths,
      ...(spread && { counts }),
      durations: new Uint32Array(indices.length),
      body,
    });
  };
  const listener = await broker.listen('worker.w', (frames) => {
    for (const frame of frames) {
      const message = decodeMessage<ToWorker>(frame);
      if (message.kind === 'assign') onAssign(message);
    }
  });
  const code: WorkerCode = { kind: 'named', names: ['inputs', 'each', 'spread', 'fold'], bundles: false };
  say({
    ...me,
    kind: 'hello',
    address: 'worker.w',
    slots: 4,
    labels: {},
    resources: { gpu: 2 },
    queues: ['constructor'],
    host: 'h',
    pid: 1,
    version: '0',
    code,
  });
  const beats = setInterval(() => say({ ...me, kind: 'beat', number: 0, term: 1, lastSerial: 0, load: 0, count: 0, hash: 0 }), 1_000);
  return {
    reports: () => number,
    async close() {
      clearInterval(beats);
      await listener.close();
      await broker.close();
    },
  };
}

/** A message that passes the checks; what it speaks of may or may not be there. */
function nonsense(random: () => number, jobs: readonly string[], request: number): FromClient & Record<string, unknown> {
  const below = (count: number): number => Math.floor(random() * count);
  const job = jobs[below(jobs.length)]!;
  const task = { stage: below(4), index: below(6) };
  const maybeTask = random() < 0.5 ? task : {};
  const makers: (() => FromClient)[] = [
    () => ({ kind: 'submit', request, spec: anySpec(below), digest: 'd', ...(random() < 0.5 && pack(['a', 'bb', ''])) }),
    () => ({ kind: 'submit', request, spec: { ...anySpec(below), key: `k${below(3)}` }, digest: `d${below(2)}` }),
    () => ({ kind: 'submit', request, spec: anySpec(below), digest: 'd', submission: `s${below(3)}`, ...pack(['a']) }),
    () => ({
      kind: 'submit',
      request,
      spec: { ...anySpec(below), key: `k${below(3)}` },
      digest: `d${below(2)}`,
      read: { reader: request, order: random() < 0.5 ? 'input' : 'completion', credit: below(9), inputs: random() < 0.5 },
      ...(random() < 0.5 && { unread: [below(request), below(request)] }),
    }),
    () => ({ kind: 'inputs', job, stage: below(4), from: below(4), confirm: random() < 0.3, ...pack(['a', 'b']) }),
    () => ({ kind: 'inputs', job, stage: 0, from: 0, ...pack([]) }),
    () => ({ kind: 'seal', job, stage: below(4), total: below(5) }),
    () => ({ kind: 'cancel', request, job, reason: '\u001b[2J<img onerror=1>' }),
    () => ({ kind: 'replay', request, job, ...maybeTask, ...(random() < 0.3 && { expectedAttempt: below(3) }) }),
    () => ({
      kind: 'read',
      reader: request,
      job,
      order: random() < 0.5 ? 'input' : 'completion',
      credit: below(3) * 10 ** below(9),
      inputs: random() < 0.5,
      ...(random() < 0.3 && {
        had: Uint32Array.of(below(3), 1 + below(2) * (2 ** 32 - 4), 2 ** 32 - 1, 1),
        failed: Uint32Array.of(below(3), below(9), 7),
      }),
    }),
    () => ({ kind: 'readCredit', reader: below(request), credit: 10 ** below(10) }),
    () => ({ kind: 'unread', reader: below(request) }),
    () => ({ kind: 'readLogs', reader: request, job, follow: random() < 0.5 }),
    () => ({ kind: 'query', request, job }),
    () => ({ kind: 'wait', request, job }),
    () => ({ kind: 'find', request, key: `k${below(4)}` }),
    () => ({ kind: 'deadLetters', request, ...(random() < 0.5 && { job }) }),
    () => ({ kind: 'purge', request, job, ...maybeTask }),
    () => ({ kind: 'setQueue', request, queue: 'default', paused: random() < 0.5 }),
    () => ({ kind: 'deleteJob', request, job }),
    () => ({ kind: 'listJobs', request, limit: 1 + below(3), states: ['nonsense' as 'queued'], after: job }),
    () => ({ kind: 'listTasks', request, job, limit: 1 + below(3), after: `${below(9)}/${10 ** below(10)}` }),
    () => ({ kind: 'listTasks', request, job, limit: 1, after: 'nonsense', states: ['nonsense' as 'ready'] }),
    () => ({ kind: 'getTask', request, job, ...task }),
    () => ({ kind: 'getTask', request, job, stage: 1e6, index: 2 ** 32 - 1 }),
    () => ({ kind: 'explain', request, job, ...maybeTask }),
    () => ({ kind: 'drainWorker', request, worker: '__proto__' }),
    () => ({ kind: 'listWorkers', request }),
    () => ({ kind: 'listQueues', request }),
    () => ({ kind: 'status', request }),
    () => ({ kind: 'hasBundle', request, hash: 'constructor' }),
  ];
  return makers[below(makers.length)]!() as FromClient & Record<string, unknown>;
}

function anySpec(below: (count: number) => number): JobSpec {
  const count = 1 + below(4);
  const stages = Array.from({ length: count }, (_, at) => {
    const kind = at === 0 ? 'inputs' : (['inputs', 'each', 'spread', 'fold'] as const)[below(4)]!;
    const from = below(Math.max(1, at));
    const feed =
      kind === 'inputs'
        ? ({ kind } as const)
        : kind === 'fold'
          ? { kind, from, fanIn: 2 + below(3), ordered: below(2) === 0 }
          : { kind, from };
    const { definition, ...rest } = stage(feed, {
      queue: 'constructor',
      resources: { gpu: below(3) },
      crashLimit: below(256),
      ...(below(4) === 0 && { ttlMs: below(2) * 1e15 }),
      ...(below(4) === 0 && { timeoutMs: below(2) * 1e15 }),
      ...(at > 0 &&
        below(3) === 0 && { args: [{ stage: below(at), take: (['same', 'one', 'all'] as const)[below(3)]!, path: ['__proto__'] }] }),
      ...(at > 0 && below(3) === 0 && { after: [below(at), below(at)] }),
    });
    return kind === 'inputs' && below(2) === 0 ? rest : { ...rest, definition: { name: definition!.name } };
  });
  return jobSpec(stages, {
    output: { stage: below(count), take: below(2) === 0 ? 'one' : 'all' },
    keepMs: below(2) * 1e15,
    priority: below(3) * -1e9,
    ...(below(9) === 0 && { delayMs: below(2) * 1e15 }),
    ...(below(4) === 0 && { deadlineWallMs: below(2) * 1e16 }),
  });
}
