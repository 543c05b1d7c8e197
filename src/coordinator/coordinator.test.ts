import { afterEach, describe, expect, it, vi } from 'vitest';
import { memoryBroker } from '../brokers/memory.ts';
import { jobSpec, stage } from '../core/drive.suite.ts';
import type { FromClient, FromWorker, Refusal, ToClient, ToWorker } from '../core/messages.ts';
import type { Election } from '../elections/election.ts';
import { noElection } from '../elections/none.ts';
import { type Journal, JournalFullError, OutcomeUnknownError } from '../journals/journal.ts';
import { memoryJournal } from '../journals/memory.ts';
import { concatBytes } from '../lib/bytes.ts';
import { type Outside, realOutside } from '../lib/outside.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { Bodies } from './bodies.ts';
import { Coordinator } from './coordinator.ts';
import type { LocalSession } from './sessions.ts';

const open: Coordinator[] = [];

afterEach(async () => {
  for (const coordinator of open.splice(0)) await coordinator.stop();
});

async function coordinatorOn(journal: Journal, broker = memoryBroker(), outside = realOutside): Promise<Coordinator> {
  const coordinator = new Coordinator({ broker, journal, election: noElection(), isOneMachine: true, outside });
  open.push(coordinator);
  await coordinator.start();
  return coordinator;
}

/** A journal that keeps its facts, and has no room while `isFull`. */
class SmallJournal implements Journal {
  readonly durability = 'host';
  readonly maxEntryBytes: number;
  isFull = false;
  private onTry = (): void => {};
  readonly tried = new Promise<void>((resolve) => {
    this.onTry = resolve;
  });
  private readonly inner = memoryJournal();

  constructor() {
    this.maxEntryBytes = this.inner.maxEntryBytes;
  }

  append(entries: Parameters<Journal['append']>[0]): Promise<void> {
    if (!this.isFull) return this.inner.append(entries);
    this.onTry();
    return Promise.reject(new JournalFullError('no space left on the device'));
  }
  read(...args: Parameters<Journal['read']>): ReturnType<Journal['read']> {
    return this.inner.read(...args);
  }
  readBodies(...args: Parameters<Journal['readBodies']>): Promise<Uint8Array[]> {
    return this.inner.readBodies(...args);
  }
  drop(stream: string): Promise<void> {
    return this.inner.drop(stream);
  }
  close(): Promise<void> {
    return this.inner.close();
  }
}

function ask(session: LocalSession, message: FromClient): Promise<ToClient> {
  return new Promise((resolve) => {
    session.onMessage = resolve;
    session.send(message);
  });
}

const hello: FromWorker = {
  kind: 'hello',
  worker: 'w',
  incarnation: 'i',
  address: 'worker.w.i',
  slots: 1,
  labels: {},
  resources: { cpu: 1 },
  queues: ['default'],
  host: 'h',
  pid: 1,
  version: '0',
  code: { kind: 'any' },
};

const submit: FromClient = { kind: 'submit', request: 1, spec: jobSpec([stage()]), digest: 'd' };

describe('a journal without room (S02)', () => {
  it('refuses what is submitted, and takes jobs again as soon as it has room, though nothing else is stored', async () => {
    const journal = new SmallJournal();
    const session = (await coordinatorOn(journal)).session();
    expect(await ask(session, { kind: 'setQueue', request: 0, queue: 'q', paused: true })).toMatchObject({ kind: 'reply' });
    journal.isFull = true;
    const blocked = ask(session, { kind: 'setQueue', request: 0, queue: 'q', paused: false });
    await journal.tried;
    journal.isFull = false;
    expect(await blocked).toMatchObject({ kind: 'reply' });
    expect(await ask(session, submit)).toMatchObject({ kind: 'reply', value: { deduplicated: false } });
  });

  it('does not keep its coordinator from closing', async () => {
    const journal = new SmallJournal();
    const coordinator = await coordinatorOn(journal);
    const session = coordinator.session();
    await ask(session, { kind: 'setQueue', request: 0, queue: 'q', paused: true });
    journal.isFull = true;
    session.send(submit);
    await journal.tried;
    await coordinator.stop();
  });
});

