import { describe, expect, test } from 'vitest';
import type { LogPlace } from '../core/answers.ts';
import type { LinesFact } from '../core/facts.ts';
import { logStreams } from '../core/logs.ts';
import type { LogLine, ToClient } from '../core/messages.ts';
import { randomFrom } from '../core/random.ts';
import { type Entry, type Journal, JournalFullError, OutcomeUnknownError } from '../journals/journal.ts';
import { memoryJournal } from '../journals/memory.ts';
import { realOutside } from '../lib/outside.ts';
import { decodeHead } from '../wire/frame.ts';
import { LogStore } from './log-store.ts';

type Printed = Extract<ToClient, { kind: 'printed' }>;

const line = (job: string, message: string): LogLine => ({
  wallMs: 1,
  job,
  stage: 0,
  index: 0,
  attempt: 1,
  task: 't',
  level: 'info',
  message,
});
const lines = (job: string, ...messages: readonly string[]): LogLine[] => messages.map((message) => line(job, message));

/** Jobs as the core has them, for one leader or for several. */
interface Jobs {
  [job: string]: { generation: number; isOver: boolean };
}

interface Leader {
  jobs?: Jobs;
  journal?: Journal;
  term?: number;
  unsavedMax?: number;
  unsavedMaxOfAll?: number;
}

function open({ jobs = {}, journal = memoryJournal(), term = 1, ...bounds }: Leader = {}) {
  const told: Printed[] = [];
  const timers = new Set<() => void>();
  const full: string[] = [];
  const store = new LogStore({
    journal,
    outside: {
      ...realOutside,
      after: (_, act) => {
        timers.add(act);
        return { cancel: () => void timers.delete(act), ref: () => undefined, unref: () => undefined };
      },
    },
    writer: `leader ${term}`,
    tell: (_, message) => void told.push(message as Printed),
    look: (job) => jobs[job],
    isBusy: () => false,
    onFull: (job, generation) => void full.push(`${job} ${generation}`),
    ...bounds,
  });
  store.begin(term);
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  };
  return {
    store,
    told,
    full,
    texts: () => told.flatMap((message) => message.lines.map((each) => each.message)),
    settled,
    /** As a turn of the coordinator does; whatever can be written is. */
    async print(...all: LogLine[]) {
      store.add(all);
      store.settle();
      await settled();
    },
    /** What waits for its time goes on. */
    async pass() {
      for (const act of [...timers]) if (timers.delete(act)) act();
      await settled();
    },
    async read(job: string, follow = false, from?: LogPlace) {
      const at = told.length;
      store.read('s', 1, job, follow, from);
      await settled();
      return told.slice(at).flatMap((message) => message.lines.map((each) => each.message));
    },
  };
}

async function stored(journal: Journal, job: string, generation: number): Promise<{ fact: LinesFact; texts: string[] }[]> {
  const all: { fact: LinesFact; texts: string[] }[] = [];
  for (const stream of logStreams(job, generation)) {
    for await (const entries of journal.read(stream, { from: 0, part: 'all' })) {
      for (const { head, body } of entries) {
        const texts = (JSON.parse(Buffer.concat(body).toString()) as LogLine[]).map(({ message }) => message);
        all.push({ fact: decodeHead<LinesFact>(head)[0]!, texts });
      }
    }
  }
  return all;
}

/** Says what it is told to of its next appends. */
function moody(mood: () => 'ok' | 'unknown' | 'lost' | 'full'): Journal {
  const journal = memoryJournal();
  const append = journal.append.bind(journal);
  journal.append = async (entries: readonly Entry[]) => {
    const now = mood();
    if (now === 'full') throw new JournalFullError('no room');
    if (now !== 'lost') await append(entries);
    if (now !== 'ok') throw new OutcomeUnknownError('no answer');
  };
  return journal;
}

