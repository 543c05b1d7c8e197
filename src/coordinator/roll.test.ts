/** Leaders that die at every single write of a registry that rolls all the time (S11). */
import { afterEach, expect, it } from 'vitest';
import { memoryBroker } from '../brokers/memory.ts';
import { jobSpec, stage } from '../core/drive.suite.ts';
import type { FromClient, ToClient } from '../core/messages.ts';
import { noElection } from '../elections/none.ts';
import { type Entry, type Journal, OutcomeUnknownError } from '../journals/journal.ts';
import { memoryJournal } from '../journals/memory.ts';
import { realOutside } from '../lib/outside.ts';
import { Coordinator } from './coordinator.ts';

const open: Coordinator[] = [];
afterEach(async () => {
  for (const coordinator of open.splice(0)) await coordinator.stop();
});

/** What is stored outlives each that opens it; an opening may be given so many writes, the last of which is half done. */
class Store {
  private readonly inner = memoryJournal();
  /** Not dropped. */
  readonly streams = new Set<string>();
  rolled = 0;

  open(writesLeft = Number.POSITIVE_INFINITY): Journal {
    const { inner } = this;
    const write = async (act: () => Promise<void>): Promise<void> => {
      if (writesLeft-- <= 0) throw new Error('it is dead');
      await act();
    };
    return {
      maxEntryBytes: inner.maxEntryBytes,
      durability: 'host',
      append: (entries) => {
        // Of an append that a death interrupts, its first stream.
        const isLast = writesLeft === 1;
        return write(() => this.append(isLast ? entries.slice(0, 1) : entries)).then(() => {
          if (isLast && entries.length > 1) throw new Error('it died');
        });
      },
      read: (...args) => inner.read(...args),
      readBodies: (...args) => inner.readBodies(...args),
      drop: (stream) =>
        write(async () => {
          await inner.drop(stream);
          this.streams.delete(stream);
        }),
      close: async () => undefined,
    };
  }

  private async append(entries: readonly Entry[]): Promise<void> {
    await this.inner.append(entries);
    for (const { stream, seq } of entries) {
      this.streams.add(stream);
      if (seq === 0 && stream.startsWith('registry.')) this.rolled++;
    }
  }
}

const quick = { ...realOutside, every: (ms: number, act: () => void) => realOutside.every(ms / 100, act) };

async function leader(journal: Journal): Promise<Coordinator> {
  const coordinator = new Coordinator({
    broker: memoryBroker(),
    journal,
    election: noElection(),
    isOneMachine: false,
    bounds: { rollFactsMin: 4 },
    outside: quick,
  });
  open.push(coordinator);
  await coordinator.start();
  return coordinator;
}

type Answer = { kind: 'dead' } | ToClient;
type Ask = (message: FromClient) => Promise<Answer>;

function client(coordinator: Coordinator): Ask {
  const session = coordinator.session();
  let isDead = false;
  let told: (answer: Answer) => void = () => undefined;
  session.onMessage = (message) => told(message);
  session.onClose = () => {
    isDead = true;
    told({ kind: 'dead' });
  };
  return (message) =>
    new Promise((resolve) => {
      if (isDead) return resolve({ kind: 'dead' });
      told = resolve;
      session.send(message);
    });
}

/** Opens jobs, deletes every other one, pauses queues; tells what was confirmed. Ends when the leader does. */
async function work(ask: Ask, jobs: Set<string>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const submitted = await ask({ kind: 'submit', request: i, spec: jobSpec([stage()]), digest: 'd' });
    if (submitted.kind !== 'reply') return;
    const { job } = submitted.value as { job: string };
    jobs.add(job);
    if (i % 2 === 0) continue;
    await ask({ kind: 'cancel', request: i, job, reason: 'enough' });
    if ((await ask({ kind: 'deleteJob', request: i, job })).kind !== 'reply') return;
    jobs.delete(job);
  }
}

it('the next leader knows all that was confirmed, and leaves nothing behind of the dead', async () => {
  for (let writes = 2; writes < 40; writes++) {
    const store = new Store();
    const jobs = new Set<string>();
    const first = new Coordinator({
      broker: memoryBroker(),
      journal: store.open(writes),
      election: noElection(),
      isOneMachine: false,
      bounds: { rollFactsMin: 4 },
      outside: quick,
    });
    open.push(first);
    await first.start();
    await work(client(first), jobs, 30);
    expect(store.rolled).toBeGreaterThan(writes < 12 ? -1 : 0);

    const second = await leader(store.open());
    const known = new Set<string>();
    const asking = client(second);
    for (const job of jobs) {
      const { kind } = await asking({ kind: 'query', request: 1, job });
      if (kind === 'reply') known.add(job);
    }
    // The one whose deletion was asked for may be gone without a word.
    expect([...jobs].slice(0, -1).filter((job) => !known.has(job))).toEqual([]);
    const more = new Set<string>();
    await work(asking, more, 10);
    for (const job of [...known, ...more]) {
      await asking({ kind: 'cancel', request: 1, job, reason: 'enough' });
      expect(await asking({ kind: 'deleteJob', request: 1, job })).toMatchObject({ kind: 'reply' });
    }
    await second.stop();

    // A third: what those two did not come to drop, it does.
    const third = await leader(store.open());
    const left = (): string[] => [...store.streams].filter((name) => name !== 'registry' && !name.startsWith('job.'));
    await expect.poll(() => left().length).toBe(1);
    await third.stop();
  }
});

it('one that was replaced while it rolled changes nothing (C05, C06)', async () => {
  const store = new Store();
  const stale = await leader(store.open());
  const session = client(stale);
  const jobs = new Set<string>();
  await work(session, jobs, 12);
  const fresh = await leader(store.open());
  const asking = client(fresh);
  // Both are about to roll: who was replaced stores a beginning that nobody will ever name.
  const lost = work(session, new Set(), 12);
  await work(asking, jobs, 12);
  await lost;
  expect(await session({ kind: 'status', request: 1 })).toMatchObject({ kind: 'dead' });
  for (const job of jobs) expect(await asking({ kind: 'query', request: 1, job })).toMatchObject({ kind: 'reply' });
  await fresh.stop();
  const next = await leader(store.open());
  const last = client(next);
  for (const job of jobs) expect(await last({ kind: 'query', request: 1, job })).toMatchObject({ kind: 'reply' });
});

it('one that stops while nobody knows whether a beginning is stored stores it again (S11; found by the simulator, seed 701024298)', async () => {
  const store = new Store();
  const journal = store.open();
  let stopping: Promise<void> | undefined;
  const coordinator = await leader({
    ...journal,
    append: async (entries) => {
      if (stopping || !entries[0]!.stream.startsWith('registry.')) return journal.append(entries);
      stopping = coordinator.stop();
      throw new OutcomeUnknownError('no answer');
    },
  });
  const jobs = new Set<string>();
  await work(client(coordinator), jobs, 30);
  await stopping;
  expect(store.rolled).toBe(1);
  const asking = client(await leader(store.open()));
  for (const job of jobs) expect(await asking({ kind: 'query', request: 1, job })).toMatchObject({ kind: 'reply' });
});