/** A journal of which each append waits until it is let go. */
class SlowJournal extends SmallJournal {
  private readonly held: (() => void)[] = [];
  private onHeld: () => void = () => {};
  isSlow = false;

  override async append(entries: Parameters<Journal['append']>[0]): Promise<void> {
    if (this.isSlow) {
      await new Promise<void>((resolve) => {
        this.held.push(resolve);
        this.onHeld();
      });
    }
    return super.append(entries);
  }
  async nextHeld(): Promise<void> {
    if (this.held.length === 0) await new Promise<void>((resolve) => (this.onHeld = resolve));
  }
  letGo(): void {
    for (const resolve of this.held.splice(0)) resolve();
  }
}

it('who asks for lines while the turn that ends the job is being stored gets what the turn brought', async () => {
  const journal = new SlowJournal();
  const broker = memoryBroker();
  const session = (await coordinatorOn(journal, broker)).session();
  const told: ToClient[] = [];
  const { value } = (await ask(session, submit)) as { value: { job: string } };
  const { job } = value;
  const worker = { worker: 'w', incarnation: 'i' };
  const say = (message: FromWorker): Promise<void> => broker.send('hello', [concatBytes(encodeMessage(message))]);
  session.onMessage = (message) => void told.push(message);
  const printed = (): ToClient[] => told.filter(({ kind }) => kind === 'printed');

  await say(hello);
  await new Promise(setImmediate);
  journal.isSlow = true;
  session.send({ kind: 'setQueue', request: 2, queue: 'q', paused: true });
  await journal.nextHeld();
  const line = { wallMs: 1, job, stage: 0, index: 0, attempt: 1, task: 't', level: 'info' as const, message: 'last words' };
  await say({ ...worker, kind: 'logs', lines: [line] });
  await new Promise(setImmediate);
  session.send({ kind: 'cancel', request: 3, job, reason: 'enough' });
  journal.letGo();
  await journal.nextHeld();
  session.send({ kind: 'readLogs', reader: 4, job, follow: true });
  journal.isSlow = false;
  journal.letGo();
  await expect.poll(() => printed().some((message) => message.kind === 'printed' && message.done)).toBe(true);
  expect(printed().flatMap((message) => (message.kind === 'printed' ? message.lines.map((each) => each.message) : []))).toEqual([
    'last words',
  ]);
});

it('says that there is no such job only when that is durable, though nobody waited for the job to go (I3)', async () => {
  const journal = new SlowJournal();
  const session = (await coordinatorOn(journal)).session();
  const spec = { ...jobSpec([stage()]), keepMs: 0 };
  const none = { lengths: new Uint32Array(), body: [] };
  const { value } = (await ask(session, { kind: 'submit', request: 1, spec, digest: 'd', ...none })) as { value: { job: string } };
  const { job } = value;
  expect(await ask(session, { kind: 'read', reader: 2, job, order: 'input', credit: 1, inputs: false })).toMatchObject({ done: true });
  const told: ToClient[] = [];
  session.onMessage = (message) => void told.push(message);
  journal.isSlow = true;
  session.send({ kind: 'unread', reader: 2 });
  await new Promise(setImmediate);
  session.send({ kind: 'query', request: 3, job });
  await journal.nextHeld();
  expect(told).toEqual([]);
  journal.isSlow = false;
  journal.letGo();
  await expect.poll(() => told).toMatchObject([{ kind: 'refusal', request: 3, error: { code: 'SH1401' } }]);
});

