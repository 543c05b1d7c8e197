import { afterEach, expect, it } from 'vitest';
import { memoryBroker } from '../brokers/memory.ts';
import { jobSpec, stage } from '../core/drive.suite.ts';
import type { FromClient, ToClient } from '../core/messages.ts';
import type { Candidate, Election, Leadership } from '../elections/election.ts';
import { noElection } from '../elections/none.ts';
import { type Journal, JournalCorruptError, OutcomeUnknownError } from '../journals/journal.ts';
import { memoryJournal } from '../journals/memory.ts';
import { ShoalError } from '../lib/errors.ts';
import { type Outside, realOutside } from '../lib/outside.ts';
import { Candidacy, type CandidacyOptions } from './candidacy.ts';
import type { LocalSession } from './sessions.ts';
import { Watchdog } from './watchdog.ts';

const open: Candidacy[] = [];
afterEach(async () => {
  for (const candidacy of open.splice(0)) await candidacy.stop();
});

/** One lease for all, given to whoever asked first; a test may take it away, or give a second one. */
class Lease {
  readonly ids: string[] = [];
  private holder: { me: Candidate; losing: AbortController } | undefined;
  private readonly waiting: (() => void)[] = [];

  election(): Election {
    return { campaign: (me, signal) => this.campaign(me, signal), leader: async () => this.holder?.me, close: async () => undefined };
  }

  private async campaign(me: Candidate, signal: AbortSignal): Promise<Leadership> {
    this.ids.push(me.id);
    while (this.holder) {
      await new Promise<void>((resolve, reject) => {
        this.waiting.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    }
    const held = { me, losing: new AbortController() };
    this.holder = held;
    return { lost: held.losing.signal, ttlMs: 60_000, resign: async () => this.free(held) };
  }

  private free(held: Lease['holder']): void {
    if (this.holder !== held) return;
    this.holder = undefined;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Its holder does not know it. */
  forget(): void {
    this.free(this.holder);
  }

  take(): void {
    const { holder } = this;
    this.free(holder);
    holder!.losing.abort(new ShoalError('SH3013', 'it leads no more', { why: 'a test took it' }));
  }
}

/** Kept over all that open it; each opening may be closed on its own. */
class SharedJournal {
  readonly inner = memoryJournal();
  opened = 0;
  closed = 0;
  failure: Error | undefined;
  hang = false;

  open(): Promise<Journal> {
    this.opened++;
    if (this.failure) return Promise.reject(this.failure);
    const { inner } = this;
    return Promise.resolve({
      maxEntryBytes: inner.maxEntryBytes,
      durability: 'host',
      append: (entries) => (this.hang ? new Promise(() => undefined) : this.failure ? Promise.reject(this.failure) : inner.append(entries)),
      read: (...args) => inner.read(...args),
      readBodies: (...args) => inner.readBodies(...args),
      drop: (stream) => inner.drop(stream),
      close: async () => void this.closed++,
    });
  }
}

/** Real time, of which what comes again and again comes a hundred times as often. */
const lookingOften = (): Outside => ({ ...realOutside, every: (ms, act) => realOutside.every(ms / 100, act) });
const inAHurry = (): Outside => ({ ...realOutside, after: (ms, act) => realOutside.after(ms / 100, act) });

interface Watched {
  candidacy: Candidacy;
  changes: string[];
  failures: unknown[];
  warnings: string[];
}

async function candidate(lease: Lease, journal: SharedJournal, more: Partial<CandidacyOptions> = {}): Promise<Watched> {
  const watched: Omit<Watched, 'candidacy'> = { changes: [], failures: [], warnings: [] };
  const candidacy = new Candidacy({
    election: lease.election(),
    broker: memoryBroker(),
    openJournal: () => journal.open(),
    onChange: (standing) => watched.changes.push(standing),
    onFailed: (error) => watched.failures.push(error),
    onWarning: (line) => watched.warnings.push(line),
    ...more,
  });
  open.push(candidacy);
  await candidacy.start();
  return { candidacy, ...watched };
}

function ask(session: LocalSession, message: FromClient): Promise<ToClient> {
  return new Promise((resolve) => {
    session.onMessage = resolve;
    session.send(message);
  });
}

const submit: FromClient = { kind: 'submit', request: 1, spec: jobSpec([stage()]), digest: 'd' };

it('stands by while another leads, with no journal open, and goes on with its jobs once that one has stopped', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const first = await candidate(lease, journal, { url: 'http://first' });
  const second = await candidate(lease, journal, { url: 'http://second' });
  expect([second.candidacy.coordinator, second.candidacy.leaderUrl, journal.opened]).toEqual([undefined, 'http://first', 1]);
  const reply = (await ask(first.candidacy.coordinator!.session(), submit)) as { value: { job: string } };
  await first.candidacy.stop();
  await expect.poll(() => second.candidacy.coordinator?.isServing).toBe(true);
  expect(second.candidacy.leaderUrl).toBe(undefined);
  const seen = await ask(second.candidacy.coordinator!.session(), { kind: 'query', request: 2, job: reply.value.job });
  expect(seen).toMatchObject({ kind: 'reply', value: { job: reply.value.job } });
  expect([first.changes, second.changes]).toEqual([['leads', 'standby'], ['leads']]);
});

it('leaves nothing behind on its way from one leadership to the next (found by the simulator)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', onWarning);
  const { candidacy } = await candidate(lease, journal, { outside: inAHurry() });
  for (let term = 1; term <= 12; term++) {
    await expect.poll(() => candidacy.coordinator?.isServing, { interval: 5 }).toBe(true);
    lease.take();
  }
  // Warnings are told a tick later.
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
});