describe('who reads', () => {
  test('gets what is kept; a follower also what comes, until the job is over', async () => {
    const jobs: Jobs = { a: { generation: 0, isOver: false }, b: { generation: 0, isOver: false } };
    const { store, told, texts, print, read } = open({ jobs });
    await print(line('a', '1'), line('b', 'other'));
    await read('a', true);
    await print(line('b', 'other'));
    await print(line('a', '2'));
    jobs.a!.isOver = true;
    store.settle();
    await print(line('a', '3'));
    expect(texts()).toEqual(['1', '2']);
    expect(told.map(({ done }) => done)).toEqual([false, false, true]);
    expect(await read('a', true)).toEqual(['1', '2', '3']);
    expect(told.at(-1)?.done).toBe(true);
  });

  test('gets one empty answer about an unknown job, which says so', async () => {
    const { told, read } = open();
    await read('nobody');
    expect(told).toEqual([{ kind: 'printed', reader: 1, lines: [], done: true }]);
  });

  test('hears nothing more once it stopped following', async () => {
    const { store, told, print } = open({ jobs: { a: { generation: 0, isOver: false } } });
    for (const reader of [1, 2]) store.read('s', reader, 'a', true);
    await print();
    store.unread('s', 1);
    await print(line('a', 'x'));
    expect(told.map(({ reader }) => reader)).toEqual([2]);
    store.unread('s');
    await print(line('a', 'y'));
    expect(told).toHaveLength(1);
  });

  test('gets the newest lines of a job that prints without end, how many are gone, and all of a quiet one (W13)', async () => {
    const jobs = { quiet: { generation: 0, isOver: true }, loud: { generation: 0, isOver: true } };
    const { store, told, read } = open({ jobs, unsavedMax: 10_000, unsavedMaxOfAll: 100_000 });
    store.add([line('quiet', 'still here')]);
    for (let i = 0; i < 5_000; i++) store.add([line('loud', `${i}`)]);
    expect(await read('quiet')).toEqual(['still here']);
    const kept = await read('loud');
    expect(kept.at(-1)).toBe('4999');
    expect(kept.length).toBeLessThan(102);
    expect(told.at(-1)!.dropped).toBe(5_000 - kept.length);
  });

  test('finds nothing of the jobs that printed longest ago, if all together print too much', async () => {
    const jobs: Jobs = {};
    const { store, read } = open({ jobs, unsavedMax: 10_000, unsavedMaxOfAll: 20_000 });
    for (let job = 0; job < 10; job++) {
      jobs[`j${job}`] = { generation: 0, isOver: true };
      store.add(Array.from({ length: 40 }, () => line(`j${job}`, 'x')));
    }
    const kept: boolean[] = [];
    for (let job = 0; job < 10; job++) kept.push((await read(`j${job}`)).length > 0);
    expect(kept).toEqual([false, false, false, false, false, false, true, true, true, true]);
  });
});