it('keeps the stream of a job that is gone where it could not store that, and stops (H2; found by the simulator, seed 4958)', async () => {
  const journal = new SmallJournal();
  const coordinator = await coordinatorOn(journal);
  const session = coordinator.session();
  const spec = { ...jobSpec([stage()]), keepMs: 0 };
  const none = { lengths: new Uint32Array(), body: [] };
  const { value } = (await ask(session, { kind: 'submit', request: 1, spec, digest: 'd', ...none })) as { value: { job: string } };
  await ask(session, { kind: 'read', reader: 2, job: value.job, order: 'input', credit: 1, inputs: false });
  session.send({ kind: 'unread', reader: 2 });
  await new Promise(setImmediate);
  journal.append = () => Promise.reject(new OutcomeUnknownError('no answer'));
  await coordinator.stop();
  const kept = [];
  for await (const entries of journal.read(`job.${value.job}`, { from: 0, part: 'head' })) kept.push(...entries);
  expect(kept.length).toBeGreaterThan(0);
});

it('gives the space of many small jobs back as they go, not all at once with the next tick', async () => {
  const journal = new SmallJournal();
  const dropped: string[] = [];
  journal.drop = async (stream) => void dropped.push(stream);
  const timeless: Outside = { ...realOutside, every: () => ({ cancel() {}, ref() {}, unref() {} }) };
  const session = (await coordinatorOn(journal, memoryBroker(), timeless)).session();
  const spec = { ...jobSpec([stage()]), keepMs: 0 };
  const read = { order: 'input', credit: 1, inputs: false } as const;
  for (let reader = 0; reader < 700; reader++) {
    const submission: FromClient = { kind: 'submit', request: reader, spec, digest: 'd', lengths: new Uint32Array(), body: [] };
    await ask(session, { ...submission, read: { ...read, reader } });
    session.send({ kind: 'unread', reader });
  }
  expect(new Set(dropped).size).toBe(dropped.length);
  expect(dropped.length).toBe(512);
});

it('bodies of streams that are gone are forgotten, and their places with them (I14)', () => {
  const bodies = new Bodies(1024 * 1024);
  for (let i = 0; i < 10_000; i++) {
    bodies.put(`job.${i}`, 0, [new Uint8Array(100)], 100);
    bodies.drop(`job.${i}`);
  }
  bodies.put('job.kept', 0, [Uint8Array.of(1, 2, 3)], 3);
  expect(bodies.places).toBeLessThan(3_000);
  expect(bodies.read('job.kept', [{ seq: 0, offset: 1, length: 2 }])).toEqual([Uint8Array.of(2, 3)]);
});

