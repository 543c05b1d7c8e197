/** What a client's line does with words that make sense; with others it is in client-nonsense.test.ts. */
import { describe, expect, test } from 'vitest';
import { WsBrokerServer } from '../brokers/ws/server.ts';
import { openRemoteSession } from '../client/remote/session.ts';
import type { JobView, SubmitReply } from '../core/answers.ts';
import { pack } from '../core/drive.suite.ts';
import { unreadAlongMax } from '../core/limits.ts';
import type { DeliverMessage, FromClient, Reply, Session, ToClient } from '../core/messages.ts';
import { noElection } from '../elections/none.ts';
import { memoryJournal } from '../journals/memory.ts';
import { Secret } from '../lib/secret.ts';
import type { Role } from '../lib/tokens.ts';
import { RawClient, type Served, tokenOf } from './api.suite.ts';
import { echo, serving, submit } from './client-line.suite.ts';

const served = serving(() => ({ broker: new WsBrokerServer(), journal: memoryJournal(), election: noElection() }));

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
  // The reader is gone in either case: its number is free.
  reader.send({ kind: 'read', reader: 1, job, order: 'input', credit: 9, inputs: false });
  expect(await reader.ask({ kind: 'query', request: 4, job })).toMatchObject({ kind });
  reader.socket.terminate();
  client.socket.terminate();
});

describe('a submission that reads', () => {
  const read = (reader: number) => ({ reader, order: 'input', credit: 9, inputs: false });

  test('is answered with its first delivery where that comes at once, and by itself where it does not', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    client.send({ kind: 'submit', request: 1, spec: echo({ keepMs: 0 }), digest: 'd', ...pack(['a']), read: read(1) });
    const delivery = await client.heard<DeliverMessage>(({ kind }) => kind === 'deliver');
    expect(delivery).toMatchObject({ reader: 1, done: true, replies: [{ request: 1, value: { deduplicated: false } }] });
    // Its inputs are to come.
    expect(await client.ask({ kind: 'submit', request: 2, spec: echo(), digest: 'd', read: read(2) })).toMatchObject({ kind: 'reply' });
    client.socket.terminate();
  });

  test('is answered before whatever else is said', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    client.send({ kind: 'submit', request: 1, spec: echo(), digest: 'd', read: read(1) });
    await client.ask({ kind: 'status', request: 2 });
    expect(client.told.map((told) => 'request' in told && told.request)).toEqual([1, 2]);
    client.socket.terminate();
  });

  test('has opened no reader where it is refused: its number is free', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    const job = await submit(client, echo({ key: 'k' }));
    const other = { kind: 'submit', spec: echo({ key: 'k' }), digest: 'other', read: read(1) };
    expect(await client.ask({ ...other, request: 2 })).toMatchObject({ error: { code: 'SH1402' } });
    client.send({ kind: 'inputs', job, stage: 0, from: 0, ...pack(['a']) });
    client.send({ kind: 'read', job, ...read(1) });
    expect(await client.heard(({ kind }) => kind === 'deliver')).toMatchObject({ reader: 1 });
    client.send({ ...other, request: 3 });
    expect(await client.closed).toEqual([1008, 'a reader of this number is open']);
  });
});

