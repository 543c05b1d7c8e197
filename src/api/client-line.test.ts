import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { dialWsBroker } from '../brokers/ws/client.ts';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import { openRemoteSession } from '../client/remote/session.ts';
import { jobSpec, pack, stage } from '../core/drive.suite.ts';
import type {
  AssignMessage,
  DeliverMessage,
  FromClient,
  FromWorker,
  JobView,
  Session,
  SubmitReply,
  ToClient,
  ToWorker,
  WorkerCode,
} from '../core/messages.ts';
import { indicesOf } from '../core/ranges.ts';
import type { JobSpec } from '../core/spec.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import { Secret } from '../lib/secret.ts';
import type { Role } from '../lib/tokens.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { type Plugs, RawClient, type Served, serve, tokenOf } from './api.suite.ts';
import type { ApiOptions } from './server.ts';

const plugs = (): Plugs => ({ broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() });

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function served(options: Partial<ApiOptions> = {}): Promise<Served> {
  let nowMs = 0;
  // Each line comes in a minute of its own: limits of haste are not what is looked at here.
  const it = await serve(plugs(), { nowMs: () => (nowMs += 60_000), ...options });
  open.push(it);
  return it;
}

/** Its inputs are its results: it needs no worker. */
const echo = (options: Partial<JobSpec> = {}): JobSpec => {
  const { definition: _, ...inputs } = stage();
  return jobSpec([inputs], options);
};

async function submit(client: RawClient, spec: JobSpec, request = 1): Promise<string> {
  const reply = await client.ask({ kind: 'submit', request, spec, digest: 'd' });
  if (reply.kind !== 'reply') throw new Error(reply.error.why);
  return (reply.value as SubmitReply).job;
}

describe('what a role may say', () => {
  const hash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  const words = {
    query: { job: 'j' },
    wait: { job: 'j' },
    find: { key: 'k' },
    deadLetters: {},
    listJobs: { limit: 1 },
    listTasks: { job: 'j', limit: 1 },
    getTask: { job: 'j', stage: 0, index: 0 },
    listWorkers: {},
    listQueues: {},
    status: {},
    explain: { job: 'j' },
    hasBundle: { hash },
    submit: { spec: echo(), digest: 'd' },
    cancel: { job: 'j', reason: 'r' },
    replay: { job: 'j' },
    deleteJob: { job: 'j' },
    putBundle: { hash, name: 'n', body: [] },
    purge: { job: 'j' },
    setQueue: { queue: 'q', paused: false },
    drainWorker: { worker: 'w' },
  };
  const looks = [
    'query',
    'wait',
    'find',
    'deadLetters',
    'listJobs',
    'listTasks',
    'getTask',
    'listWorkers',
    'listQueues',
    'status',
    'explain',
  ];
  const uses = [...looks, 'hasBundle', 'submit', 'cancel', 'replay', 'deleteJob'];

  test.each<[Role, readonly string[]]>([
    ['read-only', [...looks, 'hasBundle']],
    ['client', uses],
    ['client+bundles', [...uses, 'putBundle']],
    ['admin', Object.keys(words)],
  ])('%s', async (role, allowed) => {
    const { port } = await served();
    const client = await RawClient.open(port, role);
    const may: string[] = [];
    let request = 0;
    for (const [kind, fields] of Object.entries(words)) {
      const answer = await client.ask({ kind, request: ++request, ...fields });
      if (answer.kind === 'reply' || answer.error.code !== 'SH3002') may.push(kind);
      else expect(answer.error).toMatchObject({ message: `a ${role} token may not do this`, hint: expect.any(String) });
      if (answer.kind === 'refusal') expect(answer.error.code).not.toBe('SH1330');
    }
    expect(may).toEqual(Object.keys(words).filter((kind) => allowed.includes(kind)));
    client.socket.terminate();
  });

  test.each(['inputs', 'seal'])('%s by a read-only token changes nothing and ends the line', async (kind) => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    const job = await submit(client, echo());
    const reader = await RawClient.open(port, 'read-only');
    reader.send(kind === 'seal' ? { kind, job, stage: 0, total: 0 } : { kind, job, stage: 0, from: 0, ...pack(['a']) });
    expect(await reader.closed).toEqual([1008, `${kind} needs more rights`]);
    expect(await client.ask({ kind: 'query', request: 2, job })).toMatchObject({ value: { state: 'queued' } satisfies Partial<JobView> });
    client.socket.terminate();
  });
});