describe('under an election', () => {
  const ttlMs = 60_000;

  /** Leads for whoever asks; `lose` takes it away. */
  function election(): { election: Election; lose: () => void } {
    const lost = new AbortController();
    const leadership = { lost: lost.signal, ttlMs, resign: async () => undefined };
    return {
      election: { campaign: async () => leadership, leader: async () => undefined, close: async () => undefined },
      lose: () => lost.abort(),
    };
  }

  it('notices that another has taken over before it answers, though it has nothing to write (H18, C14)', async () => {
    const journal = new SmallJournal();
    const failed: unknown[] = [];
    const options = { broker: memoryBroker(), journal, isOneMachine: false, election: election().election };
    const first = new Coordinator({ ...options, onFailed: (error) => failed.push(error) });
    open.push(first);
    await first.start();
    const second = new Coordinator({ ...options, broker: memoryBroker(), election: election().election });
    open.push(second);
    await second.start();
    const session = first.session();
    const ended = new Promise<Refusal>((resolve) => void (session.onClose = resolve));
    const told: ToClient[] = [];
    session.onMessage = (message) => told.push(message);
    session.send({ kind: 'status', request: 1 });
    expect((await ended).code).toBe('SH4001');
    expect(told).toEqual([]);
    expect(failed).toHaveLength(1);
  });

  it('does not serve what it has read when its leadership was lost meanwhile (found by the simulator, seed 5)', async () => {
    const { election: own, lose } = election();
    const journal = new SmallJournal();
    const append = journal.append.bind(journal);
    journal.append = (entries) => {
      lose();
      return append(entries);
    };
    const coordinator = new Coordinator({ broker: memoryBroker(), journal, isOneMachine: false, election: own });
    open.push(coordinator);
    await expect(coordinator.start()).rejects.toMatchObject({ code: 'SH3003' });
    expect(coordinator.isServing).toBe(false);
  });

  it.each([
    { what: 'lost its leadership', code: 'SH3003' },
    { what: 'was stopped', code: 'SH1302' },
  ])('writes nothing if it $what while it read the registry: a barrier would depose who leads now (C05)', async ({ code }) => {
    const { election: own, lose } = election();
    const journal = new SmallJournal();
    const [appends, read] = [vi.spyOn(journal, 'append'), journal.read.bind(journal)];
    journal.read = (...args) => {
      if (code === 'SH3003') lose();
      else void coordinator.stop();
      return read(...args);
    };
    const coordinator = new Coordinator({ broker: memoryBroker(), journal, isOneMachine: false, election: own });
    open.push(coordinator);
    await expect(coordinator.start()).rejects.toMatchObject({ code });
    expect(appends).not.toHaveBeenCalled();
  });

  it.each([
    { isReplaced: true, code: 'SH4001', what: 'a leader that was replaced takes what its successor has dropped for no damage' },
    { isReplaced: false, code: 'SH4004', what: 'a leader whose journal lacks bytes says that it is damaged' },
  ])('$what (P9; found by the simulator, seed 884)', async ({ isReplaced, code }) => {
    const journal = new SmallJournal();
    const before = await coordinatorOn(journal);
    const reply = await ask(before.session(), { ...submit, lengths: Uint32Array.of(1), body: [Uint8Array.of(7)] });
    const { job } = (reply as Extract<ToClient, { kind: 'reply' }>).value as { job: string };
    await before.stop();
    const readBodies = journal.readBodies.bind(journal);
    journal.readBodies = async (...args) => {
      const { election: other } = election();
      const second = new Coordinator({ broker: memoryBroker(), journal, isOneMachine: false, election: other });
      open.push(second);
      if (isReplaced) await second.start();
      await journal.drop(`job.${job}`);
      return readBodies(...args);
    };
    const broker = memoryBroker();
    const failed = new Promise((resolve) => {
      const coordinator = new Coordinator({ broker, journal, isOneMachine: false, election: election().election, onFailed: resolve });
      open.push(coordinator);
      void coordinator.start().then(() => broker.send('hello', [concatBytes(encodeMessage(hello))]));
    });
    expect(await failed).toMatchObject({ code });
  });

  it('refuses nobody for want of room when its time is over, though no timer has told it yet (C04; found by the simulator, seed 601035)', async () => {
    const journal = new SmallJournal();
    let isOver = false;
    const lost = Object.defineProperty(AbortSignal.abort({ why: 'it was not renewed' }), 'aborted', { get: () => isOver });
    const own: Election = {
      campaign: async () => ({ lost, ttlMs, resign: async () => undefined }),
      leader: async () => undefined,
      close: async () => undefined,
    };
    const coordinator = new Coordinator({ broker: memoryBroker(), journal, isOneMachine: false, election: own });
    open.push(coordinator);
    await coordinator.start();
    journal.isFull = true;
    coordinator.session().send(submit);
    await journal.tried;
    const session = coordinator.session();
    const told: ToClient[] = [];
    session.onMessage = (message) => told.push(message);
    const ended = new Promise<Refusal>((resolve) => void (session.onClose = resolve));
    await new Promise(setImmediate);
    isOver = true;
    session.send({ ...submit, request: 2 });
    expect((await ended).code).toBe('SH3003');
    expect(told).toEqual([]);
  });

  /** A leader that has read an input on its way to a worker, up to the bytes themselves. */
  const reading = async () => {
    const journal = new SmallJournal();
    const before = await coordinatorOn(journal);
    await ask(before.session(), { ...submit, lengths: Uint32Array.of(1), body: [Uint8Array.of(7)] });
    await before.stop();
    const readBodies = journal.readBodies.bind(journal);
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    let onRead = (): void => undefined;
    const reads = new Promise<void>((resolve) => (onRead = resolve));
    journal.readBodies = async (...args) => {
      onRead();
      await held;
      return readBodies(...args);
    };
    const { election: own, lose } = election();
    const broker = memoryBroker();
    const heard: string[] = [];
    await broker.listen('worker.w.i', (messages) => {
      for (const message of messages) heard.push(decodeMessage<ToWorker>(message).kind);
    });
    const coordinator = new Coordinator({ broker, journal, isOneMachine: false, election: own });
    open.push(coordinator);
    await coordinator.start();
    await broker.send('hello', [concatBytes(encodeMessage(hello))]);
    await reads;
    return { coordinator, heard, letGo, lose };
  };

  it('hands out nothing that waited for bytes when its leadership was lost (I13; found by the simulator, seed 518487)', async () => {
    const { heard, letGo, lose } = await reading();
    lose();
    letGo();
    await new Promise(setImmediate);
    expect(heard).toEqual(['welcome']);
  });

  it('nor when its time ends while it stops (I13; found by the simulator, seed 1040981)', async () => {
    const { coordinator, heard, letGo, lose } = await reading();
    const stopped = coordinator.stop();
    lose();
    letGo();
    await stopped;
    expect(heard).toEqual(['welcome']);
  });
});