describe('a reader that is done with', () => {
  const read = (reader: number) => ({ reader, order: 'input', credit: 9, inputs: false }) as const;

  test('is forgotten at once where it read what was printed: nobody says so of it (L04)', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    const job = await submit(client, echo());
    client.send({ kind: 'seal', job, stage: 0, total: 0 });
    await client.ask({ kind: 'wait', request: 2, job });
    client.send({ kind: 'readLogs', reader: 1, job, follow: true });
    await client.heard((told) => told.kind === 'printed' && told.done);
    client.send({ kind: 'readLogs', reader: 1, job, follow: true });
    expect(await client.ask({ kind: 'query', request: 3, job })).toMatchObject({ kind: 'reply' });
    client.socket.terminate();
  });

  test('is told so by the next submission: its job goes, and its number is free for that very submission', async () => {
    const { port } = await served();
    const client = await RawClient.open(port, 'client');
    const first = { kind: 'submit', request: 1, spec: echo({ keepMs: 0 }), digest: 'd', ...pack(['a']), read: read(1) };
    const answer = await client.ask(first);
    const { job } = (answer as Reply).value as SubmitReply;
    await client.heard((told) => told.kind === 'deliver' && told.done);
    await client.ask({ ...first, request: 2, unread: [1] });
    expect(await client.ask({ kind: 'query', request: 3, job })).toMatchObject({ error: { code: 'SH1401' } });
    client.socket.terminate();
  });

  test.each<[string, (session: Session) => void, string[]]>([
    ['goes with a submission that comes at once', (session) => session.send(another), ['unread 1', 'unread 2', 'submit 1,2']],
    ['goes before whatever else is said', (session) => session.send(question), ['unread 1', 'unread 2', 'status']],
    ['goes by itself where nothing comes', () => undefined, ['unread 1', 'unread 2']],
    ['goes before the end', (session) => session.close(), ['unread 1', 'unread 2', 'close']],
  ])('%s', async (_what, next, wanted) => {
    const { port, sessions } = await served();
    const session = await openRemoteSession({ address: `http://127.0.0.1:${port}`, token: new Secret(tokenOf('client')) });
    const heard = hears(sessions[0]!, wanted.length);
    session.send({ kind: 'unread', reader: 1 });
    session.send({ kind: 'unread', reader: 2 });
    next(session);
    expect(await heard).toEqual(wanted);
    session.close();
  });

  const another: FromClient = { kind: 'submit', request: 3, spec: echo(), digest: 'd' };
  const question: FromClient = { kind: 'status', request: 3 };

  test('more of them than one submission names are told all the same', async () => {
    const { port, sessions } = await served();
    const session = await openRemoteSession({ address: `http://127.0.0.1:${port}`, token: new Secret(tokenOf('client')) });
    const count = 2 * unreadAlongMax + 1;
    const heard = hears(sessions[0]!, count + 1);
    for (let reader = 0; reader < count; reader++) session.send({ kind: 'unread', reader });
    session.send(another);
    const words = await heard;
    expect(words.slice(0, count)).toEqual(Array.from({ length: count }, (_, reader) => `unread ${reader}`));
    session.close();
  });
});

/** The first words that come to the coordinator's end of a line. */
function hears(session: Served['sessions'][number], count: number): Promise<string[]> {
  const words: string[] = [];
  return new Promise((resolve) => {
    const add = (word: string): void => {
      if (words.push(word) === count) resolve(words);
    };
    const { send, close } = session;
    session.send = (message) => {
      if (message.kind === 'unread') add(`unread ${message.reader}`);
      else add(message.kind === 'submit' ? `submit ${message.unread?.join() ?? ''}` : message.kind);
      send.call(session, message);
    };
    session.close = () => {
      add('close');
      close.call(session);
    };
  });
}

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

  test('for which too much waits is cut off, gets that all the same, and comes back for the rest (N10)', async () => {
    const { port, sessions } = await served();
    const session = await openRemoteSession({ address: `http://127.0.0.1:${port}`, token: new Secret(tokenOf('client')) });
    let got = 0;
    const isBack = new Promise<void>((resolve, reject) => {
      session.onReset = resolve;
      session.onClose = ({ message }) => reject(new Error(message));
      session.onMessage = (told) => {
        if (told.kind === 'deliver') got++;
      };
    });
    const body = [Buffer.alloc(64 * mib)];
    // 320 MiB and the heads of the messages are too much, whatever of it the system has taken: the last is not taken any more.
    for (let reader = 1; reader <= 8; reader++) sessions[0]!.onMessage(delivery(reader, body));
    await isBack;
    expect(got).toBeGreaterThanOrEqual(5);
    expect(got).toBeLessThan(8);
    session.close();
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

/** One result of that body. */
function delivery(reader: number, body: Uint8Array[]): DeliverMessage {
  const one = Uint32Array.of(0);
  const lengths = Uint32Array.of(body[0]!.length);
  const told = { attempts: one, durations: one, workers: one, workerNames: ['w'], failures: [], done: false };
  return { kind: 'deliver', reader, indices: Uint32Array.of(0, 1), statuses: one, lengths, ...told, body };
}

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