test.each<[Role, string]>([
  ['read-only', 'reply'],
  ['client', 'refusal'],
])('a job that is kept until it was read, read by %s: asked for afterwards, a %s', async (role, kind) => {
  const { port } = await served();
  const client = await RawClient.open(port, 'client');
  const job = await submit(client, echo({ keepMs: 0 }));
  client.send({ kind: 'inputs', job, stage: 0, from: 0, ...pack(['a']) });
  client.send({ kind: 'seal', job, stage: 0, total: 1 });
  await client.ask({ kind: 'wait', request: 2, job });
  const reader = await RawClient.open(port, role);
  reader.send({ kind: 'read', reader: 1, job, order: 'input', credit: 9, inputs: false });
  await reader.heard((told) => told.kind === 'deliver' && told.done);
  reader.send({ kind: 'unread', reader: 1 });
  expect(await reader.ask({ kind: 'query', request: 3, job })).toMatchObject({ kind });
  reader.socket.terminate();
  client.socket.terminate();
});

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

  test('thousands of mutilated messages by one who may: each is answered or ends a line, and the coordinator serves on (X09)', async () => {
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

describe('a line', () => {
  test('keeps the order of what is said: megabytes, then their seal; results, then their end', async () => {
    const { port } = await served();
    const session = await openRemoteSession({ address: `http://127.0.0.1:${port}`, token: new Secret(tokenOf('client')) });
    const job = ((await ask(session, { kind: 'submit', request: 1, spec: echo(), digest: 'd' })) as SubmitReply).job;
    const delivered = collect(session);
    for (let from = 0; from < 40; from++) {
      session.send({ kind: 'inputs', job, stage: 0, from, lengths: Uint32Array.of(mib), body: [Buffer.alloc(mib, from)] });
    }
    session.send({ kind: 'seal', job, stage: 0, total: 40 });
    session.send({ kind: 'read', reader: 2, job, order: 'input', credit: 1_000, inputs: false });
    const bytes = Buffer.concat((await delivered).flatMap(({ body }) => body as Uint8Array[]));
    expect(bytes.length).toBe(40 * mib);
    for (let index = 0; index < 40; index++) expect(bytes[index * mib]).toBe(index);
    session.close();
  });

  test('that breaks closes its session; the job goes on', async () => {
    const { port, sessions } = await served();
    const client = await RawClient.open(port, 'client');
    const job = await submit(client, echo());
    let closed = 0;
    const [session] = sessions;
    const close = session!.close.bind(session);
    const isClosed = new Promise<void>((resolve) => {
      session!.close = () => {
        closed++;
        close();
        resolve();
      };
    });
    client.socket.terminate();
    await isClosed;
    const other = await RawClient.open(port, 'read-only');
    expect(await other.ask({ kind: 'query', request: 1, job })).toMatchObject({ value: { job, state: 'queued' } });
    expect(closed).toBe(1);
    other.socket.terminate();
  });

  test('is not read while the coordinator is full', async () => {
    let letGo = (): void => {};
    let isFull = true;
    const full = new Promise<void>((resolve) => {
      letGo = () => {
        isFull = false;
        resolve();
      };
    });
    const { port } = await served({ room: () => (isFull ? full : undefined) });
    const client = await RawClient.open(port, 'client');
    expect(await client.ask({ kind: 'status', request: 1 })).toMatchObject({ kind: 'reply' });
    client.send({ kind: 'status', request: 2 });
    // Another line is read up to its first message, too: whatever came before has been answered by then.
    const other = await RawClient.open(port, 'client');
    await other.ask({ kind: 'status', request: 1 });
    expect(client.told).toHaveLength(1);
    letGo();
    await client.heard((told) => 'request' in told && told.request === 2);
    client.socket.terminate();
    other.socket.terminate();
  });

  test('of who does not read holds no more than a window of what was asked for (N10)', async () => {
    const { port, sessions } = await served();
    const feeder = await RawClient.open(port, 'client');
    const job = await submit(feeder, echo());
    for (let from = 0; from < 200; from++) {
      feeder.send({ kind: 'inputs', job, stage: 0, from, lengths: Uint32Array.of(mib), body: [Buffer.alloc(mib, from)] });
    }
    feeder.send({ kind: 'seal', job, stage: 0, total: 200 });
    await feeder.ask({ kind: 'wait', request: 2, job });

    const deaf = await RawClient.open(port, 'client');
    let told = 0;
    const session = sessions.at(-1)!;
    const tell = session.onMessage;
    session.onMessage = (message) => {
      for (const chunk of message.kind === 'deliver' ? message.body : []) told += chunk.length;
      tell(message);
    };
    deaf.socket.pause();
    deaf.send({ kind: 'read', reader: 1, job, order: 'input', credit: 1_000_000, inputs: false });
    // Behind the read in the core's order: what the read gave is told by the time that this is answered for the third time.
    for (let request = 10; request < 20; request++) await feeder.ask({ kind: 'status', request });
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThan(100 * mib);
    deaf.socket.resume();
    await deaf.heard((message) => message.kind === 'deliver' && message.done);
    expect(told).toBe(200 * mib);
    deaf.socket.terminate();
    feeder.socket.terminate();
  });
});

const mib = 1024 * 1024;

function ask(session: Session, message: FromClient): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.onMessage = (told) => (told.kind === 'reply' ? resolve(told.value) : reject(new Error(JSON.stringify(told))));
    session.send(message);
  });
}

/** All deliveries up to the end of the one reader. */
function collect(session: Session): Promise<DeliverMessage[]> {
  const all: DeliverMessage[] = [];
  return new Promise((resolve, reject) => {
    session.onMessage = (told: ToClient) => {
      if (told.kind === 'readEnd') reject(new Error(told.error?.message));
      if (told.kind !== 'deliver') return;
      all.push(told);
      if (told.done) resolve(all);
    };
  });
}

/** A worker that gives a byte for each task, or elements, or fails. */
async function diceWorker(port: number, random: () => number): Promise<{ reports(): number; close(): Promise<void> }> {
  const broker = await dialWsBroker({ address: `http://127.0.0.1:${port}`, token: new Secret(tokenOf('worker')) });
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
      ...(random() < 0.3 && { from: below(2) * (2 ** 32 - 1) }),
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

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