describe('a coordinator that leaves in good order', () => {
  /** A worker whose first task is done, and that was not told yet that it may forget that. */
  const withResult = async (journal: SlowJournal) => {
    const broker = memoryBroker();
    const coordinator = await coordinatorOn(journal, broker);
    const heard: ToWorker[] = [];
    await broker.listen('worker.w.i', (messages) => {
      for (const message of messages) heard.push(decodeMessage<ToWorker>(message));
    });
    const say = (message: FromWorker): Promise<void> => broker.send('hello', [concatBytes(encodeMessage(message))]);
    await say(hello);
    const inputs = { lengths: Uint32Array.of(1), body: [Uint8Array.of(1)] };
    await ask(coordinator.session(), { ...submit, ...inputs } as FromClient);
    await expect.poll(() => heard.map(({ kind }) => kind)).toContain('assign');
    const { job, term, serial } = heard.find((message) => message.kind === 'assign')!;
    const done = { ranges: Uint32Array.of(0, 1), lengths: Uint32Array.of(1), durations: Uint32Array.of(5), body: [Uint8Array.of(9)] };
    const about = { worker: 'w', incarnation: 'i', number: 1, term, serial, job, stage: 0, attempt: 1 };
    const report = (): Promise<void> => say({ kind: 'results', ...about, ...done });
    return { coordinator, report, acknowledged: () => heard.filter(({ kind }) => kind === 'ackResults') };
  };

  it('tells its workers what they may forget: who is stopped at the same moment need not wait for another leader', async () => {
    const { coordinator, report, acknowledged } = await withResult(new SlowJournal());
    await report();
    await new Promise(setImmediate);
    expect(acknowledged()).toEqual([]);
    await coordinator.stop();
    await new Promise(setImmediate);
    expect(acknowledged()).toMatchObject([{ number: 1 }]);
  });

  it('also of the commit under way, and of nothing that could not be stored (rule 1)', async () => {
    for (const isStored of [true, false]) {
      const journal = new SlowJournal();
      const { coordinator, report, acknowledged } = await withResult(journal);
      journal.isSlow = true;
      await report();
      await journal.nextHeld();
      const stopped = coordinator.stop();
      journal.isSlow = false;
      if (!isStored) journal.isFull = true;
      journal.letGo();
      await stopped;
      await new Promise(setImmediate);
      expect(acknowledged().length).toBe(isStored ? 1 : 0);
    }
  });
});