describe('what is stored', () => {
  test('is there for the next leader, whose own lines come behind it', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    await open({ jobs, journal }).print(...lines('a', '1', '2'));
    const second = open({ jobs, journal, term: 2 });
    expect(await second.read('a')).toEqual(['1', '2']);
    await second.print(...lines('a', '3'));
    const third = open({ jobs, journal, term: 3 });
    expect(await third.read('a', true)).toEqual(['1', '2', '3']);
    await third.print(...lines('a', '4'));
    expect(third.texts().at(-1)).toBe('4');
    expect(third.told.every(({ dropped }) => dropped === undefined)).toBe(true);
  });

  test('comes to a follower once, also from another leader, and what that one never had is not missed in silence or repeated', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const first = open({ jobs, journal });
    expect(await first.read('a', true)).toEqual([]);
    await first.print(...lines('a', '1', '2'));
    // Told, and lost with its leader before it was stored.
    await first.print(...lines('a', '3'));
    const { place } = first.told.at(-1)!;
    expect(first.texts()).toEqual(['1', '2', '3']);
    const second = open({ jobs, journal, term: 2 });
    await second.print(...lines('a', '4', '5'));
    expect(await second.read('a', false, { term: 1, line: 1 })).toEqual(['2', '4', '5']);
    expect(await second.read('a', false, place)).toEqual(['4', '5']);
    expect(await second.read('a', false, { term: 2, line: 1 })).toEqual(['5']);
  });

  test('waits for nobody: each append takes what came meanwhile, and readers need not wait for it', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false }, b: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const leader = open({ jobs, journal });
    await leader.print(...lines('a', '1'));
    await leader.print(...lines('a', '2'), ...lines('b', 'b'));
    await leader.print(...lines('a', '3'));
    expect(await leader.read('a')).toEqual(['1', '2', '3']);
    expect((await stored(journal, 'a', 1)).map(({ texts }) => texts)).toEqual([['1']]);
    await leader.pass();
    expect((await stored(journal, 'a', 1)).map(({ texts }) => texts)).toEqual([['1'], ['2', '3']]);
    expect((await stored(journal, 'b', 1)).map(({ texts }) => texts)).toEqual([['b']]);
    expect(await leader.read('a')).toEqual(['1', '2', '3']);
  });

  test('is the last of it when a leader stops', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const leader = open({ jobs, journal });
    await leader.print(...lines('a', '1'));
    await leader.print(...lines('a', '2'));
    await leader.store.end();
    expect((await stored(journal, 'a', 1)).flatMap(({ texts }) => texts)).toEqual(['1', '2']);
  });

  test('stays what it is when an append’s outcome is unknown, or there is no room (H11, S04)', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const moods = ['unknown', 'lost', 'full', 'ok', 'unknown', 'ok'] as const;
    let at = 0;
    const journal = moody(() => moods[at++] ?? 'ok');
    const leader = open({ jobs, journal });
    await leader.print(...lines('a', '1'));
    await leader.print(...lines('a', '2'));
    expect(await leader.read('a')).toEqual(['1', '2']);
    for (let i = 0; i < 10; i++) await leader.pass();
    expect((await stored(journal, 'a', 1)).map(({ texts }) => texts)).toEqual([['1'], ['2']]);
  });

  test('is not mixed with what a leader that was replaced still has (H4)', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const stale = open({ jobs, journal });
    const leader = open({ jobs, journal, term: 2 });
    await stale.print(...lines('a', 's1'));
    await leader.print(...lines('a', '1'));
    await stale.print(...lines('a', 's2'));
    for (let i = 0; i < 5; i++) await stale.pass();
    await leader.pass();
    await leader.print(...lines('a', '2'));
    await leader.pass();
    expect((await stored(journal, 'a', 1)).flatMap(({ texts }) => texts)).toEqual(['s1', '1', '2']);
  });

  test('goes on behind what a leader that was replaced has put there meanwhile', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const read = journal.read.bind(journal);
    journal.read = async function* (stream, range) {
      yield* read(stream, range);
      journal.read = read;
      await open({ jobs, journal }).print(...lines('a', 's1'));
    };
    const late = open({ jobs, journal, term: 2 });
    await late.print(...lines('a', '1'));
    for (let i = 0; i < 5; i++) await late.pass();
    expect((await stored(journal, 'a', 1)).flatMap(({ texts }) => texts)).toEqual(['s1', '1']);
  });

  test('is bounded: a full generation is followed by the next, and who reads learns how many lines are gone (W13)', async () => {
    const jobs: Jobs = { a: { generation: 1, isOver: false } };
    const journal = memoryJournal();
    const leader = open({ jobs, journal });
    const long = 'x'.repeat(100_000);
    let printed = 0;
    for (let i = 0; i < 400; i++) {
      await leader.print(...lines('a', `${printed++} ${long}`));
      await leader.pass();
      if (leader.full.length === 0) continue;
      expect(leader.full.splice(0)).toEqual([`a ${jobs.a!.generation}`]);
      const outdated = logStreams('a', jobs.a!.generation);
      jobs.a!.generation++;
      if (outdated.length === 2) await journal.drop(outdated[0]!);
    }
    expect(jobs.a!.generation).toBeGreaterThan(5);
    for (const term of [1, 2]) {
      const reader = term === 1 ? leader : open({ jobs, journal, term });
      reader.told.length = 0;
      const kept = await reader.read('a');
      expect(kept.join('').length).toBeGreaterThan(1024 * 1024);
      expect(kept.join('').length).toBeLessThan(4 * 1024 * 1024);
      expect(kept.at(-1)).toBe(`399 ${long}`);
      expect(reader.told.reduce((sum, { dropped = 0 }) => sum + dropped, 0)).toBe(400 - kept.length);
      await leader.store.end();
    }
  });

  test('is of each line once at most, in order, whatever becomes of appends and leaders', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = randomFrom(seed);
      const pick = (count: number): number => Math.floor(random() * count);
      const jobs: Jobs = { a: { generation: 1, isOver: false }, b: { generation: 1, isOver: false } };
      const journal = moody(() => (['ok', 'ok', 'unknown', 'lost', 'full'] as const)[pick(5)]!);
      const leaders = [open({ jobs, journal })];
      let number = 0;
      for (let i = 0; i < 60; i++) {
        if (pick(12) === 0) leaders.push(open({ jobs, journal, term: leaders.length + 1 }));
        // The last two may be at large at once.
        const leader = leaders[Math.max(0, leaders.length - 1 - pick(2))]!;
        if (pick(2) === 0) await leader.print(line('ab'[pick(2)]!, `${number++}`));
        else await leader.pass();
      }
      for (const job of ['a', 'b']) {
        const entries = await stored(journal, job, 1);
        const texts = entries.flatMap((entry) => entry.texts);
        expect(new Set(texts).size, `seed ${seed}`).toBe(texts.length);
        const terms = entries.map(({ fact }) => fact.term);
        expect(terms, `seed ${seed}`).toEqual([...terms].sort((one, other) => one - other));
        for (const term of terms) {
          const own = entries.filter(({ fact }) => fact.term === term).flatMap((entry) => entry.texts.map(Number));
          expect(own, `seed ${seed}`).toEqual([...own].sort((one, other) => one - other));
        }
        const last = open({ jobs, journal, term: leaders.length + 1 });
        expect(await last.read(job), `seed ${seed}`).toEqual(texts);
      }
    }
  });
});