it('that is taken its leadership says nothing more, closes its journal, and campaigns again under another id (C09)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const it = await candidate(lease, journal);
  const first = it.candidacy.coordinator!;
  const session = first.session();
  const ended = new Promise((resolve) => void (session.onClose = resolve));
  lease.take();
  expect(await ended).toMatchObject({ code: 'SH3003', why: 'a test took it' });
  expect(first.isServing).toBe(false);
  await expect.poll(() => it.candidacy.coordinator?.isServing).toBe(true);
  expect(it.candidacy.coordinator).not.toBe(first);
  expect(it.changes).toEqual(['leads', 'standby', 'leads']);
  expect([journal.opened, journal.closed, new Set(lease.ids).size]).toEqual([2, 1, 2]);
  expect(it.failures).toEqual([]);
});

it('of two that lead at once the older one stops at its next word, whatever the election says (C04, C05, C12)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const stale = await candidate(lease, journal);
  const old = stale.candidacy.coordinator!;
  lease.forget();
  const fresh = await candidate(lease, journal);
  expect([old.isServing, fresh.candidacy.coordinator?.isServing]).toEqual([true, true]);
  const session = old.session();
  const told: ToClient[] = [];
  session.onMessage = (message) => told.push(message);
  const ended = new Promise((resolve) => void (session.onClose = resolve));
  session.send({ kind: 'status', request: 1 });
  expect(await ended).toMatchObject({ code: 'SH4001' });
  expect(told).toEqual([]);
  await expect.poll(() => stale.changes).toEqual(['leads', 'standby']);
  expect(fresh.candidacy.coordinator?.isServing).toBe(true);
});

it('tries again when the journal does not answer, and ends where another could do no better', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const it = await candidate(lease, journal, { outside: inAHurry() });
  journal.failure = new OutcomeUnknownError('no answer');
  lease.take();
  await expect.poll(() => journal.opened).toBeGreaterThan(2);
  expect(it.failures).toEqual([]);
  journal.failure = new JournalCorruptError('a bit has flipped');
  await expect.poll(() => it.failures.map((error) => (error as ShoalError).code)).toEqual(['SH4004']);
});

it('says at its start what is wrong, and does not try in silence', async () => {
  const journal = new SharedJournal();
  journal.failure = new ShoalError('SH4010', 'no such server');
  await expect(candidate(new Lease(), journal)).rejects.toMatchObject({ code: 'SH4010' });
});

it('ends for good where nobody else can ever lead', async () => {
  const journal = new SharedJournal();
  const it = await candidate(new Lease(), journal, { election: noElection() });
  journal.failure = new JournalCorruptError('a bit has flipped');
  it.candidacy.coordinator!.session().send(submit);
  await expect.poll(() => it.failures.length).toBe(1);
  expect(it.candidacy.coordinator).toBe(undefined);
});

it('can be stopped while it waits to be elected', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  await candidate(lease, journal);
  const waiting = await candidate(lease, journal);
  await waiting.candidacy.stop();
  expect([waiting.changes, waiting.failures, journal.opened]).toEqual([[], [], 1]);
});

/** A journal of which the first opening waits until it is let go. */
function openingSlowly(journal: SharedJournal): { openJournal: () => Promise<Journal>; asked: Promise<void>; letGo: () => void } {
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let onAsked = (): void => undefined;
  const asked = new Promise<void>((resolve) => (onAsked = resolve));
  const openJournal = async (): Promise<Journal> => {
    onAsked();
    await held;
    return journal.open();
  };
  return { openJournal, asked, letGo };
}

it('that was stopped while its journal opened writes nothing, closes it, and lets the next one lead (C05, H4)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const { openJournal, asked, letGo } = openingSlowly(journal);
  const starting = candidate(lease, journal, { openJournal, outside: inAHurry() });
  await asked;
  await open[0]!.stop();
  const next = await candidate(lease, journal);
  expect(next.candidacy.coordinator?.isServing).toBe(true);
  letGo();
  const stopped = await starting;
  await expect.poll(() => journal.closed).toBe(1);
  expect([stopped.changes, stopped.failures]).toEqual([['standby'], []]);
  const reply = await ask(next.candidacy.coordinator!.session(), submit);
  expect(reply).toMatchObject({ kind: 'reply' });
});

it('that lost its lease while its journal opened leaves the one that leads in peace, and stands by (C04, C05)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const { openJournal, asked, letGo } = openingSlowly(journal);
  const starting = candidate(lease, journal, { openJournal });
  await asked;
  lease.take();
  const next = await candidate(lease, journal);
  letGo();
  const late = await starting;
  await expect.poll(() => journal.closed).toBe(1);
  expect([late.candidacy.coordinator, late.failures]).toEqual([undefined, []]);
  expect(late.warnings).toEqual([expect.stringContaining('the leadership was lost (a test took it)')]);
  const reply = await ask(next.candidacy.coordinator!.session(), submit);
  expect(reply).toMatchObject({ kind: 'reply' });
});

it('a loop that hangs with work to do is given up after some looks, one that is idle or goes on never is (C11, K05)', () => {
  const stuck: string[] = [];
  const watchdog = new Watchdog(({ message }) => stuck.push(message));
  for (let look = 0; look < 100; look++) {
    watchdog.look([
      { name: 'busy', steps: look, isDue: true },
      { name: 'idle', steps: 0, isDue: false },
      { name: 'at times', steps: 0, isDue: look % 5 !== 0 },
    ]);
  }
  expect(stuck).toEqual([]);
  for (let look = 0; look < 6; look++) watchdog.look([{ name: 'journal', steps: 7, isDue: true }]);
  expect(stuck).toEqual(['a part of the leader hangs: its journal']);
});

it('resigns when an append never ends, so that another can lead (C11, S10)', async () => {
  const [lease, journal] = [new Lease(), new SharedJournal()];
  const outside = lookingOften();
  const it = await candidate(lease, journal, { outside });
  const hung = it.candidacy.coordinator!;
  journal.hang = true;
  hung.session().send(submit);
  await expect.poll(() => hung.isServing).toBe(false);
  journal.hang = false;
  await expect.poll(() => it.candidacy.coordinator?.isServing).toBe(true);
  expect(it.warnings).toEqual(expect.arrayContaining([expect.stringContaining('a part of the leader hangs: its journal')]));
});
